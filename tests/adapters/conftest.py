"""Tests of the adapters, where the frameworks may emit warnings of their own."""

from pathlib import Path

import pytest

from tests.nothing_left import own_folder_for_temporary_files

__all__ = ["own_folder_for_temporary_files"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, and permit warnings, which are errors elsewhere."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("default"))
            item.add_marker("framework")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder where a framework would write its checkpoints and logs."""
    made = tmp_path / "written"
    made.mkdir()
    return made
