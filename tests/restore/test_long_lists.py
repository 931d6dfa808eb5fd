"""A loader's long list of samples leaves in view what else the loader holds."""

import dataclasses
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from lrwidget import TrainingTask, lr_find

MSE = nn.functional.mse_loss
Pair = tuple[torch.Tensor, torch.Tensor]


@dataclasses.dataclass
class Sample:
    x: torch.Tensor
    y: torch.Tensor


class Mixer:
    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return x + self.model(x) * 0.1


class Mixed:
    """Batches whose inputs depend on the model, in an order that it draws."""

    def __init__(self, samples: list[Any], read: Callable[[Any], Pair], model: nn.Module) -> None:
        self.shards = [samples, *([sample] * 1000 for sample in samples[:12])]
        self.read = read
        self.drawn: dict[str, Any] = {"by": [random.Random(0)], "mixed": [Mixer(model)]}

    def __iter__(self) -> Iterator[Pair]:
        while True:
            x, y = self.read(self.drawn["by"][0].choice(self.shards[0]))
            yield self.drawn["mixed"][0](x), y


KINDS = {
    "tuples": (lambda x, y: (x, y), lambda sample: sample),
    "dicts": (lambda x, y: {"x": x, "y": y}, lambda sample: (sample["x"], sample["y"])),
    "objects": (Sample, lambda sample: (sample.x, sample.y)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_list_of_samples_does_not_hide_a_model_or_a_generator(kind: str) -> None:
    make, read = KINDS[kind]
    generator = torch.Generator().manual_seed(0)
    samples = [make(*torch.randn(2, 4, 1, generator=generator)) for _ in range(1000)]
    torch.manual_seed(0)
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = Mixed(samples, read, model)
    before = loader.drawn["by"][0].getstate()

    records = lr_find(model, optimizer, MSE, loader, end_lr=0.5, steps=20, progress=False)

    assert loader.drawn["by"][0].getstate() == before
    losses = []
    for lr, (x, y) in zip(records.lr, loader, strict=False):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        loss = MSE(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == list(records.loss)


class Average:
    """An average of the weights, in a dict deep within."""

    def __init__(self, model: nn.Module) -> None:
        self.held = {"of": {"all": [p.detach().clone() for p in model.parameters()]}}

    def update(self, model: nn.Module) -> float:
        for kept, p in zip(self.held["of"]["all"], model.parameters(), strict=True):
            kept.mul_(0.9).add_(p.detach(), alpha=0.1)
        return float(self.held["of"]["all"][0].sum())


class Loop:
    def __init__(self) -> None:
        fields = [f"field {i}" for i in range(25)]
        self.samples = [{name: torch.ones(1) for name in fields} for _ in range(1000)]
        self.model = nn.Linear(1, 1)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.state = {"average": Average(self.model)}

    def step(self, number: int) -> torch.Tensor:
        sample = self.samples[number]["field 3"]
        loss: torch.Tensor = (self.model(sample) - 1).square().sum()
        return loss + self.state["average"].update(self.model)


def test_many_samples_that_a_step_uses_do_not_hide_what_it_changes() -> None:
    loop = Loop()
    task = TrainingTask(
        loop.model, loop.optimizer, data=list(range(9)), step=lambda i: loop.step(i)
    )
    kept = loop.state["average"].held["of"]["all"]
    before = [tensor.clone() for tensor in kept]

    lr_find(task, steps=20, progress=False)

    assert all(map(torch.equal, kept, before))


class Videos(torch.utils.data.Dataset[Pair]):
    """A data set of some lists of some frames, whose preparation counts deep within."""

    def __init__(self) -> None:
        self.videos = [{"frames": [{"at": {"second": j}} for j in range(90)]} for _ in range(90)]
        self.held = {"by": [{"for": {"all": [{"generator": torch.Generator()}]}}]}

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Pair:
        generator = self.held["by"][0]["for"]["all"][0]["generator"]
        return torch.rand(1, generator=generator), torch.ones(1)


def test_lists_of_lists_do_not_hide_a_generator() -> None:
    data = Videos()
    generator = data.held["by"][0]["for"]["all"][0]["generator"]
    before = generator.get_state()
    model = nn.Linear(1, 1)

    lr_find(model, torch.optim.SGD(model.parameters()), MSE, DataLoader(data, 8), progress=False)

    assert torch.equal(generator.get_state(), before)
