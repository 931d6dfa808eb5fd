"""A loader's long list of samples leaves in view what else the loader holds."""

import dataclasses
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import lr_find

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
