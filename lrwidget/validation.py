"""Checks of single values that users give."""

import numbers
from typing import Any


def whole_number(name: str, value: Any, least: int) -> int:
    """`value` as an int of at least `least`; a TypeError or ValueError that names it otherwise."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(
            f"{name} is {value!r}, a {type(value).__name__}; "
            f"expected a whole number of at least {least}"
        )
    if value < least:
        raise ValueError(f"{name} is {value!r}; expected at least {least}")
    return int(value)
