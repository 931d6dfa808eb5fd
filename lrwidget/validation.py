"""Validation of single arguments."""

import numbers
from typing import Any

# The largest number of float32: torch raises an error where it is to multiply by a larger one.
HIGHEST_RATE = 3.4028234663852886e38


def is_rate(value: float) -> bool:
    """Return whether a number can be a learning rate: above 0, and at most `HIGHEST_RATE`."""
    return 0 < value <= HIGHEST_RATE


def whole_number(name: str, value: Any, least: int) -> int:
    """Return `value` as an int, or raise a TypeError or ValueError if it is not one >= `least`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(
            f"{name} is {value!r}, a {type(value).__name__}; "
            f"expected a whole number of at least {least}"
        )
    if value < least:
        raise ValueError(f"{name} is {value!r}; expected at least {least}")
    return int(value)
