"""What the tests of the promises share."""

from pathlib import Path

import pytest

from tests.nothing_left import own_folder_for_temporary_files

__all__ = ["own_folder_for_temporary_files"]

# What takes seconds, or hundreds of sweeps; `make quick` leaves it out.
LONG = {"again", "check_endings", "data", "interrupts", "matrix", "optimizers", "schedulers"}
LONG |= {"training_after"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the long files of this folder."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.stem[len("test_") :] in LONG:
            item.add_marker("slow")
