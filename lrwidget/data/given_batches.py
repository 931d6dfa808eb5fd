"""Put back the tensors and arrays of the user's own batches that training writes to."""

import dataclasses
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, default_collate

from lrwidget.backup.tensor_copies import put_values_back
from lrwidget.backup.walk import is_plain, own_attributes

# Training that writes to its batches does so at once: after so many steps without, none are kept.
LOOKS = 2
# How deeply tensors are looked for in a batch.
_DEPTH = 6


@dataclasses.dataclass(slots=True)
class _Array:
    """An array, or a slice of one that may be made anew in each pass, and what it held."""

    value: weakref.ref[Any]
    owner: weakref.ref[Any]  # whose memory it is
    address: int
    strides: tuple[int, ...]
    copy: np.ndarray[Any, Any]

    def changed(self) -> bool:
        now = self._now()
        return now is not None and bool(now.tobytes() != self.copy.tobytes())

    def put_back(self) -> None:
        now = self._now()
        if now is not None:
            now[...] = self.copy

    def _now(self) -> Any:
        """Return the array, or the slice made once more; None if nobody holds either."""
        value, owner = self.value(), self.owner()
        if value is not None or owner is None:
            return value
        return np.ndarray(
            self.copy.shape,
            self.copy.dtype,
            owner.ravel(order="K"),  # a view, in the order of the memory
            self.address - _address(owner),
            self.strides,
        )


@dataclasses.dataclass(slots=True)
class _Tensor:
    """A tensor, or a slice of one that may be made anew in each pass, and what it held."""

    value: weakref.ref[Any]
    owner: weakref.ref[Any]  # whose memory it is
    data: torch.Tensor  # the memory of a tensor, which may be given another
    copy: torch.Tensor
    version: int
    requires_grad: bool
    grad: torch.Tensor | None

    def changed(self) -> bool:
        value = self.value()
        if value is not None and (
            value.requires_grad != self.requires_grad or value.grad is not self.grad
        ):
            return True
        return self._is_moved(value) or self._is_written()

    def put_back(self) -> None:
        value: Any = self.value()
        with torch.no_grad():
            if self._is_moved(value):
                value.data = self.data
            if self._is_written():
                now = self.data if value is None or _is_plain(value) else value
                if _is_plain(now):
                    put_values_back(now, self.copy)
                else:
                    now.copy_(self.copy)
        if value is not None and value.is_leaf:
            value.requires_grad_(self.requires_grad)
            value.grad = self.grad

    def _is_moved(self, value: Any) -> bool:
        if value is None or not _is_plain(value):
            return False
        return bool(value.data_ptr() != self.data.data_ptr() or value.shape != self.data.shape)

    def _is_written(self) -> bool:
        if self.data._version != self.version:
            return True
        if not _is_plain(self.data):
            return False
        # By way of its `data`, which counts no version.
        both_nan = (self.data != self.data) & (self.copy != self.copy)
        return not bool(((self.data == self.copy) | both_nan).all())


class GivenBatches:
    """Watches the batches that are the user's own objects, or slices of some.

    Those that a loader has made are forgotten when they are gone.

    Args:
        data: what the batches come from.
    """

    def __init__(self, data: Any) -> None:
        self._steps_left = 0 if _makes_new_ones(data) else LOOKS
        self._present: dict[Any, _Array | _Tensor] = {}
        self._written: dict[Any, _Array | _Tensor] = {}

    @property
    def looks(self) -> bool:
        """Whether the next step is to be looked at."""
        gone = [key for key, kept in self._written.items() if kept.owner() is None]
        for key in gone:
            del self._written[key]
        return self._steps_left > 0 or bool(self._written)

    def before(self, batches: Sequence[Any]) -> None:
        """Remember what the batches of a step hold."""
        self._present = {}
        for value in _values(batches):
            owner, key = _owner_and_key(value)
            if key not in self._written and key not in self._present:
                self._present[key] = _kept(value, owner)

    def after(self) -> None:
        """Keep what the step has changed."""
        self._written |= {key: kept for key, kept in self._present.items() if kept.changed()}
        self._present = {}
        self._steps_left -= 1

    def put_back(self) -> None:
        """Put back what the steps have changed, also a step that was not looked at to its end."""
        self.after()
        for kept in reversed(self._written.values()):  # of slices that overlap the oldest last
            kept.put_back()
        self._written = {}


def _makes_new_ones(data: Any) -> bool:
    """Return whether all batches of a loader are stacked here or come from another process."""
    return isinstance(data, DataLoader) and (
        data.num_workers > 0
        or (data.batch_sampler is not None and data.collate_fn is default_collate)
    )


def _owner_and_key(value: Any) -> tuple[Any, Any]:
    """Return the object whose memory it is, and what a slice that is made once more shares."""
    owner: Any = value
    place: Any = ()
    if isinstance(value, np.ndarray):
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        if value.dtype.hasobject or not owner.flags.forc:
            owner = value
        place = (_address(value), value.strides)
    elif _is_plain(value) and value._base is not None:
        owner, place = value._base, (value.storage_offset(), value.stride())
    return owner, id(value) if owner is value else (id(owner), place, value.shape, value.dtype)


def _address(array: np.ndarray[Any, Any]) -> int:
    return int(array.__array_interface__["data"][0])


def _kept(value: Any, owner: Any) -> _Array | _Tensor:
    refs = weakref.ref(value), weakref.ref(owner)
    if isinstance(value, np.ndarray):
        return _Array(*refs, _address(value), value.strides, value.copy())
    data = value.detach()
    grad = value.grad if value.is_leaf else None
    return _Tensor(*refs, data, data.clone(), value._version, value.requires_grad, grad)


def _is_plain(value: torch.Tensor) -> bool:
    # To read those of a device would wait for it.
    return (
        type(value) is torch.Tensor
        and value.device.type == "cpu"
        and not (value.is_nested or value.layout is not torch.strided)
    )


def _values(value: Any, depth: int = _DEPTH) -> Iterator[Any]:
    """Yield the tensors and arrays in containers and plain objects."""
    inner: Any = ()
    if isinstance(value, torch.Tensor):
        if value.is_leaf and not value.is_inference():
            yield value
    elif isinstance(value, np.ndarray):
        if value.flags.writeable:
            yield value
    elif isinstance(value, Mapping):
        inner = value.values()
    elif isinstance(value, (tuple, list)):
        inner = value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        inner = [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    elif is_plain(type(value)):
        inner = (own_attributes(value) or {}).values()
    for item in inner if depth else ():
        yield from _values(item, depth - 1)
