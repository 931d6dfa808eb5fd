"""Attributes of classes that a step sets are as before after a sweep, however it ends."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import LRRecords, TrainingTask, check_lrs, lr_find, refine
from tests.tasks import network, problem

ce = nn.CrossEntropyLoss()


class Base(nn.Module):
    total = 0.0


class Counted(Base):
    """Counts its calls in its class, and keeps more there."""

    calls = 3
    last: Any = None
    seen: list[int] = [1]  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, x: torch.Tensor) -> Any:
        Counted.calls += 1
        type(self).last = x.sum()
        Base.total += 1.0
        type(self).new = self.calls  # type: ignore[attr-defined]
        self.seen.append(len(x))
        return self.net(x) + 0 * self.calls


class Stepping:
    steps = 0

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def step(self, batch: Any) -> torch.Tensor:
        type(self).steps += 1
        if self.steps == 10**6:
            raise KeyError
        return ce(self.model(batch[0]), batch[1])


class CountedSGD(torch.optim.SGD):
    taken = 0

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        CountedSGD.taken += 1
        super().step(closure)


class CountingLoss:
    calls = 0

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        CountingLoss.calls += 1
        return ce(output, target)


CLASSES = (Base, Counted, Stepping, CountedSGD, CountingLoss)


def held() -> Any:
    return [
        {
            name: (value, repr(value))
            for name, value in vars(kind).items()
            if not name.startswith("__") and not callable(value) and name != "seen"
        }
        for kind in CLASSES
    ]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = held()
    yield
    assert held() == before


def task(kind: str, **options: Any) -> TrainingTask:
    model, data = Counted(), problem()[3]
    optimizer = CountedSGD(model.parameters(), 0.1)
    if kind == "step":
        return TrainingTask(model, optimizer, data=data, step=Stepping(model).step, **options)
    return TrainingTask(model, optimizer, CountingLoss(), data, **options)


def test_what_is_noted_in_a_list_of_a_class_stays_there() -> None:
    noted = len(Counted.seen)
    lr_find(task("loss"), steps=4, progress=False)
    assert len(Counted.seen) == noted + 4


@pytest.mark.parametrize("kind", ["step", "loss"])
@pytest.mark.parametrize("snapshot", ["auto", "device"])
def test_a_sweep_puts_them_back(kind: str, snapshot: Any) -> None:
    before = held()
    assert len(lr_find(task(kind, snapshot=snapshot), steps=4, progress=False)) == 4
    assert held() == before


def test_so_do_a_check_and_a_refinement_each_of_whose_trials_begins_with_them() -> None:
    begins: list[int] = []

    def step(batch: Any) -> torch.Tensor:
        begins.append(Counted.calls)
        return ce(given.model(batch[0]), batch[1])

    given = TrainingTask(Counted(), torch.optim.SGD, data=problem()[3], step=step)
    check_lrs(given, [1e-3, 1e-2], steps=4)
    assert begins[:4] == begins[4:] == [3, 4, 5, 6]
    refine(given, LRRecords(), budget=180)


def test_an_exception_does_not_keep_them() -> None:
    given = task("step")
    Stepping.steps = 10**6 - 3
    try:
        with pytest.raises(KeyError):
            lr_find(given, steps=4, progress=False)
        assert Stepping.steps == 10**6 - 3
    finally:
        Stepping.steps = 0
