"""The frameworks warn of things of their own, at import and at work; what they do is the test."""

import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings are errors everywhere but here."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(autouse=True)
def own_folder_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Other programs write into the machine's; here nothing may stay behind."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    gc.collect(1)
    yield
    assert not list(folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a framework would write its checkpoints and logs."""
    made = tmp_path / "written"
    made.mkdir()
    return made
