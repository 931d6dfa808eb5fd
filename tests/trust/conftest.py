"""What the tests of the promises share."""

from tests.nothing_left import own_folder_for_temporary_files

__all__ = ["own_folder_for_temporary_files"]
