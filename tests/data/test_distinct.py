"""How many different samples a sweep reads, where they are few."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from lrwidget import LRRecords, lr_find
from lrwidget.curve.few_samples import few_samples_doubt
from lrwidget.data.distinct import RowCount, few_samples_of

X = torch.randn(64, 20, generator=torch.Generator().manual_seed(0))
Y = torch.randint(0, 4, (64,), generator=torch.Generator().manual_seed(1))
FEW = TensorDataset(X, Y)
BATCHES = [(X[i : i + 32], Y[i : i + 32]) for i in (0, 32)]


class Endless(Sampler[int]):
    def __iter__(self) -> Iterator[int]:
        while True:
            yield from torch.randperm(64).tolist()


class Own:
    def __iter__(self) -> Iterator[Any]:
        return ((X[i : i + 32].clone(), Y[i : i + 32]) for i in (0, 32))


def endless() -> Iterator[Any]:
    while True:
        yield from BATCHES


def swept(data: Any) -> LRRecords:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 128), nn.ReLU(), nn.Linear(128, 4))
    optimizer = torch.optim.Adam(model.parameters())
    return lr_find(model, optimizer, nn.CrossEntropyLoss(), data, progress=False, steps=100)


REPEATED: dict[str, Callable[[], Any]] = {
    "a loader": lambda: DataLoader(FEW, 32, shuffle=True),
    "drawn with replacement": lambda: DataLoader(FEW, 32, sampler=RandomSampler(FEW, True, 6400)),
    "joined ten times": lambda: DataLoader(ConcatDataset([FEW] * 10), 32, shuffle=True),
    "a subset with repeats": lambda: DataLoader(Subset(FEW, [*range(64)] * 9), 32, shuffle=True),
    "repeated rows": lambda: (X.repeat(10, 1).numpy(), Y.repeat(10).numpy()),
    "copies in a list": lambda: [(x.clone(), int(y)) for _ in range(10) for x, y in FEW],
    "a list of two batches": lambda: BATCHES,
    "an iterable of batches": Own,
    "a generator of batches": endless,
}


@pytest.mark.parametrize("name", REPEATED)
def test_a_sweep_over_few_samples_is_doubted_however_they_are_given(name: str) -> None:
    records = swept(REPEATED[name]())
    why = few_samples_doubt(records.meta, records.sweep_starts, len(records)) or ""
    assert "times over few samples, about 64, which a model may learn by heart" in why
    assert records.suggestion.confidence == "low"


def static_buffer() -> Iterator[Any]:
    x = torch.empty(32, 20)
    while True:
        yield x.normal_(), Y[:32]


MANY = TensorDataset(torch.randn(640, 20), torch.randint(0, 4, (640,)))
BITS = torch.randint(0, 2, (6400, 4)).float()
ENOUGH: dict[str, Callable[[], Any]] = {
    "a loader": lambda: DataLoader(MANY, 32, shuffle=True),
    "batches": lambda: list(DataLoader(MANY, 32)),
    "fresh batches": lambda: ((torch.randn(32, 20), Y[:32]) for _ in range(200)),
    "a buffer that is filled anew": static_buffer,
    "few discrete features": lambda: DataLoader(
        TensorDataset(BITS.repeat(1, 5), torch.randint(0, 4, (6400,))), 32, shuffle=True
    ),
}


@pytest.mark.parametrize("name", ENOUGH)
def test_a_sweep_over_more_samples_is_not_doubted(name: str) -> None:
    records = swept(ENOUGH[name]())
    assert few_samples_doubt(records.meta, records.sweep_starts, len(records)) is None
    assert "different_samples" not in records.meta


class Untouched(Dataset[Any]):
    def __len__(self) -> int:
        return 100

    def __getitem__(self, index: int) -> Any:
        raise AssertionError("was read")


def test_samples_are_counted_without_reading_them() -> None:
    data = Untouched()
    assert few_samples_of(DataLoader(data), 300) == 100
    assert few_samples_of(DataLoader(data), 100) is None
    assert few_samples_of(DataLoader(ConcatDataset([data, data])), 300) == 100
    assert few_samples_of(DataLoader(data, sampler=SubsetRandomSampler([3, 3, 5])), 300) == 2
    weights = [0.0] * 90 + [1.0] * 10
    assert few_samples_of(DataLoader(data, sampler=WeightedRandomSampler(weights, 999)), 300) == 10
    assert few_samples_of(DataLoader(data, sampler=Endless()), 300) == 100
    for other in (DataLoader(Subset(data, [])), [1, 2], iter(())):
        assert few_samples_of(other, 300) is None


@pytest.mark.parametrize("batch", [3, "text", [], (), {}, {"a": [1]}, None])
def test_batches_without_tensors_are_not_counted(batch: Any) -> None:
    count = RowCount(300, [])
    count.read([batch])
    assert not count.counts
    assert count.end_pass() is None
