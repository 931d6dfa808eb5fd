"""A sweep whose copy would not do begins again in place as if it had been so from the start."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, default_collate

from lrwidget import LRRecords, TrainingTask, check_lrs, lr_find, refine
from tests.tasks import blobs, network

ce = nn.CrossEntropyLoss()
held: dict[str, nn.Module] = {}


class Hidden(nn.Module):
    """A model that computes with the one that was made last, which no reading of it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, inputs: torch.Tensor) -> Any:
        return globals()["he" + "ld"]["model"].net(inputs)


class Noise:
    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(1)

    def __call__(self, given: torch.Tensor) -> torch.Tensor:
        return given + torch.randn(given.shape, generator=self.generator)


noise = Noise()


def task(kind: str, model: nn.Module, **options: Any) -> TrainingTask:
    """Return a task with a collation that counts, or whose collation or loss draws."""
    torch.manual_seed(0)
    noise.__init__()  # type: ignore[misc]
    count = 0

    def collated(samples: list[Any]) -> Any:
        nonlocal count
        count += 1
        inputs, targets = default_collate(samples)
        return (noise(inputs) if kind == "drawn" else inputs * min(1.0, count / 4)), targets

    def loss_fn(output: torch.Tensor, target: torch.Tensor) -> Any:
        return ce(noise(output), target)

    held["model"] = model
    loss: Any = loss_fn if kind == "loss" else ce
    loader = DataLoader(blobs(), 16, collate_fn=None if kind == "loss" else collated)
    return TrainingTask(model, torch.optim.SGD, loss, loader, **options)


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("kind", ["counted", "drawn", "loss"])
def test_the_curve_is_that_of_a_sweep_in_place(kind: str, seed: int | None) -> None:
    again = lr_find(task(kind, Hidden()), steps=6, seed=seed, progress=False)
    assert "the model itself" in again.meta["why_in_place"]
    begun = task(kind, Hidden(), snapshot="device")
    in_place = lr_find(begun, steps=6, seed=seed, progress=False)
    assert again.loss.tolist() == in_place.loss.tolist()


@pytest.mark.parametrize("kind", ["counted", "drawn", "loss"])
def test_each_trial_begins_with_the_same_numbers(kind: str) -> None:
    first, second = check_lrs(task(kind, network()), [1e-30, 2e-30], 4).trials
    assert first.loss.tolist() == second.loss.tolist()
    result = refine(task(kind, network()), LRRecords(), 180)
    assert len({trial.records.loss[0] for trial in result.trials}) == 1
