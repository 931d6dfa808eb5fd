"""The number of samples in a batch, from its structure and its shapes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from lrwidget.data.structure import TARGET_NAMES, by_name


def counted(batch: Any) -> int | None:
    """Return the number of samples in a batch; None if nothing in it tells."""
    batch = by_name(batch) if isinstance(batch, Mapping) else batch
    if _is_one(batch):
        return 1
    shapes = list(_shapes(batch))
    first = {shape[0] for shape in shapes}
    parts = list(batch.values()) if isinstance(batch, Mapping) else batch
    if not first or not _is_list(parts):
        return first.pop() if first else None
    # Numbers are stacked to a tensor where samples are.
    in_lists = all(map(_is_list, parts)) and any(map(_has_numbers, parts))
    if len(first) == 1 and not in_lists:
        return first.pop()
    several = _of_several(parts)
    if several is not None:
        return several
    # Sequences may have their time first, and the samples second.
    common = [size for size in first if all(size in shape[:2] for shape in shapes)]
    return common[0] if len(common) == 1 else max(first)


def _is_one(batch: Any) -> bool:
    """Return whether it is one sample with a number as its target, as without batching.

    A number beside a batch may be a weight, a temperature, or the target of all its samples.
    """
    named = isinstance(batch, Mapping)
    parts = list(batch.values()) if named else batch
    if not (named or _is_list(parts)) or len(parts) != 2:
        return False
    inputs, target = parts
    if named:
        goal = next((name for name in TARGET_NAMES if name in batch), None)
        inputs, target = next((v for k, v in batch.items() if k != goal), None), batch.get(goal)
    if not _is_tensor(inputs) or not inputs.ndim or not isinstance(target, _NUMBERS):
        return False
    if getattr(target, "ndim", 0):
        return False
    return named or inputs.ndim == 1 or not _is_real(target)


_NUMBERS = (int, float, np.generic, np.ndarray, torch.Tensor)


def _is_real(number: Any) -> bool:
    if isinstance(number, torch.Tensor):
        return number.is_floating_point()
    return np.asarray(number).dtype.kind == "f"


def _shapes(value: Any) -> Iterator[tuple[int, ...]]:
    """Yield the first two sizes of each tensor and array; a number has none, and counts as one."""
    if isinstance(value, torch.Tensor | np.ndarray):
        if getattr(value, "is_nested", False):
            yield (value.size(0),)  # type: ignore[operator]
        else:
            yield tuple(value.shape[:2]) or (1,)
    elif isinstance(value, Mapping | tuple | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _shapes(item)


def _of_several(parts: Sequence[Any]) -> int | None:
    """Return the length of lists of samples, where samples of different sizes are not stacked."""
    lengths = {len(part) for part in parts if isinstance(part, tuple | list)}
    if len(lengths) == 1 and any(map(_alike, filter(_is_list, parts))):
        stacked = {len(part) for part in parts if isinstance(part, torch.Tensor | np.ndarray)}
        if stacked <= lengths:
            return lengths.pop()
    # A list of the samples themselves.
    return len(parts) if len(parts) > 1 and _alike(parts) and not _is_tensor(parts[0]) else None


def _is_list(part: Any) -> bool:
    return isinstance(part, tuple | list)


def _is_tensor(part: Any) -> bool:
    return isinstance(part, torch.Tensor | np.ndarray)


def _has_numbers(part: Any) -> bool:
    return any(isinstance(item, int | float) for item in part)


def _alike(items: Sequence[Any]) -> bool:
    """Return whether items have one form, as samples have."""
    return len({repr(_form(item)) for item in items}) == 1


def _form(item: Any) -> Any:
    if _is_tensor(item):
        return type(item).__name__, item.ndim
    if isinstance(item, Mapping):
        return sorted(map(str, item))
    if _is_list(item):
        return [_form(inner) for inner in item]
    return type(item).__name__
