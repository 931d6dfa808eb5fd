"""Batches are read from a loader and moved to the device."""

import collections
import dataclasses
import functools
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils.data import DataLoader, IterableDataset

from lrwidget import TrainingTask, lr_find
from lrwidget.data.batches import BatchSource, Exhausted, as_loader, loader_generators, to_device
from tests.tasks import blobs

Pair = collections.namedtuple("Pair", ["a", "b"])


@dataclasses.dataclass
class Sample:
    x: torch.Tensor
    name: str


class Numbers(IterableDataset):
    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter(torch.arange(5.0))


def take(source: BatchSource, count: int) -> list[Any]:
    return [next(source) for _ in range(count)]


def source_of(data: Any, epochs: list[int] | None = None) -> BatchSource:
    return BatchSource(data, on_epoch=lambda _: epochs.append(1) if epochs is not None else None)


def test_a_short_loader_is_read_again_and_says_so() -> None:
    epochs: list[int] = []
    assert take(source_of([1, 2], epochs), 5) == [1, 2, 1, 2, 1]
    assert len(epochs) == 2


def test_the_last_partial_batch_is_kept() -> None:
    sizes = [len(batch) for batch in take(source_of(DataLoader(range(5), batch_size=2)), 3)]
    assert sizes == [2, 2, 1]


def test_an_iterable_data_set_is_read_again() -> None:
    loader = as_loader(Numbers(), 2, None)
    assert [len(batch) for batch in take(source_of(loader), 6)] == [2, 2, 1, 2, 2, 1]


def test_a_generator_is_exhausted_after_its_batches() -> None:
    source = source_of(n for n in range(3))
    assert take(source, 3) == [0, 1, 2]
    with pytest.raises(Exhausted):
        next(source)


def test_an_iterable_that_gives_nothing_the_second_time_is_exhausted() -> None:
    class Once:
        def __init__(self) -> None:
            self.left = [1, 2]

        def __iter__(self) -> Iterator[int]:
            while self.left:
                yield self.left.pop()

    source = source_of(Once())
    assert take(source, 2) == [2, 1]
    with pytest.raises(Exhausted):
        next(source)


@pytest.mark.parametrize(
    "empty", [iter(()), (n for n in ()), DataLoader(range(1), 2, drop_last=True)]
)
def test_a_loader_without_batches_says_so(empty: Any) -> None:
    with pytest.raises(ValueError, match="without a single batch"):
        next(source_of(empty))


def test_a_sequence_by_index_is_iterable() -> None:
    class ByIndex:
        def __getitem__(self, index: int) -> int:
            if index > 1:
                raise IndexError
            return index

    assert take(source_of(as_loader(ByIndex(), 1, None)), 3) == [0, 1, 0]


def test_an_epoch_in_progress_with_persistent_workers_goes_on() -> None:
    loader = DataLoader(range(8), batch_size=1, num_workers=1, persistent_workers=True)
    users = iter(loader)
    first = next(users)
    source = source_of(loader)
    assert [int(batch) for batch in take(source, 2)] == [0, 1]
    source.close()
    assert [int(first), *map(int, users)] == list(range(8))
    loader._iterator._shutdown_workers()


def test_close_ends_the_workers_started_for_it() -> None:
    import multiprocessing

    processes, threads = set(multiprocessing.active_children()), set(threading.enumerate())
    source = source_of(DataLoader(range(8), num_workers=2, persistent_workers=True))
    take(source, 1)
    assert len(set(multiprocessing.active_children()) - processes) == 2
    source.close()
    assert set(multiprocessing.active_children()) <= processes
    assert set(threading.enumerate()) <= threads


def test_the_generators_of_loader_and_samplers_are_found_once() -> None:
    generator = torch.Generator()
    loader = DataLoader(blobs(8), shuffle=True, generator=generator)
    assert loader_generators(loader) == [generator]
    own = torch.utils.data.RandomSampler(range(4), generator=generator)
    assert loader_generators(DataLoader(range(4), sampler=own)) == [generator]
    assert loader_generators([1, 2]) == []


def test_every_tensor_in_a_batch_moves() -> None:
    meta = torch.device("meta")
    batch = {
        "pair": Pair(torch.zeros(1), [torch.zeros(2), "text"]),
        "sample": Sample(torch.zeros(3), "name"),
        "number": 4,
        "none": None,
    }
    moved = to_device(batch, meta)
    assert isinstance(moved["pair"], Pair)
    assert moved["pair"].a.device == moved["pair"].b[0].device == meta
    assert moved["pair"].b[1] == "text"
    assert (moved["sample"].x.device, moved["sample"].name) == (meta, "name")
    assert (moved["number"], moved["none"]) == (4, None)


class ByName(dict[str, Any]):
    """A dict whose keys are its attributes; what it lacks is a KeyError."""

    __getattr__ = dict.__getitem__


class Linked(dict[str, Any]):
    def __init__(self, **parts: Any) -> None:
        super().__init__(parts)
        self.__dict__ = self


class PairInList(list[Any]):
    x = property(lambda self: self[0])
    y = property(lambda self: self[1])


class PairInTuple(tuple[Any, ...]):
    x = property(lambda self: self[0])
    y = property(lambda self: self[1])


class PairOfOne(collections.namedtuple("PairOfOne", "x y")):
    def __new__(cls, both: Any) -> Any:
        return super().__new__(cls, *both)


@dataclasses.dataclass
class Scaled:
    """A batch that changes what it is made of, and is given more later."""

    x: torch.Tensor
    y: torch.Tensor
    scale: dataclasses.InitVar[float]
    weight: float = dataclasses.field(init=False)

    def __post_init__(self, scale: float) -> None:
        self.x = self.x * scale
        self.weight = 1.0


def scaled(x: torch.Tensor, y: torch.Tensor) -> Scaled:
    made = Scaled(x, y, 2.0)
    made.weight = 0.5
    return made


class ByBoth(dict[str, Any]):
    """A dict whose items are attributes too, each kept for itself, as an EasyDict."""

    def __init__(self, **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            self[name] = part

    def __setitem__(self, name: str, part: Any) -> None:
        super().__setitem__(name, part)
        super().__setattr__(name, part)


@dataclasses.dataclass
class Together:
    """A batch with tensors that are no fields."""

    both: torch.Tensor

    def __post_init__(self) -> None:
        self.y = self.both[:, 3:]

    @functools.cached_property
    def x(self) -> torch.Tensor:
        return self.both[:, :3]


def together(x: torch.Tensor, y: torch.Tensor) -> Together:
    made = Together(torch.cat([x, y], 1))
    assert made.x.shape == x.shape
    return made


FORMS: dict[str, Any] = {
    "items and attributes": lambda x, y: ByBoth(x=x, y=y),
    "keys as attributes": lambda x, y: ByName(x=x, y=y),
    "keys linked to attributes": lambda x, y: Linked(x=x, y=y),
    "a list of its own": lambda x, y: PairInList([x, y]),
    "a tuple of its own": lambda x, y: PairInTuple((x, y)),
    "a named tuple made of one thing": lambda x, y: PairOfOne((x, y)),
    "a data class that sets more when it is made": scaled,
    "a data class with more than its fields": together,
}


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_stays_of_its_class(form: str) -> None:
    def losses(model: Any, take: Any) -> list[float]:
        return [take(model, FORMS[form](x, y)).item() for x, y in pairs]

    def loss(model: Any, batch: Any) -> torch.Tensor:
        error = ((model(batch.x) - batch.y) ** 2).mean()
        return error * getattr(batch, "weight", 1.0) if form.startswith("a data") else error

    pairs = [(torch.randn(4, 3), torch.randn(4, 2)) for _ in range(3)]
    model = torch.nn.Linear(3, 2)
    task = TrainingTask(
        model,
        torch.optim.SGD(model.parameters(), 0.1),
        data=[FORMS[form](x, y) for x, y in pairs],
        step=lambda batch: loss(model, batch),
    )
    records = lr_find(task, start_lr=1e-30, end_lr=1e-29, steps=3, progress=False)
    assert records.loss.tolist() == losses(model, loss)

    batch = FORMS[form](*pairs[0])
    moved = to_device(batch, torch.device("meta"))
    assert type(moved) is type(batch)
    assert moved.x.device.type == moved.y.device.type == "meta"
    assert batch.x.device.type == batch.y.device.type == "cpu"


def test_a_class_of_c_is_no_hindrance_and_a_dict_that_makes_its_values_goes_on() -> None:
    batch = collections.defaultdict(int, x=torch.zeros(2))
    moved = to_device(batch, torch.device("meta"))
    assert moved["x"].device.type == "meta"
    assert moved["other"] == 0
    assert list(batch) == ["x"]
    greatest = to_device(torch.max(torch.zeros(2, 2), 0), torch.device("meta"))
    assert [part.device.type for part in greatest] == ["meta", "meta"]


def test_an_object_that_can_move_itself_does() -> None:
    packed = pack_sequence([torch.ones(2, 1), torch.ones(1, 1)])
    moved = to_device(packed, torch.device("cpu"))
    assert isinstance(moved, PackedSequence)
    assert torch.equal(moved.data, packed.data)


class InPlace:
    """A batch that moves its own tensors."""

    def __init__(self) -> None:
        self.x, self.y = torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)

    def to(self, device: Any) -> None:
        self.x, self.y = self.x.to(device), self.y.to(device)


def test_an_object_that_moves_itself_in_place_is_kept() -> None:
    batch = InPlace()
    pair = to_device([batch, 1], torch.device("meta"))
    assert pair[0] is batch
    assert batch.x.device.type == batch.y.device.type == "meta"
    model = torch.nn.Linear(3, 2)
    step = lambda b: torch.nn.functional.cross_entropy(model(b.x), b.y)  # noqa: E731
    task = TrainingTask(model, torch.optim.SGD, data=[InPlace() for _ in range(4)], step=step)
    assert len(lr_find(task, steps=8, progress=False)) == 8


def test_a_tensor_on_its_device_is_not_copied() -> None:
    tensor = torch.zeros(2)
    assert to_device([tensor], torch.device("cpu"))[0] is tensor


@pytest.mark.parametrize("of_samples", [False, True])
@pytest.mark.parametrize("own_step", [False, True])
def test_an_iterator_that_begins_a_pass_in_iter_gives_all_of_it(
    of_samples: bool, own_step: bool
) -> None:
    class Own:
        """As a loader of one's own, with a method for each of both."""

        place = 0

        def __iter__(self) -> "Own":
            self.place = 0
            return self

        def __next__(self) -> Any:
            if self.place == 6:
                raise StopIteration
            self.place += 1
            inputs = torch.full((8,) if of_samples else (4, 8), float(self.place))
            return inputs, torch.tensor(1) if of_samples else torch.ones(4).long()

    given = as_loader(Own(), 2, None, own_step=own_step)
    source = BatchSource(given, on_epoch=lambda _: None)
    rows = 1 if of_samples else 4
    found = [float(x) for _ in range(8) for x in next(source)[0].reshape(-1, 8)[::rows, 0]]
    assert found[:8] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1.0, 2.0]
