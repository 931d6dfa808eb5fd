"""Fixtures and the `slow` mark of the tests of restoring."""

from pathlib import Path

import pytest

from tests.nothing_left import own_folder_for_temporary_files

__all__ = ["own_folder_for_temporary_files"]

# These files take seconds or run hundreds of sweeps; `make quick` skips them.
LONG = {"again", "check_endings", "data", "interrupts", "matrix", "optimizers", "schedulers"}
LONG |= {"training_after"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the files in `LONG` as slow."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.stem[len("test_") :] in LONG:
            item.add_marker("slow")
