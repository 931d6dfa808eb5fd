"""Copy what numpy arrays hold, which may be mapped to a file, and put it back."""

from collections.abc import Callable
from typing import Any

import numpy as np


def contents_of_array(value: np.ndarray[Any, Any]) -> Callable[[], None]:
    """Return a function that puts back what an array holds."""
    kept = np.array(value)
    mapped = is_memory_mapped(value)

    def put_back() -> None:
        # A file to which nothing was written is not written to here.
        if not mapped or value.tobytes() != kept.tobytes():
            np.copyto(value, kept)

    return put_back


def is_memory_mapped(value: Any) -> bool:
    """Return whether an array is mapped to a file."""
    while isinstance(value, np.ndarray):
        if isinstance(value, np.memmap):
            return True
        value = value.base
    return False
