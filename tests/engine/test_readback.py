"""Losses are copied from a device in groups and in order, and no step waits for a copy.

No accelerator is needed: the test replaces the copy and decides when it arrives. `benchmarks.gpu`
measures a real device.
"""

import math
from typing import Any

import pytest
import torch

from lrwidget import TrainingTask, lr_find
from lrwidget.engine import readback
from lrwidget.engine.readback import GROUP, BlockingCopy, GroupedReader, ImmediateReader, reader_for
from lrwidget.engine.sweep import sweep
from tests.tasks import problem


class Device:
    """A device whose numbers arrive once `done` steps are reached; it counts the waits."""

    def __init__(self, done: float = 0) -> None:
        self.done = done
        self.waited = 0
        self.sizes: list[int] = []

    def cross(self, values: torch.Tensor) -> "Late":
        self.sizes.append(len(values))
        return Late(self, values, sum(self.sizes))


class Late:
    def __init__(self, device: Device, values: torch.Tensor, last: int) -> None:
        self.device, self.values, self.last = device, values, last

    def arrived(self) -> bool:
        return self.last <= self.device.done

    def numbers(self) -> list[float]:
        self.device.waited += not self.arrived()
        return self.values.tolist()


@pytest.fixture(autouse=True)
def still_clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test sets."""
    now = [0.0]
    monkeypatch.setattr(readback.time, "monotonic", lambda: now[0])
    return now


def rows(readings: Any) -> list[int]:
    assert all(loss == -lr for lr, loss, _ in readings)
    return [int(lr) for lr, _, _ in readings]


def push(reader: GroupedReader, step: int) -> list[int]:
    return rows(reader.push(float(step), torch.tensor(-float(step)), None))


def test_a_group_is_read_once_it_has_arrived_and_never_waited_for() -> None:
    device = Device()
    reader = GroupedReader(device.cross)
    for step in range(1, 40):
        assert push(reader, step) == []
    device.done = 16
    assert push(reader, 40) == list(range(1, 17))
    device.done = 32
    assert push(reader, 41) == list(range(17, 33))
    assert device.waited == 0
    assert device.sizes == [GROUP, GROUP]


def test_several_groups_may_arrive_at_once_and_stay_in_order() -> None:
    device = Device()
    reader = GroupedReader(device.cross)
    for step in range(1, 3 * GROUP):
        push(reader, step)
    device.done = math.inf
    assert push(reader, 3 * GROUP) == list(range(1, 3 * GROUP + 1))
    assert device.waited == 0


def test_flush_waits_for_all_that_is_left_in_order() -> None:
    device = Device()
    reader = GroupedReader(device.cross)
    for step in range(1, 21):
        push(reader, step)
    assert rows(reader.flush()) == list(range(1, 21))
    assert device.waited == 2
    assert device.sizes == [16, 4]
    assert reader.flush() == ()


def test_a_group_of_slow_steps_leaves_sooner(still_clock: list[float]) -> None:
    reader = GroupedReader(Device(math.inf).cross)
    assert push(reader, 1) == []
    still_clock[0] = 1.0
    assert push(reader, 2) == [1, 2]
    assert push(reader, 3) == []


def test_what_was_measured_beside_a_loss_stays_with_it() -> None:
    reader = GroupedReader(Device().cross)
    for step in range(3):
        reader.push(0.1, torch.tensor(1.0), {"val_loss": 7.0} if step == 1 else None)
    assert [extra for _, _, extra in reader.flush()] == [None, {"val_loss": 7.0}, None]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_loss_is_read_as_it_is(dtype: torch.dtype) -> None:
    losses = torch.tensor([0.1, math.nan, math.inf, -1e-30], dtype=dtype)
    reader = GroupedReader(BlockingCopy)
    for loss in losses:
        reader.push(0.1, loss, None)
    assert str([loss for _, loss, _ in reader.flush()]) == str([loss.item() for loss in losses])


def test_the_cpu_reads_at_once() -> None:
    reader = reader_for(torch.device("cpu"))
    assert isinstance(reader, ImmediateReader)
    assert reader.push(0.1, torch.tensor(2.0), None) == ((0.1, 2.0, None),)
    assert reader.flush() == ()
    assert isinstance(reader_for(torch.device("cuda", 0)), GroupedReader)


def diverging(**options: Any) -> Any:
    """A sweep that ends in divergence at its 70th step or so, of 100."""
    options = {"start_lr": 1e-4, "end_lr": 1e4, "steps": 100, "seed": 1, **options}
    return lr_find(TrainingTask(*problem()), progress=False, **options)


@pytest.mark.parametrize("lag", [0, 5, 40])
@pytest.mark.parametrize("stop_at_divergence", [True, False])
def test_rows_after_the_true_end_of_a_sweep_are_dropped(
    monkeypatch: pytest.MonkeyPatch, lag: int, stop_at_divergence: bool
) -> None:
    expected = diverging(stop_at_divergence=stop_at_divergence)
    assert 20 < len(expected) < 99

    device = Device()

    class Counting(GroupedReader):
        def push(self, *step: Any) -> Any:
            device.done = (pushed := len(pushes)) - lag
            pushes.append(pushed)
            return super().push(*step)

    pushes: list[int] = []
    monkeypatch.setattr("lrwidget.engine.rows.reader_for", lambda _: Counting(device.cross))
    late = diverging(stop_at_divergence=stop_at_divergence)
    assert len(expected) <= len(pushes) <= len(expected) + GROUP + lag + 1
    assert late.rows().tobytes() == expected.rows().tobytes()
    assert late.stop_reason == expected.stop_reason
    assert late.meta["epochs_begin_at"] == expected.meta["epochs_begin_at"]


def test_a_stopped_sweep_keeps_the_rows_on_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrwidget.engine.rows.reader_for", lambda _: GroupedReader(Device().cross))
    from lrwidget.records.records import LRRecords
    from lrwidget.task.options import SweepOptions

    records = LRRecords()
    steps = sweep(TrainingTask(*problem()), SweepOptions(steps=50), records)
    for _ in range(23):
        next(steps)
    assert len(records) == 0
    steps.close()
    assert len(records) == 23
