"""Bring losses from the device to Python without making every step wait for them."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import torch

# Steps whose losses cross together. The rule that ends a sweep lags at most this many steps behind
# what the device has done.
GROUP = 16
# A group leaves sooner where steps take long: nobody should watch a chart that is 16 steps late.
GROUP_SECONDS = 0.05

# One step of the sweep, read: its rate, its loss and what was measured beside it. A plain tuple:
# there is one for every step.
Reading = tuple[float, float, dict[str, float] | None]


class ImmediateReader:
    """For the CPU, where a loss is there as soon as the step is."""

    def push(
        self, lr: float, loss: torch.Tensor, extra: dict[str, float] | None
    ) -> tuple[Reading, ...]:
        """Take one step's loss; returns what has become readable, in order."""
        return ((lr, loss.item(), extra),)

    def flush(self) -> tuple[Reading, ...]:
        """What is still on its way, in order; waits for it."""
        return ()


class Crossing(Protocol):
    """Numbers on their way from the device."""

    def arrived(self) -> bool:
        """Whether they are here; does not wait."""

    def numbers(self) -> list[float]:
        """The numbers; waits for them."""


class GroupedReader:
    """For accelerators: losses cross in groups of up to `GROUP`, copied while the device works on.

    A group is stacked on the device, copied without blocking and read once it has arrived, so no
    step waits for its loss.

    Args:
        cross: starts the copy of some numbers, shape (n,), from the device.
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
        """Take one step's loss; returns what has become readable, in order."""
        if self._losses and loss.device != self._losses[0].device:
            self._send()  # a step of the task's own may give a number now and a tensor then
        self._steps.append((lr, extra))
        self._losses.append(loss.detach())
        if len(self._steps) >= GROUP or time.monotonic() - self._sent >= GROUP_SECONDS:
            self._send()
        arrived: list[Reading] = []
        while self._crossing and self._crossing[0][1].arrived():
            arrived += self._read()
        return tuple(arrived)

    def flush(self) -> tuple[Reading, ...]:
        """What is still on its way, in order; waits for it."""
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
    """A copy into pinned memory that the device makes when it gets there; an event says when.

    Args:
        values: shape (n,), on a CUDA (or ROCm) or XPU device.
    """

    def __init__(self, values: torch.Tensor) -> None:
        # By name: under `torch.set_default_device` it would be made on the device itself.
        self._here = torch.empty(values.shape, dtype=values.dtype, device="cpu", pin_memory=True)
        self._here.copy_(values, non_blocking=True)
        backend: Any = getattr(torch, values.device.type)
        self._event = backend.Event()
        # By its stream: the current device need not be the one of the loss.
        self._event.record(backend.current_stream(values.device))

    def arrived(self) -> bool:
        """Whether it is here; does not wait."""
        return bool(self._event.query())

    def numbers(self) -> list[float]:
        """The numbers; waits for them."""
        if not self.arrived():
            self._event.synchronize()
        numbers: list[float] = self._here.tolist()
        return numbers


class BlockingCopy:
    """For devices without pinned memory and events of this kind: one wait for a whole group.

    Args:
        values: shape (n,), on any device.
    """

    def __init__(self, values: torch.Tensor) -> None:
        self._values = values

    def arrived(self) -> bool:
        """Always: it is fetched when it is read."""
        return True

    def numbers(self) -> list[float]:
        """The numbers; waits for them."""
        numbers: list[float] = self._values.tolist()
        return numbers


def cross(values: torch.Tensor) -> Crossing:
    """Start the copy that suits the device of `values`, shape (n,)."""
    return PinnedCopy(values) if values.device.type in {"cuda", "xpu"} else BlockingCopy(values)


def reader_for(device: torch.device) -> ImmediateReader | GroupedReader:
    """The reader that suits the device that the sweep runs on."""
    return ImmediateReader() if device.type == "cpu" else GroupedReader(cross)
