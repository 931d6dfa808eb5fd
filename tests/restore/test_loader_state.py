"""A sweep restores the state in loaders: generators, epochs, caches and buffers at any depth."""

import array
import collections
import functools
import io
import multiprocessing
import queue
import random
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
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
    Sampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
)
from torch.utils.data.distributed import DistributedSampler

from lrwidget import LRRecords, TrainingTask
from lrwidget.engine.check import check_lrs
from tests.restore.endings import ENDINGS, find
from tests.restore.plan import Data, Eventful, Loss, Metric, Plan

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


GENERATORS: dict[str, Callable[[], tuple[Any, Callable[[Any], Any]]]] = {
    "numpy Generator": lambda: (np.random.default_rng(0), lambda g: g.permutation(24).tolist()),
    "numpy Philox": lambda: (
        np.random.Generator(np.random.Philox(3)),
        lambda g: g.permutation(24).tolist(),
    ),
    "RandomState": lambda: (
        np.random.RandomState(0),
        lambda g: g.permutation(24).tolist(),
    ),
    "random.Random": lambda: (random.Random(0), lambda g: g.sample(range(24), 24)),
    "torch.Generator": lambda: (
        torch.Generator().manual_seed(0),
        lambda g: torch.randperm(24, generator=g).tolist(),
    ),
}


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_generator_of_any_kind_goes_on_as_if_there_had_been_no_sweep(kind: str) -> None:
    generator, draw = GENERATORS[kind]()
    unswept, _ = GENERATORS[kind]()
    sampler = Order(Drawing(generator, draw))
    swept(DataLoader(SAMPLES, 8, sampler=sampler))
    assert sampler.epoch == 0
    assert [draw(generator) for _ in range(3)] == [draw(unswept) for _ in range(3)]


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


GLOBAL_RNG = np.random.default_rng(5)


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


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "a closure": lambda rng: lambda out, y: nn.functional.mse_loss(out, y) + rng.random(),
    "a partial": lambda rng: functools.partial(
        lambda rng, out, y: nn.functional.mse_loss(out, y) + rng.random(), rng
    ),
    "an object": lambda rng: Drawing(rng, lambda rng: None).with_loss,
    "a global": lambda _: lambda out, y: nn.functional.mse_loss(out, y) + GLOBAL_RNG.random(),
}


@pytest.mark.parametrize("used_as", ["loss", "step", "metric"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_generator_that_a_function_draws_from_is_as_before(function: str, used_as: str) -> None:
    rng = GLOBAL_RNG if function == "a global" else random.Random(0)
    draws = FUNCTIONS[function](rng)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    options: dict[str, Any] = {"data": DataLoader(SAMPLES, 8), "loss_fn": nn.functional.mse_loss}
    if used_as == "loss":
        options["loss_fn"] = draws
    elif used_as == "step":
        options["step"] = lambda batch: draws(model(batch[0]), batch[1])
    else:
        options |= {"val_data": DataLoader(SAMPLES, 8), "metric": draws}
    before = state_of(rng)
    find(TrainingTask(model, optimizer, **options))
    assert state_of(rng) == before


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


def test_a_check_trains_each_rate_on_the_same_order() -> None:
    orders: list[list[int]] = []
    rng = np.random.default_rng(0)

    def draw() -> list[int]:
        orders.append(rng.permutation(24).tolist())
        return orders[-1]

    draw_of_an_object = Drawing(rng, lambda _: draw())
    check_lrs(task_of(DataLoader(SAMPLES, 8, sampler=Order(draw_of_an_object))), [1e-3, 1e-2], 5)
    assert orders[: len(orders) // 2] == orders[len(orders) // 2 :]


def test_a_seed_and_repeats_reach_the_generators_of_the_samplers() -> None:
    def losses(kind: str, seed: int, repeats: int) -> np.ndarray[Any, Any]:
        generator, draw = GENERATORS[kind]()
        draw(generator)
        torch.manual_seed(0)
        data = DataLoader(SAMPLES, 8, sampler=Order(Drawing(generator, draw)))
        return swept(data, seed=seed, repeats=repeats).loss

    for kind in GENERATORS:
        first, again, other = losses(kind, 1, 2), losses(kind, 1, 2), losses(kind, 2, 2)
        assert first.tolist() == again.tolist(), kind
        assert first[:12].tolist() != first[12:].tolist(), kind
        assert first[:12].tolist() != other[:12].tolist(), kind


def test_a_file_that_is_read_is_put_back_to_its_position(tmp_path: Path) -> None:
    path = tmp_path / "samples.bin"
    path.write_bytes(X.numpy().tobytes())

    class Lines(IterableDataset[Any]):
        def __init__(self, file: io.BufferedReader) -> None:
            self.file = file
            self.read = 0

        def __iter__(self) -> Iterator[Any]:
            while raw := self.file.read(16):
                self.read += 1
                x = torch.frombuffer(bytearray(raw), dtype=torch.float32)
                yield x, x.sum(0, keepdim=True)

    with path.open("rb") as file:
        data = Lines(file)
        file.seek(16)
        records = swept(data, batch_size=4)
        assert (records.stop_reason, len(records)) == ("exhausted", 6)
        assert (file.tell(), data.read) == (16, 0)


class Hidden:
    """A loader whose position is in an iterator; only its own methods can read and set it."""

    def __init__(self) -> None:
        self._places = iter(range(10**9))
        self._next = next(self._places)

    def __iter__(self) -> Iterator[Any]:
        for _ in range(5):
            self._next = next(self._places)
            yield X[:4], Y[:4]

    def state_dict(self) -> dict[str, int]:
        return {"next": int(repr(self._places.__reduce__()[2]))}  # type: ignore[index]

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._places = iter(range(10**9))
        for _ in range(state["next"]):
            next(self._places)


def test_an_iterator_inside_is_put_back_by_the_objects_own_state_dict() -> None:
    data = Hidden()
    before = data.state_dict()
    swept(data)
    assert data.state_dict() == before
    list(data)
    assert data.state_dict() != before


def test_data_are_not_copied() -> None:
    size = 4_000_000

    class Large(Dataset[Any]):
        def __init__(self) -> None:
            self.array = np.zeros((size // 8, 4))
            self.tensor = torch.zeros(size // 4, 4)
            self.samples = [(float(i), 0) for i in range(size // 10)]
            self.by_name = dict.fromkeys(map(str, range(size // 10)), 1.0)
            self.nested = [[torch.zeros(1000)] for _ in range(900)]

        def __len__(self) -> int:
            return len(X)

        def __getitem__(self, index: int) -> Any:
            return X[index], Y[index]

    task = task_of(Large(), batch_size=4)
    find(task)  # the first sweep may load and cache things
    copied: list[int] = []
    clone = torch.Tensor.clone

    def counted(self: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        copied.append(self.nbytes)
        return clone(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "clone", counted)
        tracemalloc.start()
        try:
            find(task)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < 2**20
    assert sum(copied) < 2**20


def test_an_order_of_many_samples_is_put_back() -> None:
    class Ordered(Dataset[Any]):
        def __init__(self) -> None:
            self.order = np.arange(500_000)
            self.names = list(range(500_000))

        def __len__(self) -> int:
            return len(X)

        def __getitem__(self, index: int) -> Any:
            self.order[:2] = self.order[1::-1]
            self.names[0] = self.names[1] = -1
            return X[index], Y[index]

    data = Ordered()
    swept(data)
    assert data.order[:3].tolist() == data.names[:3] == [0, 1, 2]


def test_models_and_widgets_behind_a_loader_are_left_alone() -> None:
    class Experiment:
        def __init__(self) -> None:
            self.other = nn.Linear(4, 1)
            self.records = LRRecords()

    experiment = Experiment()

    class Tied(Dataset[Any]):
        def __init__(self) -> None:
            self.experiment = experiment
            self.calls = 0

        def __len__(self) -> int:
            return len(X)

        def __getitem__(self, index: int) -> Any:
            self.calls += 1
            experiment.other.weight.data += 1
            experiment.records.append(1.0, 1.0)
            return X[index], Y[index]

    before = experiment.other.weight.detach().clone()
    data = Tied()
    swept(data)
    assert data.calls == 0
    assert not torch.equal(experiment.other.weight, before)
    assert len(experiment.records) > 0


def test_what_has_a_queue_or_a_thread_at_work_is_left_alone() -> None:
    class Fed(IterableDataset[Any]):
        def __init__(self) -> None:
            self.queue: queue.Queue[int] = queue.Queue()
            self.taken = 0
            self.rng = random.Random(0)

        def __iter__(self) -> Iterator[Any]:
            for index in range(8):
                self.queue.put(index)
                self.taken += 1
                self.rng.random()
                yield X[index], Y[index]

    data = Fed()
    before = data.rng.getstate()
    swept(data, batch_size=4)
    # A queue cannot be restored, so the count of its items stays too.
    assert data.taken == data.queue.qsize() > 0
    assert data.rng.getstate() == before


def test_an_objects_own_error_comes_after_all_else_is_back() -> None:
    class Stubborn(Hidden):
        def load_state_dict(self, state: dict[str, int]) -> None:
            raise OSError("not here")

    data = Stubborn()
    task = task_of(data)
    before = task.model.weight.detach().clone()
    task.snapshot = "device"
    state = torch.get_rng_state()
    with pytest.raises(OSError, match="not here"):
        find(task)
    assert torch.equal(task.model.weight, before)
    assert torch.equal(torch.get_rng_state(), state)
