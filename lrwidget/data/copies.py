"""Copy batches of any structure, and tell whether a copy was written to."""

import contextlib
import copy
import dataclasses
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

# Bytes to which torch aligns the storages that it allocates.
_ALIGNED = 64


class Unharmed:
    """Gives batches that are read again and again, as copies if what they go to writes to them.

    Whether it does, the copies of the first time show.
    """

    def __init__(self) -> None:
        self._written: bool | None = None

    def __call__(self, batches: Sequence[Any]) -> Iterator[Any]:
        """Yield the batches; one that was yielded is in use until the next is asked for."""
        if self._written is False:
            yield from batches
            return
        written = False
        for batch in batches:
            copies = Copies()
            yield copies.of(batch)
            written = written or self._written or copies.written()
        self._written = written


class Copies:
    """Copies tensors and arrays, in containers like their own, and tells whether they were changed.

    Containers are tuples, lists, mappings, dataclasses, objects of slots alone, and objects that
    are moved with a method `to`. Any other object is not copied.
    """

    def __init__(self) -> None:
        self._made: dict[int, tuple[Any, Any]] = {}  # by id, with the original, which keeps its id
        self._filled: list[tuple[Any, dict[Any, Any]]] = []
        self._opaque = False

    def of(self, value: Any) -> Any:
        """Return a copy of `value`, the same one each time."""
        if value is None or isinstance(value, (str, bytes, int, float)):
            return value
        if id(value) not in self._made:
            try:
                made = self._copy(value)
            except Exception:  # noqa: BLE001 - a class may raise any error when it is copied
                made = value
            self._made[id(value)] = value, made
        return self._made[id(value)][1]

    def written(self) -> bool:
        """Return whether a copy may have been written to."""
        return (
            self._opaque
            or any(
                made is not value and not _same(value, made) for value, made in self._made.values()
            )
            or any(_differ(_parts(made), parts) for made, parts in self._filled)
        )

    def _copy(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            made = value.detach().clone().requires_grad_(value.requires_grad)
            vars(made).update(vars(value))
            return made
        if isinstance(value, np.ndarray):
            return copy.copy(value)
        if isinstance(value, tuple):
            items = [self.of(item) for item in value]
            if all(new is old for new, old in zip(items, value, strict=True)):
                return value
            return tuple.__new__(type(value), items)
        if _moves_itself(value) and callable(getattr(value, "clone", None)):
            self._opaque = True
            return value.clone()
        parts = _parts(value)
        if parts is None:
            return value
        made = copy.copy(value)
        self._made[id(value)] = value, made  # before its parts, which may lead back to it
        for name, old in parts.items():
            new = self.of(old)
            if new is not old and isinstance(made, (list, MutableMapping)):
                made[name] = new
            elif new is not old:
                object.__setattr__(made, name, new)
        self._filled.append((made, _parts(made) or {}))
        return made


def copied(batch: Any) -> Any:
    """Return a batch that stays as it is, whatever is written to the tensors of this one."""
    return Copies().of(batch)


def deep_copied(batch: Any) -> Any:
    """Return a deep copy of a batch, with only that part of a storage which its tensors span.

    A batch may be a view of all samples. The copy has the same strides and alignment.

    Raises:
        Exception: any, of an object in it that cannot be copied.
    """
    found: dict[int, Any] = {}  # keeps what a mapping makes anew, so that no id is reused
    memo: dict[int, Any] = {}
    with contextlib.suppress(Exception):  # a class may raise any error when its items are read
        _find(batch, found)
        for of_one in _sharing(found.values()):
            if all(map(_is_plain, of_one)) and any(map(_is_view, of_one)):
                memo.update(zip(map(id, of_one), _moved_together(of_one), strict=True))
    return copy.deepcopy(batch, memo)


def _find(value: Any, found: dict[int, Any]) -> None:
    if id(value) in found or isinstance(value, (str, bytes, int, float)):
        return
    found[id(value)] = value
    for item in value if isinstance(value, tuple) else (_parts(value) or {}).values():
        _find(item, found)


def _sharing(values: Iterable[Any]) -> Iterable[list[torch.Tensor]]:
    """Return the tensors among values in lists, one for each storage."""
    tensors: dict[int, list[torch.Tensor]] = {}
    for value in values:
        if isinstance(value, torch.Tensor):
            with contextlib.suppress(RuntimeError, NotImplementedError):  # sparse ones have none
                tensors.setdefault(value.untyped_storage()._cdata, []).append(value)
    return tensors.values()


def _is_plain(value: torch.Tensor) -> bool:
    """Return whether a tensor is its storage, shape and strides, and nothing more."""
    if type(value) is not torch.Tensor or value.device.type != "cpu":
        return False
    if value.layout is not torch.strided or value.is_nested or value.is_quantized:
        return False
    return not (value.requires_grad or vars(value) or value.is_conj() or value.is_neg())


def _is_view(value: torch.Tensor) -> bool:
    return bool(value.untyped_storage().nbytes() > value.nbytes > 0)


def _moved_together(views: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return copies of views of one storage in a new storage, as long as what they span."""
    begins = [view.storage_offset() * view.itemsize for view in views]
    first = min(begins) // _ALIGNED * _ALIGNED
    end = max(map(_end_of, views))
    storage = views[0].untyped_storage()[first:end].clone()
    return [
        torch.empty(0, dtype=view.dtype).set_(
            storage, (begin - first) // view.itemsize, view.shape, view.stride()
        )
        for begin, view in zip(begins, views, strict=True)
    ]


def _end_of(view: torch.Tensor) -> int:
    last = sum((size - 1) * stride for size, stride in zip(view.shape, view.stride(), strict=True))
    return int(view.storage_offset() + last + 1) * view.itemsize


def _parts(value: Any) -> dict[Any, Any] | None:
    """Return what a container that can be changed holds, by key or name; None for other objects."""
    if isinstance(value, list):
        return dict(enumerate(value))
    if isinstance(value, MutableMapping):
        return dict(value)
    if isinstance(value, type):
        return None
    names: Any = ()
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    elif type(value).__mro__[1:] == (object,) and "__slots__" in vars(type(value)):
        names = type(value).__slots__
    elif _moves_itself(value):
        names = vars(value) if hasattr(value, "__dict__") else ()
    return {name: getattr(value, name) for name in names if hasattr(value, name)} or None


def _moves_itself(value: Any) -> bool:
    return callable(getattr(value, "to", None)) and not isinstance(value, (type, nn.Module))


def _differ(now: dict[Any, Any] | None, before: dict[Any, Any]) -> bool:
    now = now or {}
    return now.keys() != before.keys() or any(now[name] is not before[name] for name in before)


def _same(value: Any, made: Any) -> bool:
    """Return whether a copied tensor or array is as it was made."""
    try:
        if isinstance(made, torch.Tensor):
            return made._version == 0 and torch.equal(value, made)
        return not isinstance(made, np.ndarray) or np.array_equal(value, made)
    except Exception:  # noqa: BLE001 - of nested and sparse tensors, and objects in arrays
        return False
