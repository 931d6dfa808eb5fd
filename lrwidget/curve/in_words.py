"""Numbers as they are told in sentences."""

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


def rate_in_words(rate: float) -> str:
    """Format a rate in a short form: 1.9e-3, 3e-2, 0.3, 2."""
    if rate >= 0.1:
        return f"{rate:.2g}"
    mantissa, exponent = f"{rate:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def fall_in_words(before: float, after: float) -> str:
    """Format two losses with three digits, or with as many as tell them apart: 2.303 to 2.298."""
    digits = 3
    while f"{before:.{digits}g}" == f"{after:.{digits}g}" and digits < 16:
        digits += 1
    return f"{before:.{digits}g} to {after:.{digits}g}"
