"""A fixture that fails a test which leaves a file behind."""

import gc
import getpass
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# torch.compile's own cache, which it would otherwise make in the folder that is watched.
os.environ.setdefault(
    "TORCHINDUCTOR_CACHE_DIR",
    str(Path(tempfile.gettempdir(), f"torchinductor_{getpass.getuser()}")),
)


@pytest.fixture(autouse=True)
def own_folder_for_temporary_files(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Other programs write into the machine's; here nothing may stay behind."""
    # Beside the test's own folder, which is named after it: a socket's whole path has 107 letters.
    folder = tmp_path_factory.mktemp("files")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    # What earlier tests left to the collector is not this test's doing.
    gc.collect(1)
    yield
    # The compiler of torch keeps its headers beside the cache above, wherever that is.
    left = sorted(path.name for path in folder.iterdir() if "torchinductor_" not in path.name)
    assert not left, f"left behind: {left}"
