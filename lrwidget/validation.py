"""Validation of single arguments."""

import math
import numbers
import os
from pathlib import Path
from typing import Any

from lrwidget.text.articles import a_kind

# The largest number of float32: torch raises an error where it is to multiply by a larger one.
HIGHEST_RATE = 3.4028234663852886e38

# Loops that count take no larger whole number.
HIGHEST_COUNT = 2**63 - 1


def is_rate(value: float) -> bool:
    """Return whether a number can be a learning rate: above 0, and at most `HIGHEST_RATE`."""
    return 0 < value <= HIGHEST_RATE


def whole_number(name: str, value: Any, least: int, most: int = HIGHEST_COUNT) -> int:
    """Return `value` as an int; raise a TypeError or ValueError if it is none, or out of range."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(
            f"{name} is {value!r}, {a_kind(value)}; expected a whole number of at least {least}"
        )
    if value < least:
        raise ValueError(f"{name} is {value!r}; expected at least {least}")
    if int(value) > most:
        raise ValueError(f"{name} is {value!r}; expected at most {most}")
    return int(value)


def file_path(name: str, value: Any) -> Path:
    """Return `value` as a path; raise a TypeError if it is none."""
    if isinstance(value, (str, os.PathLike)) and os.fspath(value):
        return Path(value)
    raise TypeError(f"{name} is {value!r}; expected the path of a file, such as 'sweep.jsonl'")


def number(value: Any) -> float:
    """Return a number, or a tensor or array of one, as a float; NaN for anything else."""
    if isinstance(value, (bool, str, bytes)):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):  # RuntimeError: several values
        return math.nan
