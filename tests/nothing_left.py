"""A fixture that fails a test which leaves a file behind."""

import gc
import getpass
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# In the watched folder torch.compile would otherwise create its cache.
os.environ.setdefault(
    "TORCHINDUCTOR_CACHE_DIR",
    str(Path(tempfile.gettempdir(), f"torchinductor_{getpass.getuser()}")),
)


@pytest.fixture(autouse=True)
def own_folder_for_temporary_files(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Watch a temporary folder of the test's own, because other programs use the machine's."""
    # Not in the test's own folder, whose name is long: a socket's path has at most 107 bytes.
    folder = tmp_path_factory.mktemp("files")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    # Objects of earlier tests may still have files.
    gc.collect(1)
    yield
    # torch's compiler stores its headers in whichever folder its cache is.
    left = sorted(path.name for path in folder.iterdir() if "torchinductor_" not in path.name)
    assert not left, f"left behind: {left}"
