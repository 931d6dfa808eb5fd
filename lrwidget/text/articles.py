"""The names of classes with their articles."""

import re

# Words and letters that are spoken with a vowel first. Letters are spoken each for itself, as in
# "SGD", unless they can be read as a word, as in "SAM".
_VOWEL_FIRST = re.compile(
    r"nd|(?![Oo]ne|E[uU])[AEIOaeio]|[Hh]our|[Uu](?:[lmp]|n(?!et|i)|nini)"
    r"|[FHLMNRSX](?![AEIOUa-z])"
)


def a(name: str) -> str:
    """Return the name of a class with its article: "a list", "an int", "an SGD"."""
    return f"{'an' if _VOWEL_FIRST.match(name) else 'a'} {name}"


def a_kind(value: object) -> str:
    """Return the class of a value in words: "a list", "an int"."""
    return a(type(value).__name__)
