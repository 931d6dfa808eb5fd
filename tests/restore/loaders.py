"""Data, samplers and random objects for the tests of what loaders hold."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import (
    Sampler,
    TensorDataset,
)

from lrwidget import LRRecords, TrainingTask
from tests.restore.endings import find

X = torch.randn(24, 4, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True)
SAMPLES = TensorDataset(X, Y)


def task_of(data: Any, **options: Any) -> TrainingTask:
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return TrainingTask(model, optimizer, nn.functional.mse_loss, data, **options)


def swept(data: Any, **options: Any) -> LRRecords:
    sweep = {name: options.pop(name) for name in ("seed", "repeats") if name in options}
    return find(task_of(data, **options), **sweep)


class Order(Sampler[int]):
    """A sampler that draws a new order each epoch from its own generator."""

    def __init__(self, draw: Callable[[], list[int]]) -> None:
        self.draw = draw
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        self.epoch += 1
        yield from self.draw()

    def __len__(self) -> int:
        return len(X)


class Drawing:
    """A callable object that draws random numbers, such as a transform or a collation."""

    def __init__(self, generator: Any, draw: Callable[[Any], Any]) -> None:
        self.generator, self.draw = generator, draw

    def __call__(self, *_: Any) -> Any:
        return self.draw(self.generator)

    def with_loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return nn.functional.mse_loss(output, target) + self.generator.random()

    def state(self) -> Any:
        return state_of(self.generator)


def state_of(value: Any) -> Any:
    """Return a comparable state of a generator or of an object of this file."""
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return repr(value.get_state())
    if isinstance(value, random.Random):
        return value.getstate()
    return value.state()
