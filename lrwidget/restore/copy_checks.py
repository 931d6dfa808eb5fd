"""Refuse a deep copy that is not as the original: it shares less with others, or holds less."""

import collections
import random
import types
import weakref
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from lrwidget.backup import walk
from lrwidget.backup.origin import is_from_a_library, module_of
from lrwidget.text.articles import a

_STATE = (torch.Tensor, np.ndarray, nn.Module, torch.optim.Optimizer, *walk.GENERATORS)
_SIMPLE = (bool, int, float, complex, str, bytes, type(None))
_OWN_COPIES = ("__getstate__", "__setstate__", "__reduce__", "__reduce_ex__", "__deepcopy__")


class NotCopied(Exception):  # noqa: N818 - a result, not an error
    """The reason why a task cannot be copied; it is then swept in place."""


class Shared:
    """Objects without tensors, such as settings, that are copied and that others use too.

    A copy of the model changes its own ones, which the others do not see.

    Args:
        pairs: each object and its copy.
        of_data: the objects that only loaders use besides, which have changed when the first batch
            is read.
    """

    def __init__(self, pairs: Sequence[tuple[Any, Any]], of_data: Sequence[Any]) -> None:
        self._pairs = list(pairs)
        self.of_data: list[Any] = list(of_data)

    def differing(self) -> str:
        """Return the type name of an object that is no longer as its copy; "" if all are."""
        for original, copied in self._pairs:
            if not _alike(original, copied):
                return type(original).__name__
        return ""

    def close(self) -> None:
        """Release the objects."""
        self._pairs.clear()
        self.of_data.clear()


def shared_by(outside: Sequence[Any], data: Sequence[Any], memo: dict[int, Any]) -> Shared:
    """Refuse copies of what others use too, and return the objects to watch.

    Args:
        outside: what functions use, which are not copied.
        data: what loaders use.
        memo: the memo of `copy.deepcopy`.

    Raises:
        NotCopied: a generator, tensor, array, module or optimizer is used by both.
    """
    originals = memo.get(id(memo), [])
    storages = _storages(originals)
    pairs = []
    for value in (*outside, *data):
        copied = memo.get(id(value))
        name = type(value).__name__
        if copied is None or copied is value:
            if not storages.isdisjoint(pointers(value)):
                raise NotCopied(f"data or a function has a view of one of its tensors ({name})")
        elif walk.is_a(value, _STATE):
            raise NotCopied(
                f"data or a function uses {a(name)} of it, which a copy would not share"
            )
        else:
            pairs.append((value, copied))
    known = set(map(id, outside))
    return Shared(pairs, [value for value, _ in pairs if id(value) not in known])


def refuse_other_copies(memo: dict[int, Any]) -> None:
    """Refuse copies that are not as their originals.

    Args:
        memo: the memo of `copy.deepcopy`.

    Raises:
        NotCopied: parameters have views that became tensors of their own; objects are known by
            their id or by a weak reference, which leads to the original; tensors are in memory of
            their own kind; or a class leaves out state when it is copied.
    """
    originals = memo.get(id(memo), [])
    parameters = [value for value in originals if walk.is_a(value, nn.Parameter)]
    tensors = [value for value in originals if walk.is_a(value, torch.Tensor)]
    # Of paged optimizers of bitsandbytes, whose kernels read this memory from the device.
    if any(vars(value).get("is_paged") for value in tensors):
        raise NotCopied("its tensors are paged, which those of a copy are not")
    others = [value for value in tensors if not walk.is_a(value, nn.Parameter)]
    of_parameters = [pointer for p in parameters for pointer in pointers(p)]
    if set(of_parameters) & _storages(others) or len(set(of_parameters)) < len(of_parameters):
        raise NotCopied("some of its tensors are views of one storage")
    for value in originals:
        for item in _known_by_id(value):
            if item in memo:
                raise NotCopied("it knows some of its parts by their id, which a copy has not")
        for item in _weak(value):
            if id(item) in memo:
                name = type(item).__name__
                raise NotCopied(f"it has a weak reference to {a(name)}, which a copy would keep")
        if _copies_its_own_way(type(value)) and not _is_whole(value, memo[id(value)], memo):
            name = type(value).__name__
            raise NotCopied(f"a copy of {a(name)} is not as the original")


def pointers(value: Any) -> list[int]:
    """Return the address of the storage of a tensor or array, in a list that may be empty."""
    if walk.is_a(value, np.ndarray):
        while walk.is_a(value.base, np.ndarray):
            value = value.base
        return [value.__array_interface__["data"][0]] if value.nbytes else []
    if not walk.is_a(value, torch.Tensor):
        return []
    if isinstance(value, (UninitializedParameter, UninitializedBuffer)):
        return []
    try:
        pointer = value.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # sparse tensors have no storage
        return []
    return [pointer] if pointer else []


def _storages(values: Sequence[Any]) -> set[int]:
    return {pointer for value in values for pointer in pointers(value)}


def keys_of(table: Any) -> Iterator[int]:
    """Yield the ids of what a dict or a weak container has entries for, and its numbers, which may
    be ids."""
    if walk.is_a(table, dict):
        yield from (id(key) for key in islice(dict.__iter__(table), walk.MAX_ITEMS))
    yield from map(id, _weak(table))
    yield from _known_by_id(table)


def _known_by_id(value: Any) -> Iterator[int]:
    """Yield the numbers among the keys and items of a container that may be ids."""
    if walk.is_a(value, (dict, list, tuple, set, frozenset)) and len(value) <= walk.MAX_ITEMS:
        yield from (item for item in value if type(item) is int and item > 2**20)


def _weak(value: Any) -> Iterator[Any]:
    """Yield what weak references among the values of a container refer to."""
    if walk.is_a(value, (weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet)):
        keys = value.values() if walk.is_a(value, weakref.WeakValueDictionary) else value
        yield from keys
    elif walk.is_a(value, dict):
        for item in dict.values(value):
            if walk.is_a(item, weakref.ref):
                yield weakref.ref.__call__(item)


def _copies_its_own_way(kind: type) -> bool:
    """Return whether a user's class says itself how it is copied."""
    for base in kind.__mro__:
        if not is_from_a_library(module_of(base)) and any(
            isinstance(vars(base).get(name), types.FunctionType) for name in _OWN_COPIES
        ):
            return True
    return False


def _alike(original: Any, copied: Any) -> bool:
    """Return whether two objects hold the same numbers, texts, arrays and generators."""
    first, second = _held(original), _held(copied)
    return first.keys() == second.keys() and all(
        _same(value, second[name]) for name, value in first.items()
    )


def _is_whole(original: Any, copied: Any, memo: dict[int, Any]) -> bool:
    """Return whether a copy that a class has made holds what its original holds, at any depth.

    What `copy.deepcopy` has copied is as its original, unless the class has changed it since;
    what the class has made anew, or set back, is compared.
    """
    seen: set[int] = set()
    waiting = [(original, copied)]
    while waiting:
        first, second = waiting.pop()
        if id(first) in seen:
            continue
        seen.add(id(first))
        before = {memo.get(id(key), key): value for key, value in _held(first).items()}
        after = _held(second)
        if before.keys() != after.keys():
            return False
        for key, value in before.items():
            made = after[key]
            if value is made:
                continue
            if not (_same(value, made) and _same_values(value, made, memo)):
                return False
            size = len(walk.items(value))
            if size != len(walk.items(made)):
                return False
            anew = memo.get(id(value)) is not made
            if 0 < size <= walk.MAX_ITEMS or (anew and walk.is_plain(type(value))):
                waiting.append((value, made))
    return True


def _same_values(first: Any, second: Any, memo: dict[int, Any]) -> bool:
    """Return whether two tensors hold the same; true of copied parameters, and other objects."""
    if not walk.is_a(first, torch.Tensor):
        return True
    if walk.is_a(first, nn.Parameter) and memo.get(id(first)) is second:
        return True
    try:
        return bool(((first == second) | (first.isnan() & second.isnan())).all())
    except (RuntimeError, NotImplementedError):  # not comparable, such as nested tensors
        return True


def _held(value: Any) -> dict[Any, Any]:
    if walk.is_a(value, dict):
        return dict(dict.items(value))
    if walk.is_a(value, (list, tuple, collections.deque)):
        return dict(enumerate(value))
    if walk.is_a(value, (set, frozenset)):
        return dict.fromkeys(value)
    return dict(walk.own_attributes(value) or {})


def _same(first: Any, second: Any) -> bool:
    if type(first) is not type(second):
        return False
    if walk.is_a(first, _SIMPLE):
        return repr(first) == repr(second)  # NaN too
    if walk.is_a(first, random.Random):
        return bool(first.getstate() == second.getstate())
    if walk.is_a(first, np.random.Generator):
        return bool(str(first.bit_generator.state) == str(second.bit_generator.state))
    if walk.is_a(first, torch.Generator):
        return bool(torch.equal(first.get_state(), second.get_state()))
    if walk.is_a(first, np.ndarray):
        return bool(first.shape == second.shape and first.tobytes() == second.tobytes())
    if walk.is_a(first, torch.Tensor):
        return bool(first.shape == second.shape)
    return True
