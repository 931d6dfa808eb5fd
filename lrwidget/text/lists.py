"""Lists in sentences."""

from collections.abc import Sequence


def first_of(items: Sequence[str], most: int) -> str:
    """Return the first items of a list, and "…" where it has more: "a, b, …"."""
    return ", ".join([*items[:most], *["…"] * (len(items) > most)])
