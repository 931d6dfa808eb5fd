"""Samplers that give more than indices: an index together with a size or a flag, as a tuple.

Such a tuple is another one in each pass, but the sample is that of its index.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any


class IndexPart(int):
    """An index of the data set that is one part of what a sampler gives.

    Attributes:
        item: what the sampler gives.
        place: which part of the item is the index.
    """

    item: tuple[Any, ...] | list[Any]
    place: int

    @classmethod
    def of(cls, item: tuple[Any, ...] | list[Any], place: int, index: Any) -> "IndexPart":
        """Return this index, in an item like the given one."""
        made = cls(index)
        parts = list(item)
        parts[place] = int(index)
        made.place, made.item = place, type(item)(parts)
        return made


def indices_in(items: Sequence[Any], count: int) -> list[Any]:
    """Return the indices that are parts of some items of a sampler; the items if none are.

    All indices get the other parts of one item, since samples of several sizes make no batch.

    Args:
        items: what a pass of the sampler gave.
        count: the samples of the data set.
    """
    place = _place(items, count)
    if place is None:
        return list(items)
    like = min(items, key=lambda item: repr((*item[:place], *item[place + 1 :])))
    found = dict.fromkeys(int(item[place]) for item in items)
    return [IndexPart.of(like, place, index) for index in found]


def key_like(index: Any, as_key: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the function that tells which index an item of a sampler has, from one index."""
    if not isinstance(index, IndexPart):
        return as_key
    place = index.place
    return lambda item: int(item[place])


def _place(items: Sequence[Any], count: int) -> int | None:
    """Return which part of the items is an index of so many samples, if exactly one is.

    It nearly tells the items apart, or runs over the data set while the other parts take few
    values: the same sample may come in several sizes.
    """
    if not all(type(item) in (tuple, list) for item in items) or len(set(map(len, items))) != 1:
        return None
    columns = [list(map(_plain, column)) for column in zip(*items, strict=True)]
    different = len(set(zip(*columns, strict=True)))
    values = list(map(set, columns))
    found = []
    for place, own in enumerate(values):
        if not all(isinstance(value, int) and 0 <= value < count for value in own):
            continue
        others = [len(value) for number, value in enumerate(values) if number != place]
        runs_over = 2 * len(own) >= count and all(2 * other <= len(own) for other in others)
        if 2 * len(own) >= different or runs_over:
            found.append(place)
    return found[0] if len(found) == 1 else None


def _plain(part: Any) -> Any:
    """Return a whole number as such, other numbers all alike, anything else in words."""
    if isinstance(part, float) or "float" in str(getattr(part, "dtype", "")):
        return "float"
    whole = hasattr(part, "__index__") and type(part).__name__ not in ("bool", "bool_")
    try:
        return operator.index(part) if whole else repr(part)
    except TypeError:  # several numbers
        return repr(part)
