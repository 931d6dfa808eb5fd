"""Batches that are indexed at once equal the loader's batches and draw the same random numbers."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)
from torch.utils.data._utils import collate

from lrwidget import lr_find
from lrwidget.data.batches import BatchSource
from lrwidget.data.collation import collate_at_once

rows = torch.arange(50)
images = torch.randn(50, 2, 3, 1)
pair = TensorDataset(images, rows)


class Twice(TensorDataset):
    """A data set that transforms its items."""

    def __getitem__(self, index: Any) -> Any:
        return tuple(2 * item for item in super().__getitem__(index))


class Given:
    """A batch sampler that yields fixed batches of indices."""

    def __init__(self, *batches: Any) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def private(loader: DataLoader) -> DataLoader:
    loader = copy.copy(loader)
    collate_at_once(loader)
    return loader


def in_one_piece(loader: DataLoader) -> bool:
    return private(loader).dataset is not loader.dataset


def assert_same(ours: Any, theirs: Any) -> None:
    assert type(ours) is type(theirs)
    if isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b)
        return
    assert (ours.dtype, ours.shape, ours.stride()) == (theirs.dtype, theirs.shape, theirs.stride())
    assert ours.is_contiguous(memory_format=torch.contiguous_format)
    assert torch.equal(ours.view(-1).view(torch.uint8), theirs.view(-1).view(torch.uint8))


def outcome(loader: DataLoader, generator: torch.Generator) -> tuple[list[Any], torch.Tensor, Any]:
    """Return the batches of three epochs and the state of both random generators afterwards."""
    torch.manual_seed(5)
    generator.manual_seed(6)
    batches = [batch for _ in range(3) for batch in loader]
    return batches, torch.get_rng_state(), generator.get_state()


LOADERS: dict[str, Callable[[torch.Generator], DataLoader]] = {
    "in order": lambda g: DataLoader(pair, batch_size=8),
    "shuffled": lambda g: DataLoader(pair, batch_size=8, shuffle=True),
    "own generator": lambda g: DataLoader(pair, batch_size=8, shuffle=True, generator=g),
    "drop the rest": lambda g: DataLoader(pair, batch_size=8, shuffle=True, drop_last=True),
    "weighted": lambda g: DataLoader(pair, 8, sampler=WeightedRandomSampler(rows + 1.0, 40)),
    "batch sampler": lambda g: DataLoader(
        pair, batch_sampler=BatchSampler(RandomSampler(pair, generator=g), 7, drop_last=False)
    ),
    "split": lambda g: DataLoader(random_split(pair, [30, 20], g)[0], batch_size=8, shuffle=True),
    "subset of a subset": lambda g: DataLoader(
        Subset(Subset(pair, range(40, 10, -1)), [3, 2, 9, 9]), batch_size=3, shuffle=True
    ),
    "one tensor": lambda g: DataLoader(TensorDataset(images), batch_size=8, shuffle=True),
    "three tensors": lambda g: DataLoader(TensorDataset(images, rows > 3, rows), batch_size=8),
}


@pytest.mark.parametrize("name", LOADERS)
def test_batches_and_random_numbers_are_those_of_the_loader(name: str) -> None:
    generator = torch.Generator()
    loader = LOADERS[name](generator)
    assert in_one_piece(loader)
    theirs, their_state, their_own = outcome(loader, generator)
    ours, our_state, our_own = outcome(private(loader), generator)
    assert_same(ours, theirs)
    assert torch.equal(our_state, their_state)
    assert torch.equal(our_own, their_own)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 1), (2, 1, 1), (1, 4, 4), (3, 2, 2), (0,)])
@pytest.mark.parametrize(
    "name",
    ["float32", "float64", "float16", "bfloat16", "int64", "uint8", "bool", "complex64"],
)
def test_any_shape_and_dtype(shape: tuple[int, ...], name: str) -> None:
    dtype = getattr(torch, name)
    loader = DataLoader(TensorDataset((9 * torch.randn(20, *shape)).to(dtype)), 8, shuffle=True)
    assert in_one_piece(loader)
    generator = torch.Generator()
    assert_same(outcome(private(loader), generator)[0], outcome(loader, generator)[0])


def test_nan_keeps_its_bits() -> None:
    values = torch.tensor([0x7FC00001, -0x3FFFFF, 0x7F800000, -0x80000000], dtype=torch.int32)
    loader = DataLoader(TensorDataset(values.view(torch.float32)), 4)
    assert in_one_piece(loader)
    assert_same(list(private(loader)), list(loader))


def test_no_item_is_asked_for_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    source = BatchSource(DataLoader(pair, batch_size=8, shuffle=True), on_epoch=lambda _: None)
    asked: list[Any] = []
    monkeypatch.setattr(TensorDataset, "__getitem__", lambda self, index: asked.append(index))
    assert [len(next(source)[1]) for _ in range(7)] == [8] * 6 + [2]
    assert asked == []


def test_the_loader_itself_stays_as_it_is() -> None:
    loader = DataLoader(pair, batch_size=8)
    before = dict(vars(loader))
    next(BatchSource(loader, on_epoch=lambda _: None))
    assert {k: v for k, v in vars(loader).items() if before[k] is not v} == {}


class OwnLoader(DataLoader):
    """A subclass of `DataLoader`, which may change its batches in any way."""


def with_getitems() -> Dataset:
    dataset = TensorDataset(rows)
    dataset.__getitems__ = lambda indices: [(rows[0],) for _ in indices]  # type: ignore[attr-defined]
    return dataset


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(Twice(images, rows), batch_size=8),
        DataLoader(Subset(Twice(images, rows), [1, 2, 3]), batch_size=2),
        DataLoader(pair, batch_size=8, collate_fn=lambda items: default_collate(items[:1])),
        DataLoader(pair, batch_size=None),
        DataLoader(pair, batch_size=8, num_workers=1),
        OwnLoader(pair, batch_size=8),
        DataLoader(with_getitems(), batch_size=8),
        DataLoader(TensorDataset(images.expand(50, 2, 3, 4)), batch_size=8),
        DataLoader(TensorDataset(torch.randn(9, 2, 3, 3).to(memory_format=torch.channels_last)), 4),
        DataLoader(TensorDataset(nn.Parameter(torch.ones(4, 2))), batch_size=2),
        DataLoader(TensorDataset(torch.ones(4, 2, requires_grad=True)), batch_size=2),
        DataLoader(TensorDataset(torch.ones(4, 2, dtype=torch.complex64).conj()), batch_size=2),
        DataLoader(TensorDataset(torch.eye(4).to_sparse()), batch_size=2),
        DataLoader(list(pair), batch_size=8),
    ],
)
def test_any_other_loader_is_left_alone(loader: DataLoader) -> None:
    assert not in_one_piece(loader)


def test_a_changed_table_of_collate_functions_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    ones = lambda batch, **_: torch.ones(len(batch))  # noqa: E731
    monkeypatch.setitem(collate.default_collate_fn_map, torch.Tensor, ones)
    assert not in_one_piece(DataLoader(pair, batch_size=8))


@pytest.mark.parametrize(
    "batch",
    [
        [-1, 2],
        (1, 2),
        torch.tensor([4, 5]),
        np.array([4, 5]),
        [np.int64(3), 4],
        [torch.tensor(3), torch.tensor(4)],
        [slice(0, 2), slice(2, 4)],
    ],
)
def test_indices_of_any_kind_give_what_the_loader_gives(batch: Any) -> None:
    loader = DataLoader(pair, batch_sampler=Given(batch))
    assert in_one_piece(loader)
    assert_same(list(private(loader)), list(loader))


@pytest.mark.parametrize("dataset", [pair, Subset(pair, range(9))])
@pytest.mark.parametrize("batch", [[0, 50], [-51], [], ["a"]])
def test_errors_are_those_of_the_loader(dataset: Dataset, batch: Any) -> None:
    loader = DataLoader(dataset, batch_sampler=Given(batch))
    assert in_one_piece(loader)
    with pytest.raises(Exception) as theirs:  # noqa: PT011 - whatever torch raises
        list(loader)
    with pytest.raises(theirs.type) as ours:
        list(private(loader))
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_sweep_equals_a_bare_loop_over_the_loader_itself(shuffle: bool) -> None:
    def problem() -> tuple[Any, ...]:
        torch.manual_seed(1)
        model = nn.Sequential(nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten())
        model.append(nn.Linear(12, 50))
        optimizer = torch.optim.Adam(model.parameters())
        sampler = RandomSampler(pair) if shuffle else SequentialSampler(pair)
        return model, optimizer, nn.CrossEntropyLoss(), DataLoader(pair, 8, sampler=sampler)

    records = lr_find(*problem(), start_lr=1e-4, end_lr=1.0, steps=25, progress=False, seed=3)

    model, optimizer, loss_fn, loader = problem()
    torch.manual_seed(3)
    losses: list[float] = []
    while len(losses) < len(records):
        for x, y in loader:
            if len(losses) == len(records):
                break
            optimizer.param_groups[0]["lr"] = records.lr[len(losses)]
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses == records.loss.tolist()
    assert len(losses) > 14  # more than two epochs
