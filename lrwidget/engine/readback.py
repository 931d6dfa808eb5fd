"""Copy losses from the device to Python without a synchronization in every step."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import torch

# Most losses that are copied together. The stop rule lags at most this many steps behind the
# device.
GROUP = 16
# A group is copied earlier if steps are slow, so that the chart does not lag by 16 slow steps.
GROUP_SECONDS = 0.05

# The rate, the loss and the further measurements of one step. A plain tuple for speed.
Reading = tuple[float, float, dict[str, float] | None]


class ImmediateReader:
    """Reads each loss at once: for the CPU, where it is ready when the step ends."""

    def push(
        self, lr: float, loss: torch.Tensor, extra: dict[str, float] | None
    ) -> tuple[Reading, ...]:
        """Take the loss of one step; return the readings that have become available, in order."""
        return ((lr, loss.item(), extra),)

    def flush(self) -> tuple[Reading, ...]:
        """Return the remaining readings, in order: none."""
        return ()


class Crossing(Protocol):
    """A running copy of numbers from the device."""

    def arrived(self) -> bool:
        """Return whether the copy is complete, without waiting."""

    def numbers(self) -> list[float]:
        """Wait for the copy and return the numbers."""


class GroupedReader:
    """Reads losses in groups of up to `GROUP`: for accelerators.

    A group is stacked on the device, copied without blocking and read when the copy is complete, so
    no step waits for its loss.

    Args:
        cross: starts the copy of a tensor of shape (n,) from the device.
    """

    def __init__(self, cross: Callable[[torch.Tensor], Crossing]) -> None:
        self._cross = cross
        self._steps: list[tuple[float, dict[str, float] | None]] = []
        self._losses: list[torch.Tensor] = []
        self._sent = time.monotonic()
        self._crossing: deque[tuple[list[tuple[float, dict[str, float] | None]], Crossing]]
        self._crossing = deque()

    def push(
        self, lr: float, loss: torch.Tensor, extra: dict[str, float] | None
    ) -> tuple[Reading, ...]:
        """Take the loss of one step; return the readings that have become available, in order."""
        if self._losses and loss.device != self._losses[0].device:
            self._send()  # a custom step may return numbers and tensors by turns
        self._steps.append((lr, extra))
        self._losses.append(loss.detach())
        if len(self._steps) >= GROUP or time.monotonic() - self._sent >= GROUP_SECONDS:
            self._send()
        arrived: list[Reading] = []
        while self._crossing and self._crossing[0][1].arrived():
            arrived += self._read()
        return tuple(arrived)

    def flush(self) -> tuple[Reading, ...]:
        """Wait for all copies and return the remaining readings, in order."""
        if self._steps:
            self._send()
        arrived: list[Reading] = []
        while self._crossing:
            arrived += self._read()
        return tuple(arrived)

    def _send(self) -> None:
        self._crossing.append((self._steps, self._cross(torch.stack(self._losses))))
        self._steps, self._losses = [], []
        self._sent = time.monotonic()

    def _read(self) -> list[Reading]:
        steps, crossing = self._crossing.popleft()
        pairs = zip(steps, crossing.numbers(), strict=True)
        return [(lr, loss, extra) for (lr, extra), loss in pairs]


class PinnedCopy:
    """An asynchronous copy into pinned memory, whose end an event marks.

    Args:
        values: shape (n,), on a CUDA (or ROCm) or XPU device.
    """

    def __init__(self, values: torch.Tensor) -> None:
        # `device` is explicit, since `torch.set_default_device` may have changed the default.
        self._here = torch.empty(values.shape, dtype=values.dtype, device="cpu", pin_memory=True)
        self._here.copy_(values, non_blocking=True)
        backend: Any = getattr(torch, values.device.type)
        self._event = backend.Event()
        # The stream is explicit, since the current device may not be the one of the loss.
        self._event.record(backend.current_stream(values.device))

    def arrived(self) -> bool:
        """Return whether the copy is complete, without waiting."""
        return bool(self._event.query())

    def numbers(self) -> list[float]:
        """Wait for the copy and return the numbers."""
        if not self.arrived():
            self._event.synchronize()
        numbers: list[float] = self._here.tolist()
        return numbers


class BlockingCopy:
    """A copy made when it is read: for devices without pinned memory and events.

    Args:
        values: shape (n,), on any device.
    """

    def __init__(self, values: torch.Tensor) -> None:
        self._values = values

    def arrived(self) -> bool:
        """Return True: the copy is made when it is read."""
        return True

    def numbers(self) -> list[float]:
        """Copy the numbers, which waits for the device, and return them."""
        numbers: list[float] = self._values.tolist()
        return numbers


def cross(values: torch.Tensor) -> Crossing:
    """Start the kind of copy that the device of `values`, shape (n,), supports."""
    return PinnedCopy(values) if values.device.type in {"cuda", "xpu"} else BlockingCopy(values)


def reader_for(device: torch.device) -> ImmediateReader | GroupedReader:
    """Return the reader for the device that the sweep runs on."""
    return ImmediateReader() if device.type == "cpu" else GroupedReader(cross)
