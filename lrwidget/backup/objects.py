"""Back up and restore arbitrary objects: the state of loaders, and the objects named by `also=`.

The state of an object is its attributes, the items of containers in them, and so on
(`backup.reach`). Random generators, tensors and arrays are restored by value. If an object has
state that its attributes do not show, its `state_dict` and `load_state_dict` are used.
"""

import array
import collections
import contextlib
import copy
import functools
import io
import itertools
import types
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from lrwidget.backup.array_contents import contents_of_array, is_memory_mapped
from lrwidget.backup.interrupts import finish
from lrwidget.backup.origin import module_of
from lrwidget.backup.reach import BARE, is_at_work, reached, slot_values
from lrwidget.backup.rng import is_generator, remember_generator, remember_shared
from lrwidget.backup.tensor_copies import put_values_back
from lrwidget.backup.walk import GENERATORS, is_a, own_attributes, slots
from lrwidget.text.articles import a_kind

PutBack = Callable[[], object]

# Limits for the objects of a loader; larger ones are data and are not copied. A sampling order, a
# one-dimensional sequence of integers, may be larger.
MAX_OBJECTS = 10_000
MAX_BYTES = 2**20
MAX_ORDER_BYTES = 2**24
MAX_TOTAL_BYTES = 2**26
_POINTER = 8  # bytes per item of a list


class ObjectState:
    """A copy of the state of objects.

    Args:
        subjects: the objects to back up, with everything that they refer to.
        leave: ids of objects to leave out, because they are restored elsewhere.
        as_data: whether the subjects are loaders: then only small objects are copied, and no
            models and optimizers.
        only: a filter on the objects found; None keeps all.

    Attributes:
        generators: the random generators among the objects found.
        tensors: the tensors found, which the caller backs up with `Backup`; empty for loaders.
    """

    def __init__(
        self,
        subjects: Iterable[Any],
        *,
        leave: Collection[int] = (),
        as_data: bool = False,
        only: Callable[[Any], bool] | None = None,
    ) -> None:
        self.tensors: list[torch.Tensor] = []
        self._as_data = as_data
        self._bytes_left = MAX_TOTAL_BYTES
        self._put_back: list[PutBack] = []
        self._by_state_dict: list[PutBack] = []
        found = reached(subjects, leave=leave, as_data=MAX_OBJECTS if as_data else None)
        found = found if only is None else list(filter(only, found))
        self.generators: list[Any] = [value for value in found if is_generator(value)]
        for value in found:
            self._remember(value)
        if hidden := [value for value in found if _has_hidden_state(value, as_data)]:
            self._remember_hidden(hidden)

    def restore(self) -> None:
        """Restore everything; may be called repeatedly, also after an interrupted call.

        Raises:
            Exception: the last error of a `load_state_dict`, after everything else is restored.
        """
        with torch.no_grad():
            finish((*self._put_back, *self._by_state_dict))

    def close(self) -> None:
        """Release the copies."""
        self._put_back.clear()
        self._by_state_dict.clear()
        self.generators.clear()
        self.tensors.clear()

    def _remember(self, value: Any) -> None:
        if is_a(value, torch.Tensor):
            self._remember_tensor(value)
            return
        if is_a(value, np.ndarray):
            self._remember_array(value)
        items = self._items_of(value)
        if items is not None:
            self._put_back.append(items)
        if type(value) in BARE:
            return
        own = remember_own(value)
        if own is not None:
            self._put_back.append(own)
        held = own_attributes(value)
        if held is not None and self._as_data and is_at_work(held):
            return
        if held is not None:
            self._put_back.append(_contents(dict, held))
        own_slots = slots(type(value))
        if own_slots:
            self._put_back.append(filled_slots(value, own_slots))

    def _remember_hidden(self, objects: list[Any]) -> None:
        """Remember what only the objects' own `state_dict` shows.

        That of a loader which has not begun a pass may begin one. This is undone, and its
        attributes are its whole state.
        """
        put_generators_back, began = remember_shared(), False
        for value in objects:
            before = dict(own_attributes(value) or {})
            with contextlib.suppress(Exception):  # an error of the user's state_dict
                put_back = _state_dict(value)
                after = own_attributes(value) or {}
                if all(after[name] is held for name, held in before.items()):
                    self._by_state_dict.append(put_back)
                    continue
            began = True
        if began:
            with torch.no_grad():
                finish(self._put_back)
        put_generators_back()

    def _items_of(self, value: Any) -> PutBack | None:
        if type(value) is tuple:
            return None
        for kind in _CONTAINERS:
            if is_a(value, kind):
                size = kind.__len__(value) * _POINTER
                return _contents(kind, value) if self._fits_limits(value, size) else None
        return None

    def _remember_tensor(self, tensor: torch.Tensor) -> None:
        if not self._as_data:
            self.tensors.append(tensor)
            return
        plain = type(tensor) is torch.Tensor and tensor.layout is torch.strided
        if plain and not tensor.is_nested and self._fits_limits(tensor, tensor.nbytes):
            kept = tensor.detach().clone()
            self._put_back.append(functools.partial(put_values_back, tensor, kept))

    def _remember_array(self, value: np.ndarray[Any, Any]) -> None:
        mapped = is_memory_mapped(value)  # which is data unless it is small
        if value.flags.writeable and self._fits_limits(value, value.nbytes, mapped):
            self._put_back.append(contents_of_array(value))

    def _fits_limits(self, value: Any, nbytes: int, limited: bool = False) -> bool:
        """Return whether `value`, of `nbytes` bytes, is small enough to copy; counts the bytes."""
        if not (self._as_data or limited):
            return True
        most = MAX_ORDER_BYTES if _is_order(value) else MAX_BYTES
        if nbytes > min(most, self._bytes_left):
            return False
        self._bytes_left -= nbytes
        return True


def objects_also(also: Any) -> tuple[Any, ...]:
    """Return the objects that `also=` names.

    Raises:
        TypeError: `also` is not a list or tuple, or an item of it has no state.
    """
    if not isinstance(also, (list, tuple)):
        raise TypeError(
            f"also is {a_kind(also)}; expected a list of objects to put back, such as also=[ema]"
        )
    for number, value in enumerate(also):
        if not puts_back(value):
            shown = f"{value!r}, " if is_a(value, (int, float, str, type(None))) else ""
            raise TypeError(
                f"also[{number}] is {shown}{a_kind(value)}, in which there is nothing "
                "to put back; expected an object whose state changes: a module, an optimizer, a "
                "random generator, an array, a list, an object with attributes or a state_dict"
            )
    return tuple(also)


def puts_back(value: Any) -> bool:
    """Return whether `value` has state that `ObjectState` can restore."""
    if is_a(value, (type, types.ModuleType, types.FunctionType, types.MethodType)):
        return False
    if is_a(value, (torch.Tensor, np.ndarray, *_CONTAINERS)) or _has_state_dict(value):
        return True
    if is_a(value, tuple):
        return any(map(puts_back, value))
    if is_a(value, GENERATORS):  # including the global ones, which are restored in any case
        return True
    return bool(own_attributes(value)) or bool(slots(type(value)))


def remember_own(value: Any) -> PutBack | None:
    """Return a function that restores a generator, a file position or a shared number, or None."""
    if is_generator(value):
        return remember_generator(value)
    if is_a(value, io.IOBase):
        try:
            # A file opened for writing keeps its position: new lines of a log must stay.
            at = value.tell() if value.readable() else None
        except (OSError, ValueError):  # a pipe; being iterated; closed
            return None
        if at is None:
            return None
        return lambda: None if value.closed else value.seek(at)
    if module_of(type(value)) == "multiprocessing.sharedctypes" and hasattr(value, "value"):
        held = value.value

        def put_back() -> None:
            value.value = held

        return put_back
    return None


# Container types, whose own methods are used, since a subclass may override them.
_CONTAINERS: tuple[Any, ...] = (
    collections.OrderedDict,
    dict,
    list,
    collections.deque,
    set,
    bytearray,
    array.array,
)


def _contents(kind: Any, value: Any) -> PutBack:
    if issubclass(kind, dict):
        return entries(kind, value)
    kept: Any = value[:] if kind in (bytearray, array.array) else list(kind.__iter__(value))

    def put_back() -> None:
        if kind is set:
            set.intersection_update(value, kept)
            set.update(value, kept)
        elif kind is collections.deque:
            if not _identical(kind.__iter__(value), kept):
                kind.clear(value)
                kind.extend(value, kept)
        elif kind is not list or not _identical(list.__iter__(value), kept):
            kind.__setitem__(value, slice(None), kept)

    return put_back


def entries(kind: Any, value: Any) -> PutBack:
    """Return a function that puts back the keys and values of a dict; `kind` has its methods."""
    kept = dict(kind.items(value))

    def put_back() -> None:
        # The dict is never emptied: another thread may be using it.
        for key in [key for key in kind.__iter__(value) if key not in kept]:
            kind.__delitem__(value, key)
        for key, item in kept.items():
            if not kind.__contains__(value, key) or kind.__getitem__(value, key) is not item:
                kind.__setitem__(value, key, item)
        if not in_order(kind.__iter__(value), kept):
            kind.clear(value)
            kind.update(value, kept)

    return put_back


def in_order(keys: Iterable[Any], kept: Iterable[Any]) -> bool:
    """Return whether keys of a dict are in the order of `kept`."""
    now, before = list(keys), list(kept)
    # The hashes first, since `==` of tensors gives a tensor. Those of -1 and -2 are equal.
    return list(map(hash, now)) == list(map(hash, before)) and now == before


def filled_slots(value: Any, descriptors: list[Any]) -> PutBack:
    """Return a function that puts back what is in the slots of an object."""
    kept = dict(slot_values(value, descriptors))

    def put_back() -> None:
        now = dict(slot_values(value, descriptors))
        for slot in descriptors:
            if slot in kept and (slot not in now or now[slot] is not kept[slot]):
                slot.__set__(value, kept[slot])
            elif slot in now and slot not in kept:
                slot.__delete__(value)

    return put_back


def _state_dict(value: Any) -> PutBack:
    kept = copy.deepcopy(value.state_dict())

    def put_back() -> None:
        if not _same(value.state_dict(), kept):
            value.load_state_dict(copy.deepcopy(kept))

    return put_back


def _has_state_dict(value: Any) -> bool:
    """Return whether an object has `state_dict` and `load_state_dict`.

    False for torch's own classes, whose state is in their attributes.
    """
    if is_a(value, (nn.Module, torch.optim.Optimizer, torch.utils.data.DataLoader, type)):
        return False
    cls: Any = type(value)
    return callable(getattr(cls, "state_dict", None)) and callable(
        getattr(cls, "load_state_dict", None)
    )


_VISIBLE_TYPES: tuple[Any, ...] = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    type(None),
    tuple,
    frozenset,
    type,
    np.generic,
    torch.dtype,
    torch.device,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    torch.Tensor,
    np.ndarray,
    *_CONTAINERS,
)


def _has_hidden_state(value: Any, as_data: bool) -> bool:
    if type(value) in BARE or not _has_state_dict(value):
        return False
    held = own_attributes(value) or {}
    if as_data and is_at_work(held):
        return False
    return any(map(_is_hidden, (value, *held.values())))


def _is_hidden(value: Any) -> bool:
    """Return whether an object may have state that only its own methods can reach."""
    if is_a(value, _VISIBLE_TYPES) or is_generator(value):
        return False
    return is_a(value, Iterator) or (own_attributes(value) is None and not slots(type(value)))


def _is_order(value: Any) -> bool:
    if is_a(value, list):
        ends = list.__getitem__(value, slice(None, None, max(1, list.__len__(value) - 1)))
        return bool(ends) and all(type(end) is int for end in ends)
    if is_a(value, torch.Tensor):
        return value.dim() == 1 and not value.is_floating_point() and not value.is_complex()
    return is_a(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iu"


def _identical(items: Iterator[Any], kept: list[Any]) -> bool:
    """Return whether both have the identical objects in the same order."""
    return all(a is b for a, b in itertools.zip_longest(items, kept, fillvalue=_END))


_END = object()


def _same(first: Any, second: Any) -> bool:
    """Return whether two state dicts are equal, including nested containers and tensors."""
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(_same(first[k], second[k]) for k in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(_same, first, second))
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, np.ndarray):
        return np.array_equal(first, second)
    try:
        return bool(first == second)
    except (TypeError, ValueError, RuntimeError):  # not comparable: assume that they differ
        return False
