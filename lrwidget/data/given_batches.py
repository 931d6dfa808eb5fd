"""Put back the tensors and arrays of the user's own batches that training writes to."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from lrwidget.backup.origin import module_of
from lrwidget.backup.tensor_copies import put_values_back

# Training that writes to its batches does so at once: after so many steps without, none are kept.
LOOKS = 2


@dataclasses.dataclass(slots=True)
class _Kept:
    """A tensor or an array and what it held."""

    value: Any
    data: Any  # the memory of a tensor, which may be given another
    copy: Any
    version: int
    requires_grad: bool
    grad: torch.Tensor | None

    def changed(self) -> bool:
        if isinstance(self.value, np.ndarray):
            return bool(self.value.tobytes() != self.copy.tobytes())
        return bool(
            self.value._version != self.version
            or self.value.requires_grad != self.requires_grad
            or self.value.grad is not self.grad
            or (_is_plain(self.value) and self._changed_unseen())
        )

    def _changed_unseen(self) -> bool:
        """Return whether a tensor was changed by way of its `data`, which counts no version."""
        if self.value.data_ptr() != self.data.data_ptr() or self.value.shape != self.data.shape:
            return True
        both_nan = (self.data != self.data) & (self.copy != self.copy)
        return not bool(((self.data == self.copy) | both_nan).all())

    def put_back(self) -> None:
        if isinstance(self.value, np.ndarray):
            self.value[...] = self.copy
            return
        with torch.no_grad():
            if _is_plain(self.value) and self._changed_unseen():
                self.value.data = self.data
                put_values_back(self.data, self.copy)
            elif self.value._version != self.version:
                self.value.copy_(self.copy)
        if self.value.is_leaf:
            self.value.requires_grad_(self.requires_grad)
            self.value.grad = self.grad


class GivenBatches:
    """Watches the batches of a list, which are the user's own objects; a loader makes new ones.

    Args:
        data: what the batches come from.

    Attributes:
        looks: whether the next step is looked at.
    """

    def __init__(self, data: Any) -> None:
        # Our own wrappers give the batches of what they wrap.
        while module_of(type(data)).startswith("lrwidget.data.") and hasattr(data, "_loader"):
            data = data._loader
        self.looks: bool = isinstance(data, list | tuple)
        self._steps = 0
        self._present: list[_Kept] = []
        self._written: dict[int, _Kept] = {}

    def before(self, batches: Sequence[Any]) -> None:
        """Remember what the batches of a step hold."""
        self._present = [
            _kept(value)
            for value in {id(value): value for value in _values(batches)}.values()
            if id(value) not in self._written
        ]

    def after(self) -> None:
        """Keep what the step has changed."""
        self._written |= {id(kept.value): kept for kept in self._present if kept.changed()}
        self._present = []
        self._steps += 1
        self.looks = self._steps < LOOKS or bool(self._written)

    def put_back(self) -> None:
        """Put back what the steps have changed, also a step that was not looked at to its end."""
        self.after()
        for kept in self._written.values():
            kept.put_back()
        self._written.clear()


def _kept(value: Any) -> _Kept:
    if isinstance(value, np.ndarray):
        return _Kept(value, value, value.copy(), 0, False, None)
    data = value.detach()
    return _Kept(value, data, data.clone(), value._version, value.requires_grad, value.grad)


def _is_plain(value: torch.Tensor) -> bool:
    # To read those of a device would wait for it.
    return (
        type(value) is torch.Tensor
        and value.device.type == "cpu"
        and not (value.is_nested or value.layout is not torch.strided)
    )


def _values(value: Any) -> Iterator[Any]:
    """Yield the tensors and arrays in containers."""
    if isinstance(value, torch.Tensor):
        if value.is_leaf and not value.is_inference():
            yield value
    elif isinstance(value, np.ndarray):
        if value.flags.writeable:
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _values(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _values(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _values(getattr(value, field.name, None))
