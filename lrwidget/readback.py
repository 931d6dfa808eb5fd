"""Bring losses from the device to Python without making every step wait for them."""

from collections import deque
from typing import NamedTuple

import torch

# Steps whose losses cross together. The rule that ends a sweep lags at most this many steps.
GROUP = 16


class Reading(NamedTuple):
    """One step of the sweep, read: its rate, its loss and what was measured beside it."""

    lr: float
    loss: float
    extra: dict[str, float] | None


class ImmediateReader:
    """For the CPU, where a loss is there as soon as the step is."""

    def push(
        self, lr: float, loss: torch.Tensor, extra: dict[str, float] | None
    ) -> tuple[Reading, ...]:
        """Take one step's loss; returns what has become readable, in order."""
        return (Reading(lr, loss.item(), extra),)

    def flush(self) -> tuple[Reading, ...]:
        """What is still on its way, in order; waits for it."""
        return ()


class GroupedReader:
    """For accelerators: losses cross in groups of up to `GROUP`, copied while the device works on.

    A group is stacked on the device, copied to pinned memory without blocking and read once an
    event says that it has arrived, so no step waits for its loss.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._steps: list[tuple[float, torch.Tensor, dict[str, float] | None]] = []
        self._crossing: deque[
            tuple[list[tuple[float, dict[str, float] | None]], torch.Tensor, torch.Event]
        ]
        self._crossing = deque()

    def push(
        self, lr: float, loss: torch.Tensor, extra: dict[str, float] | None
    ) -> tuple[Reading, ...]:
        """Take one step's loss; returns what has become readable, in order."""
        self._steps.append((lr, loss, extra))
        if len(self._steps) >= GROUP:
            self._send()
        arrived: list[Reading] = []
        while self._crossing and self._crossing[0][2].query():
            arrived += self._read()
        return tuple(arrived)

    def flush(self) -> tuple[Reading, ...]:
        """What is still on its way, in order; waits for it."""
        if self._steps:
            self._send()
        arrived: list[Reading] = []
        while self._crossing:
            self._crossing[0][2].synchronize()
            arrived += self._read()
        return tuple(arrived)

    def _send(self) -> None:
        values = torch.stack([loss.detach().double() for _, loss, _ in self._steps])
        here = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        here.copy_(values, non_blocking=True)
        event = torch.Event(self._device)
        event.record()
        self._crossing.append(([(lr, extra) for lr, _, extra in self._steps], here, event))
        self._steps = []

    def _read(self) -> list[Reading]:
        steps, values, _ = self._crossing.popleft()
        pairs = zip(steps, values.tolist(), strict=True)
        return [Reading(lr, loss, extra) for (lr, extra), loss in pairs]


def reader_for(device: torch.device) -> ImmediateReader | GroupedReader:
    """The reader that suits the device that the sweep runs on."""
    return ImmediateReader() if device.type == "cpu" else GroupedReader(device)
