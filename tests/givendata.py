"""Data in the forms that users pass, and the batches that a model receives."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from lrwidget import lr_find
from tests.tasks import blobs, problem

data_set = blobs(96)
x, y = data_set.tensors
samples = [data_set[i] for i in range(96)]
batches = list(DataLoader(data_set, batch_size=16))
ce = nn.CrossEntropyLoss()


met: list[tuple[int, ...]] = []


class Seeing(nn.Module):
    """A classifier that records the shapes of its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.net = problem()[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        met.append(tuple(x.shape))
        return self.net(x.flatten(1))


def shapes(data: Any, steps: int = 4, **options: Any) -> list[tuple[int, ...]]:
    met.clear()
    lr_find(Seeing(), torch.optim.SGD, ce, data, steps=steps, progress=False, **options)
    return list(met)


def losses(data: Any, steps: int = 8, **options: Any) -> list[float]:
    records = lr_find(*problem()[:3], data, steps=steps, seed=3, progress=False, **options)
    return records.loss.tolist()


class Indexed:
    """A data set that does not inherit from torch's."""

    def __init__(self, length: int = 96) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        if index >= self.length:
            raise IndexError
        return samples[index]


class IndexedBatches:
    """A sequence of batches, like Keras's."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        x, y = batches[index]
        return x.reshape(16, 2, 2, 2), y


class Loader(Indexed):
    """A loader that also gives access to its samples."""

    def __iter__(self) -> Iterator[Any]:
        return iter(batches)


class Stream(IterableDataset[Any]):
    def __init__(self, items: Callable[[], Any]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items())


class Reiterable:
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


def sequences() -> list[Any]:
    return [(torch.rand(16, 8), torch.randint(0, 4, (16,))) for _ in range(8)]
