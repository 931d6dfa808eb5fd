"""Measuring held-out data draws no random number of the training, which goes on as without it."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

from lrwidget import LRRecords, TrainingTask, lr_find, refine
from tests.tasks import blobs, network

ce = nn.CrossEntropyLoss()
x, y = blobs().tensors
BATCHES = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 192, 16)]
HELD_OUT = [(x[192:], y[192:])]


class Noise:
    """Draws from a generator of its own, or from the global ones."""

    def __init__(self, *, own: bool) -> None:
        self.generator = torch.Generator().manual_seed(3) if own else torch.default_generator
        self.factor = random.Random(3) if own else random
        self.numpy: Any = np.random.default_rng(3) if own else np.random

    def __call__(self, output: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(output.shape, generator=self.generator)
        return output + noise * self.factor.random() + self.numpy.normal()


def task(own: bool, form: str, **options: Any) -> tuple[TrainingTask, Callable[[Any], Any]]:
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the global generator is the subject
    model, noise = network(), Noise(own=own)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def loss_fn(output: torch.Tensor, target: torch.Tensor) -> Any:
        return ce(noise(output), target)

    def step(batch: Any) -> Any:
        return loss_fn(model(batch[0]), batch[1])

    if form == "loss":
        return TrainingTask(model, optimizer, loss_fn, BATCHES, **options), step
    return TrainingTask(model, optimizer, data=BATCHES, step=step, evaluate=step, **options), step


@pytest.mark.parametrize("form", ["loss", "step"])
@pytest.mark.parametrize("own", [True, False])
def test_a_sweep_that_validates_trains_as_one_that_does_not(form: str, own: bool) -> None:
    alone = lr_find(task(own, form)[0], steps=6, progress=False)
    beside = lr_find(task(own, form, val_data=HELD_OUT, val_every=2)[0], steps=6, progress=False)
    assert beside.loss.tolist() == alone.loss.tolist()


@pytest.mark.parametrize("form", ["loss", "step"])
@pytest.mark.parametrize("own", [True, False])
def test_a_trial_that_goes_on_after_it_is_a_plain_loop(form: str, own: bool) -> None:
    result = refine(task(own, form)[0], LRRecords(), 750, held_out=HELD_OUT)
    longest = max(result.trials, key=lambda trial: len(trial.records))
    assert len(longest.held_out) > 1
    plain, step = task(own, form)
    losses = []
    for number in range(len(longest.records)):
        plain.optimizer.param_groups[0]["lr"] = longest.lr
        loss = step(BATCHES[number % len(BATCHES)])
        plain.optimizer.zero_grad()
        loss.backward()
        plain.optimizer.step()
        losses.append(loss.item())
    assert longest.records.loss.tolist() == losses


class Augmented(Dataset[Any]):
    """Draws for each sample, and keeps the last one."""

    def __init__(self) -> None:
        self.last = 0

    def __len__(self) -> int:
        return len(x)

    def __getitem__(self, index: int) -> Any:
        self.last += index
        return x[index] + torch.rand(8) + np.random.rand() + self.last / 100, y[index]  # noqa: NPY002


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_so_does_one_that_reads_them_from_a_loader(shared: bool, shuffle: bool) -> None:
    def losses(*, validates: bool) -> list[float]:
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002 - the global generator is the subject
        model, data = network(), Augmented()
        generator = torch.Generator().manual_seed(1) if shared else None
        train, held_out = (
            DataLoader(Subset(data, part), 16, shuffle=mixed, generator=generator)
            for part, mixed in ((range(192), True), (range(192, 256), shuffle))
        )
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        options: dict[str, Any] = {"val_data": held_out} if validates else {}
        return lr_find(
            model, optimizer, ce, train, steps=4, progress=False, **options
        ).loss.tolist()

    assert losses(validates=True) == losses(validates=False)
