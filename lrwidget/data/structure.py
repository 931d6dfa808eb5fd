"""Describe the structure of a batch, by types and shapes, and copy batches of any structure."""

import copy
import dataclasses
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

TARGET_NAMES = ("labels", "label", "targets", "target", "y")

_DEPTH = 3
_WIDTH = 6


def describe(value: Any, depth: int = _DEPTH) -> str:
    """Describe `value`, as "a tuple of 2 (tensor float32 (32, 3, 8, 8), tensor int64 (32,))"."""
    return f"a {_structure(value, depth)}"


def plain_shape(value: Any) -> tuple[int, ...] | None:
    """Return the shape of a tensor, array, number or list of numbers; None for other objects."""
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        return tuple(value.shape)
    if isinstance(value, (bool, int, float, complex)):
        return ()
    if type(value) is list and value:  # data sets may yield vectors as lists
        inner = plain_shape(value[0]) if isinstance(value[0], (bool, int, float, list)) else None
        return None if inner is None else (len(value), *inner)
    return None


def named_fields(value: Any) -> dict[str, Any] | None:
    """Return the fields of a mapping or a dataclass by name; None for other objects."""
    if isinstance(value, Mapping):
        return {str(name): item for name, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def _structure(value: Any, depth: int) -> str:
    name = type(value).__name__
    if isinstance(value, torch.Tensor):
        kind = "tensor" if type(value) is torch.Tensor else name
        layout = "" if value.layout is torch.strided else f" {str(value.layout).split('.')[-1]}"
        shape = "" if value.is_nested else f" {tuple(value.shape)}"
        return f"{kind} {str(value.dtype).removeprefix('torch.')}{layout}{shape}"
    if isinstance(value, np.ndarray):
        return f"array {value.dtype} {value.shape}"
    if isinstance(value, PackedSequence):
        return f"PackedSequence of {_structure(value.data, 1)}"
    if depth == 0:
        return name
    if isinstance(value, (tuple, list)):
        names = getattr(value, "_fields", None)
        if names is not None:
            return f"{name} {_named(dict(zip(names, value, strict=True)), depth)}"
        parts = [_structure(item, depth - 1) for item in value[: _WIDTH + 1]]
        if len(parts) > 2 and len(set(parts)) == 1:
            return f"{name} of {len(value)} ({parts[0]}, …)"
        more = ", …" if len(value) > _WIDTH else ""
        return f"{name} of {len(value)} ({', '.join(parts[:_WIDTH])}{more})"
    fields = named_fields(value)
    return name if fields is None else f"{name} {_named(fields, depth)}"


def _named(fields: Mapping[str, Any], depth: int) -> str:
    parts = [f"{key}: {_structure(item, depth - 1)}" for key, item in list(fields.items())[:8]]
    more = ", …" if len(fields) > 8 else ""
    return "{" + ", ".join(parts) + more + "}"


def is_text(value: Any) -> bool:
    """Return whether `value` is None, text, or a container of only such values."""
    if value is None or isinstance(value, (str, bytes)):
        return True
    if isinstance(value, Mapping):
        return all(map(is_text, value.values()))
    return isinstance(value, (tuple, list)) and bool(value) and all(map(is_text, value))


# -- copies --------------------------------------------------------------------------------------


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
