"""What the tests of the promises share."""

import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trust.fingerprint import temporary_files


@pytest.fixture(autouse=True)
def own_folder_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Other programs write into the machine's; here nothing may stay behind."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert not temporary_files()


@pytest.fixture(autouse=True)
def garbage_of_other_tests() -> None:
    """Threads and files that an earlier test left to the collector are not this test's doing."""
    gc.collect(1)
