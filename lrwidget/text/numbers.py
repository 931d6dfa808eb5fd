"""Numbers, rates and losses as they stand in sentences."""

import math
from decimal import ROUND_HALF_UP, Context

_NUMBERS = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


def number_in_words(count: int) -> str:
    """Return a small number as a word."""
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def steps_in_words(count: int) -> str:
    """Return a number of steps: "1 step", "20 steps"."""
    return f"{count} step{'s' * (count != 1)}"


def rate_in_words(rate: float, digits: int = 2) -> str:
    """Format a rate with a few digits, as the page does: 1.9e-3, 3e-1; from 1 on 2 or 120."""
    if not math.isfinite(rate) or rate == 0:
        return f"{rate:g}"
    # JavaScript rounds 0.125 to 0.13, and a format of Python to 0.12.
    context = Context(prec=digits, rounding=ROUND_HALF_UP)
    rounded = context.normalize(context.create_decimal_from_float(float(rate)))
    if 1 <= rounded < 10_000:
        return f"{rounded:f}"
    mantissa, exponent = f"{rounded:e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def fall_in_words(before: float, after: float) -> str:
    """Format two losses with three digits, or with as many as tell them apart: 2.303 to 2.298."""
    digits = 3
    while f"{before:.{digits}g}" == f"{after:.{digits}g}" and digits < 16:
        digits += 1
    return f"{before:.{digits}g} to {after:.{digits}g}"
