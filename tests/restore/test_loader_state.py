"""A sweep restores the state in loaders: generators, epochs, caches and buffers at any depth."""

import array
import collections
import functools
import multiprocessing
import random
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Subset,
    WeightedRandomSampler,
)
from torch.utils.data.distributed import DistributedSampler

from lrwidget import TrainingTask
from tests.restore.endings import ENDINGS
from tests.restore.loaders import SAMPLES, Drawing, Order, X, Y, state_of, swept
from tests.restore.plan import Data, Eventful, Loss, Metric, Plan

GLOBAL_RNG = np.random.default_rng(5)


class Augmented(Dataset[Any]):
    """A data set that adds noise from a given function, and counts and caches its items."""

    def __init__(self, noise: Callable[[], Any]) -> None:
        self.noise = noise
        self.calls = 0
        self.cache: dict[int, Any] = {}
        self.recent: collections.deque[int] = collections.deque([7], maxlen=5)
        self.seen: set[int] = set()
        self.first: Any = None

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> Any:
        self.calls += 1
        self.recent.append(index)
        self.seen.add(index)
        self.first = self.first or index
        self.cache[index] = X[index] + 0.01 * float(self.noise())
        return self.cache[index], Y[index]

    def state(self) -> Any:
        held = (self.calls, dict(self.cache), list(self.recent), set(self.seen), self.first)
        return held, state_of(self.noise)


def _deep(inner: Any) -> Any:
    return ConcatDataset([Subset(ConcatDataset([inner]), range(12)), Subset(inner, range(12, 24))])


class Nested:
    """A batch sampler that holds another one inside a dict and a list."""

    def __init__(self, inner: Any) -> None:
        self.parts = {"of": [(inner,)]}

    def __iter__(self) -> Iterator[list[int]]:
        yield from self.parts["of"][0][0]

    def __len__(self) -> int:
        return 3


class Slotted:
    """A loader without `__dict__`."""

    __slots__ = ("epoch", "generator", "unset")

    def __init__(self, generator: Any) -> None:
        self.generator, self.epoch = generator, 0

    def __iter__(self) -> Iterator[Any]:
        self.epoch += 1
        self.unset = True
        for start in self.generator.permutation(20)[:6]:
            yield X[start : start + 4], Y[start : start + 4]

    def state(self) -> Any:
        return state_of(self.generator), self.epoch, hasattr(self, "unset")


class Shuffled(IterableDataset[Any]):
    """A stream with a shuffle buffer and an epoch, as in many libraries."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.epoch, self.buffer = rng, 0, collections.deque(range(5))
        self.shared_epoch = torch.tensor(0).share_memory_()
        self.order = np.arange(24)
        self.counts = array.array("l", [0, 0])
        self.told = multiprocessing.get_context("spawn").Value("l", 0)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[Any]:
        self.epoch += 1
        self.shared_epoch += 1
        self.told.value += 1
        self.counts[0] += 1
        self.rng.shuffle(self.order)  # type: ignore[arg-type]
        for index in self.order:
            self.buffer.append(int(index))
            at = self.buffer.popleft()
            yield X[at], Y[at]

    def state(self) -> Any:
        told = (self.told.value, int(self.shared_epoch), list(self.counts))
        return state_of(self.rng), self.epoch, list(self.buffer), told, self.order.tolist()


def _noise() -> Augmented:
    return Augmented(Drawing(np.random.default_rng(1), lambda g: g.standard_normal()))


class Cursor:
    """Counts up, as the position in a stream."""

    def __init__(self) -> None:
        self.position = 0

    def __next__(self) -> int:
        self.position += 1
        return self.position % 24


class GoesOn:
    """Batches from where the last pass has ended."""

    def __init__(self) -> None:
        self._iterator = Cursor()

    def __iter__(self) -> Iterator[Any]:
        for _ in range(4):
            at = [next(self._iterator) for _ in range(4)]
            yield X[at], Y[at]

    def state(self) -> Any:
        return self._iterator.position


class FromGlobal(Dataset[Any]):
    """A data set that uses a global generator, as in a notebook."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> Any:
        return X[index] + GLOBAL_RNG.standard_normal(), Y[index]

    def state(self) -> Any:
        return state_of(GLOBAL_RNG)


class Collation:
    """A `collate_fn` object that remembers its warnings."""

    def __init__(self) -> None:
        self.warned: set[tuple[str, ...]] = set()
        self.rng = random.Random(0)

    def __call__(self, samples: list[Any]) -> Any:
        self.warned.add(("x", "y"))
        self.rng.random()
        return torch.utils.data.default_collate(samples)

    def state(self) -> Any:
        return set(self.warned), self.rng.getstate()


def _in_collation(rng: Any, samples: list[Any]) -> Any:
    rng.random()
    return torch.utils.data.default_collate(samples)


def _case(loader: Callable[[Any], Any], holder: Callable[[], Any]) -> Callable[[], Any]:
    def make() -> tuple[Any, Any]:
        held = holder()
        return loader(held), held

    return make


def _epochs(sampler: Any) -> SimpleNamespace:
    return SimpleNamespace(state=lambda: (sampler.epoch, state_of(sampler.draw)))


def _order() -> Order:
    return Order(Drawing(np.random.default_rng(0), lambda g: g.permutation(24).tolist()))


def _sampled(wrap: Callable[[Order], Any]) -> Callable[[], Any]:
    def make() -> tuple[Any, Any]:
        order = _order()
        return wrap(order), _epochs(order)

    return make


HOLDERS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "a data set": _case(lambda held: held, _noise),
    "a data set in a loader": _case(lambda held: DataLoader(held, 4), _noise),
    "a data set in others": _case(lambda held: DataLoader(_deep(held), 4), _noise),
    "a data set that uses a global": _case(lambda held: DataLoader(held, 4), FromGlobal),
    "an iterable data set": _case(
        lambda held: DataLoader(held, 4), lambda: Shuffled(random.Random(0))
    ),
    "a chain of them": _case(
        lambda held: DataLoader(ChainDataset([held, held]), 4), lambda: Shuffled(random.Random(0))
    ),
    "an iterable of batches with slots": _case(
        lambda held: held, lambda: Slotted(np.random.default_rng(0))
    ),
    "a position in what goes on": _case(lambda held: held, GoesOn),
    "a sampler in a batch sampler": _sampled(
        lambda order: DataLoader(SAMPLES, batch_sampler=BatchSampler(order, 8, False))
    ),
    "a sampler in a batch sampler of somebody's": _sampled(
        lambda order: DataLoader(SAMPLES, batch_sampler=Nested(BatchSampler(order, 8, False)))
    ),
    "a sampler behind a loader of somebody's": _sampled(
        lambda order: Nested(DataLoader(SAMPLES, 8, sampler=order))
    ),
    "a generator of torch's random sampler": _case(
        lambda held: DataLoader(SAMPLES, 8, sampler=RandomSampler(SAMPLES, generator=held)),
        lambda: torch.Generator().manual_seed(1),
    ),
    "a generator of a weighted sampler": _case(
        lambda held: DataLoader(
            SAMPLES, 8, sampler=WeightedRandomSampler([1.0] * 24, 24, generator=held)
        ),
        lambda: torch.Generator().manual_seed(1),
    ),
    "a collation": _case(lambda held: DataLoader(SAMPLES, 8, collate_fn=held), Collation),
    "a generator in a partial": _case(
        lambda held: DataLoader(SAMPLES, 8, collate_fn=functools.partial(_in_collation, held)),
        lambda: random.Random(0),
    ),
    "a generator in a closure": _case(
        lambda held: DataLoader(SAMPLES, 8, collate_fn=lambda s: _in_collation(held, s)),
        lambda: random.Random(0),
    ),
    "a method of an object": _case(
        lambda held: DataLoader(SAMPLES, 8, collate_fn=held.__call__), Collation
    ),
}


@pytest.mark.parametrize("where", ["data", "val_data"])
@pytest.mark.parametrize("holder", HOLDERS)
def test_what_a_loader_holds_is_as_before(holder: str, where: str) -> None:
    data, held = HOLDERS[holder]()
    before = state_of(held)
    if where == "data":
        swept(data)
    else:
        swept(DataLoader(SAMPLES, 4), val_data=data, val_every=2)
    assert state_of(held) == before


def test_without_a_sweep_these_change() -> None:
    for name, make in HOLDERS.items():
        data, held = make()
        before = state_of(held)
        for _ in data if not isinstance(data, Augmented) else [data[0]]:
            pass
        assert state_of(held) != before, name


class Restless(Data):
    """A data set that changes its state with every item."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan, torch.randn(20, 3, generator=torch.Generator().manual_seed(0)))
        self.moved = 0
        self.rng = np.random.default_rng(0)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.moved += 1
        self.rng.random()
        return super().__getitem__(index)


@pytest.mark.parametrize("ending", ENDINGS)
def test_however_the_sweep_ends(ending: str) -> None:
    plan = Plan()
    data = Restless(plan)
    model = Eventful(nn.Linear(3, 2), plan)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loader = DataLoader(data, batch_size=4, shuffle=True)
    held_out = {"val_data": DataLoader(data, batch_size=4), "val_batches": 1, "val_every": 2}
    task = TrainingTask(model, optimizer, Loss(plan), loader, metric=Metric(plan), **held_out)
    before = data.moved, state_of(data.rng)
    ENDINGS[ending](task, plan)
    assert (data.moved, state_of(data.rng)) == before


def test_a_distributed_sampler_keeps_the_epoch_that_it_was_set_to() -> None:
    sampler = DistributedSampler(SAMPLES, num_replicas=2, rank=0)
    sampler.set_epoch(3)

    class Epochs:
        def __iter__(self) -> Iterator[Any]:
            sampler.set_epoch(sampler.epoch + 1)
            return iter(self.loader)

        loader = DataLoader(SAMPLES, 4, sampler=sampler)

        def __init__(self) -> None:
            self.sampler = sampler

    swept(Epochs())
    assert sampler.epoch == 3
