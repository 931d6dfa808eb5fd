"""The batches that a user holds are as before, also where training writes to them."""

import operator
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from lrwidget import LRRecords, TrainingTask, check_lrs, lr_find, refine
from lrwidget.data.given_batches import GivenBatches


def of_model(first: nn.Module, data: Any) -> TrainingTask:
    model = nn.Sequential(first, nn.Linear(4, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    return TrainingTask(model, optimizer, nn.CrossEntropyLoss(), data)


class Centred(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sub_(x.mean())


def pairs() -> list[Any]:
    return [(torch.randn(8, 4), torch.arange(8) % 3) for _ in range(5)]


def points(required: bool) -> tuple[TrainingTask, list[Any]]:
    """A network whose derivative by its input is trained."""
    model = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    data = [torch.linspace(0, 1, 16)[:, None].requires_grad_(required)]

    def step(x: torch.Tensor) -> torch.Tensor:
        x.requires_grad_(True)
        u = model(x)
        (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        return ((slope - u) ** 2).mean()

    return TrainingTask(model, torch.optim.Adam(model.parameters()), data=data, step=step), data


def in_dicts() -> tuple[TrainingTask, list[Any]]:
    model = nn.Linear(4, 3)
    data = [{"x": x, "noise": np.zeros(4, np.float32), "y": y} for x, y in pairs()]

    def step(batch: Any) -> torch.Tensor:
        batch["noise"] += 1
        return nn.functional.cross_entropy(model(batch["x"].mul_(0.9)), batch["y"])

    return TrainingTask(model, torch.optim.SGD(model.parameters(), 0.1), data=data, step=step), data


class Halved(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.data.mul_(0.5)
        return x


class MadeAnew(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.data = x.data.abs()
        return x


def with_first(first: nn.Module) -> Callable[[], tuple[TrainingTask, list[Any]]]:
    def make() -> tuple[TrainingTask, list[Any]]:
        data = pairs()
        return of_model(first, data), data

    return make


WRITING = {
    "dropout in place": with_first(nn.Dropout(0.2, inplace=True)),
    "ReLU in place": with_first(nn.ReLU(inplace=True)),
    "centred": with_first(Centred()),
    "halved by way of data": with_first(Halved()),
    "data of their own": with_first(MadeAnew()),
    "points that require gradients": lambda: points(True),
    "points that the step makes require them": lambda: points(False),
    "dicts with arrays": in_dicts,
}


def values(data: Any) -> list[Any]:
    if isinstance(data, torch.Tensor):
        return [data.tolist(), data.requires_grad, data.grad]
    if isinstance(data, np.ndarray):
        return data.tolist()
    return [values(item) for item in (data.values() if isinstance(data, dict) else data)]


def swept(task: TrainingTask) -> None:
    assert len(lr_find(task, steps=12, end_lr=1e-3, progress=False)) == 12


def checked(task: TrainingTask) -> None:
    first, second = check_lrs(task, [1e-9, 2e-9], steps=7).trials
    assert first.loss == pytest.approx(second.loss, rel=1e-5)


def refined(task: TrainingTask) -> None:
    refine(task, LRRecords(), 300)


# A loss of derivatives by the input needs an evaluation of its own to be refined.
CASES = [
    pytest.param(make, run, id=f"{name}, {run.__name__}")
    for name, make in WRITING.items()
    for run in (swept, checked, refined)
    if run is not refined or "place" in name or name == "centred"
]


@pytest.mark.parametrize(("make", "run"), CASES)
def test_they_are_as_before(make: Any, run: Callable[[TrainingTask], None]) -> None:
    task, data = make()
    before = values(data)
    run(task)
    assert values(data) == before


def test_they_are_as_before_when_a_step_fails_after_it_wrote() -> None:
    class Fails(Centred):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            super().forward(x)
            raise ZeroDivisionError

    data = pairs()
    before = values(data)
    with pytest.raises(ZeroDivisionError):
        lr_find(of_model(Fails(), data), progress=False)
    assert values(data) == before


def test_the_curve_is_that_of_training_which_writes_to_them() -> None:
    torch.manual_seed(0)
    data = pairs()
    task = of_model(Centred(), data)
    model, optimizer = task.model, task.optimizer
    records = lr_find(task, steps=12, end_lr=1e-2, progress=False)
    losses = []
    for i, lr in enumerate(records.lr):
        x, y = data[i % 5]
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert records.loss.tolist() == losses


def test_places_that_are_one_in_memory_are_as_before() -> None:
    class Ones(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x.data[:1] = 1.0
            return x

    data = [(torch.full((1, 4), 2.0).expand(8, 4), torch.arange(8) % 3) for _ in range(3)]
    before = values(data)
    swept(of_model(Ones(), data))
    assert values(data) == before


class Passes:
    """A loader of one's own over batches that somebody holds."""

    def __init__(self, batches: Any) -> None:
        self.batches = batches

    def __iter__(self) -> Any:
        return iter(self.batches)


class Slices:
    """Gives a part of the tensors or arrays at a time."""

    def __init__(self, *held: Any) -> None:
        self.held = held

    def __iter__(self) -> Any:
        for i in range(0, len(self.held[0]), 8):
            yield tuple(item[i : i + 8] for item in self.held)


# Smaller ones are put back with what else a loader holds.
WIDTH = 8000
HOLDERS = {
    "a loader of one's own": Passes,
    "a DataLoader that puts nothing together": lambda held: DataLoader(held, batch_size=None),
    "a DataLoader of one batch at a time": lambda held: DataLoader(
        held, batch_size=1, collate_fn=operator.itemgetter(0)
    ),
    "the values of a dict": lambda held: dict(enumerate(held)).values(),
    "a generator": lambda held: (batch for _ in range(4) for batch in held),
}


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
@pytest.mark.parametrize("first", [Centred, Halved, MadeAnew])
def test_they_are_as_before_whatever_holds_them(holder: Any, first: type[nn.Module]) -> None:
    held = [(torch.randn(40, WIDTH), torch.arange(40) % 3) for _ in range(3)]
    model = nn.Sequential(first(), nn.Linear(WIDTH, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    before = [(x.clone(), x.data_ptr()) for x, _ in held]
    lr_find(
        TrainingTask(model, optimizer, nn.CrossEntropyLoss(), holder(held)), steps=8, end_lr=1e-3
    )
    for (x, _), (kept, at) in zip(held, before, strict=True):
        assert torch.equal(x, kept)
        assert x.data_ptr() == at


@pytest.mark.parametrize("first", [Centred, Halved])
def test_tensors_whose_slices_are_written_to_are_as_before(first: type[nn.Module]) -> None:
    x, y = torch.randn(40, WIDTH), torch.arange(40) % 3
    before = x.clone()
    model = nn.Sequential(first(), nn.Linear(WIDTH, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    lr_find(TrainingTask(model, optimizer, nn.CrossEntropyLoss(), Slices(x, y)), steps=12)
    assert torch.equal(x, before)


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_whose_slices_are_written_to_are_as_before(order: Any) -> None:
    x = np.asarray(np.random.default_rng(0).normal(size=(40, WIDTH)), np.float32, order=order)
    before = x.copy()
    model = nn.Linear(WIDTH, 3)

    def step(batch: Any) -> torch.Tensor:
        inputs, targets = batch
        inputs -= inputs.mean() + 1
        output = model(torch.from_numpy(np.ascontiguousarray(inputs)))
        return nn.functional.cross_entropy(output, torch.from_numpy(targets))

    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    lr_find(TrainingTask(model, optimizer, data=Slices(x, np.arange(40) % 3), step=step), steps=12)
    assert np.array_equal(x, before)


def test_batches_that_a_loader_makes_are_not_kept() -> None:
    alive = []
    made: weakref.WeakSet[Any] = weakref.WeakSet()

    class Makes:
        def __iter__(self) -> Any:
            for _ in range(20):
                batch = torch.randn(8, 4)
                made.add(batch)
                alive.append(len(made))
                yield batch, torch.arange(8) % 3

    lr_find(of_model(Centred(), Makes()), steps=20, end_lr=1e-3)
    assert max(alive) <= 3


def test_looking_ends_where_what_is_written_to_is_made_anew() -> None:
    given = GivenBatches(Passes(None))
    looks = []
    for _ in range(4):
        batch = torch.zeros(8)
        looks.append(given.looks)
        if given.looks:
            given.before([batch])
            batch += 1
            given.after()
    assert looks == [True, True, False, False]
