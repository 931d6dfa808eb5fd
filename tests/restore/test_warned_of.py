"""A warning names iterators that a step or a loss reads on in, which nothing can wind back."""

import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from lrwidget import LRRecords, TrainingTask, check_lrs, lr_find, refine
from tests.tasks import blobs, network, problem

ce = nn.CrossEntropyLoss()
UNLABELLED = DataLoader(blobs(), batch_size=8)


def generated() -> Iterator[Any]:
    while True:
        yield from UNLABELLED


class Reader:
    def __init__(self, source: Iterator[Any]) -> None:
        self.held = {"source": source}

    def next(self) -> Any:
        return next(self.held["source"])


def task(source: Any, *, of_loss: bool = False) -> TrainingTask:
    reader, model, data = Reader(source), network(), problem()[3]

    def loss_fn(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        reader.next()
        return ce(output, target)

    def step(batch: Any) -> torch.Tensor:
        return loss_fn(model(batch[0]), batch[1])

    how: dict[str, Any] = {"loss_fn": loss_fn} if of_loss else {"step": step}
    return TrainingTask(model, torch.optim.SGD, data=data, **how)


SOURCES: dict[str, Callable[[], Any]] = {
    "the iterator of a DataLoader": lambda: iter(UNLABELLED),
    "an itertools.cycle": lambda: itertools.cycle(UNLABELLED),
    "an itertools.count": itertools.count,
    "a generator": generated,
}
WAYS: dict[str, Callable[[TrainingTask], Any]] = {
    "lr_find": lambda task: lr_find(task, steps=4, progress=False),
    "check_lrs": lambda task: check_lrs(task, [1e-3, 1e-2], 3),
    "refine": lambda task: refine(task, LRRecords(), budget=180),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("of_loss", [False, True])
def test_each_way_warns_of_it(way: str, of_loss: bool) -> None:
    told = "step or loss reads on in an itertools.count, which cannot be wound back"
    with pytest.warns(UserWarning, match=told) as warned:
        WAYS[way](task(itertools.count(), of_loss=of_loss))
    assert warned[0].filename == __file__


@pytest.mark.parametrize("source", SOURCES)
def test_it_is_named_by_its_kind(source: str) -> None:
    with pytest.warns(UserWarning, match=f"reads on in {source}, which"):
        lr_find(task(SOURCES[source]()), steps=2, progress=False)


def test_loaders_that_a_step_begins_anew_and_the_data_itself_are_not_meant() -> None:
    model, optimizer, loss_fn, loader = problem()

    def step(batch: Any) -> torch.Tensor:
        ((inputs, _), *_) = itertools.islice(UNLABELLED, 1)
        return loss_fn(model(batch[0]), batch[1]) + model(inputs).mean()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lr_find(TrainingTask(model, optimizer, data=loader, step=step), steps=2, progress=False)
        lr_find(model, optimizer, loss_fn, iter(list(loader)), steps=2, progress=False)
