"""A trial that goes on reads what follows the batches that it has read, over all passes."""

from collections.abc import Iterator
from itertools import chain, islice, repeat
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    Sampler,
    SequentialSampler,
    WeightedRandomSampler,
)

from lrwidget.data.batches import BatchSource, end_workers
from lrwidget.data.going_on import ReadByFramework, behind
from lrwidget.data.held_out import held_out_of
from lrwidget.data.passed_over import in_fixed_order
from lrwidget.data.private_copy import private_copy

SAMPLES = [(torch.tensor([float(i)]), torch.tensor([float(i)])) for i in range(40)]


def firsts(data: Any, count: int) -> list[int]:
    """Return the first samples of so many batches, pass after pass."""
    source = BatchSource(data, on_epoch=lambda _: None)
    try:
        return [int(batch[0][0]) for batch in islice(source, count)]
    finally:
        source.close()


@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 10, 12, 15])
@pytest.mark.parametrize("kind", ["loader", "list", "workers", "kept workers"])
def test_it_goes_on_behind_them_wherever_a_pass_ends(kind: str, count: int) -> None:
    workers = {"num_workers": 1, "persistent_workers": kind == "kept workers"}
    data: Any = DataLoader(SAMPLES, 8, **(workers if "workers" in kind else {}))  # type: ignore[arg-type]
    data = list(data) if kind == "list" else data
    in_order = chain.from_iterable(repeat([0, 8, 16, 24, 32]))
    assert firsts(behind(data, count), 12) == list(islice(in_order, count, count + 12))


@pytest.mark.parametrize("count", [1, 4, 5, 6, 10, 12])
@pytest.mark.parametrize("kind", ["loader", "stream", "list", "workers"])
def test_what_training_draws_goes_on_behind_them_too(kind: str, count: int) -> None:
    data: Any = DataLoader(SAMPLES, 8, num_workers=kind == "workers")  # type: ignore[arg-type]
    if kind == "stream":
        data = DataLoader(Stream(), 8)
    elif kind == "list":
        data = list(data)
    torch.manual_seed(0)
    source = BatchSource(data, on_epoch=lambda _: None)
    drawn, state = [], torch.get_rng_state()
    for number, _ in enumerate(islice(source, 15), start=1):
        drawn.append(torch.rand(()))
        if number == count:
            state = torch.get_rng_state()
    source.close()
    torch.set_rng_state(state)
    source = BatchSource(behind(data, count), on_epoch=lambda _: None)
    assert [torch.rand(()) for _ in islice(source, 15 - count)] == drawn[count:]
    source.close()


class Stream(IterableDataset[Any]):
    """Samples to each of which a random number is added."""

    def __iter__(self) -> Iterator[Any]:
        for x, y in SAMPLES:
            yield x + torch.rand(()), y


class InOrder(Sampler[int]):
    """A sampler of one's own, without a dict of attributes."""

    __slots__ = ("count",)

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.count))


class Harder(InOrder):
    """An order that changes from pass to pass."""

    __slots__ = ("passes",)

    def __iter__(self) -> Iterator[int]:
        self.passes = getattr(self, "passes", 0) + 1
        return iter([i * (1 + 2 * self.passes) % self.count for i in range(self.count)])


class Drawn(BatchSampler):
    """Batches at random, over a sampler in order."""

    def __iter__(self) -> Iterator[list[int]]:
        batches = list(super().__iter__())
        return (batches[place] for place in torch.randperm(len(batches)).tolist())


SHUFFLED = np.random.default_rng(0).permutation(40)
SAMPLERS: dict[str, tuple[dict[str, Any], bool]] = {
    "in order": ({}, True),
    "shuffled": ({"shuffle": True}, False),
    "list": ({"sampler": SHUFFLED.tolist()}, True),
    "range": ({"sampler": range(39, -1, -1)}, True),
    "array": ({"sampler": SHUFFLED}, True),
    "tensor": ({"sampler": torch.from_numpy(SHUFFLED)}, True),
    "own": ({"sampler": InOrder(40)}, True),
    "harder": ({"sampler": Harder(40)}, False),
    "weighted": ({"sampler": WeightedRandomSampler([1.0] * 40, 40)}, False),
    "share of a rank": ({"sampler": DistributedSampler(SAMPLES, 2, 0)}, True),  # type: ignore[arg-type]
    "batches in a list": ({"batch_sampler": SHUFFLED.reshape(-1, 8).tolist()}, True),
    "batches in an array": ({"batch_sampler": SHUFFLED.reshape(-1, 8)}, True),
    "drawn batches": ({"batch_sampler": Drawn(SequentialSampler(SAMPLES), 8, False)}, False),
    "own in batches": ({"batch_sampler": BatchSampler(InOrder(40), 8, False)}, True),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_whether_passes_are_alike_is_seen_with_samplers_of_all_kinds(name: str) -> None:
    options, expected = SAMPLERS[name]
    options = options if "batch_sampler" in options else {"batch_size": 8, **options}
    loader: DataLoader[Any] = DataLoader(SAMPLES, **options)  # type: ignore[arg-type]
    state = torch.get_rng_state()
    assert in_fixed_order(loader) == expected
    assert torch.equal(torch.get_rng_state(), state)
    held = held_out_of(loader, 0.25)
    judged = {int(x) for batch in held.batches() for x in batch[0]}
    with held.left_out_of(private_copy(loader)) as training:
        assert judged
        assert not judged & {int(x) for batch in training for x in batch[0]}


def test_flags_beside_the_indices_and_what_changes_at_the_end_of_a_pass_do_not_count() -> None:
    class Flagged(InOrder):
        def __iter__(self) -> Iterator[Any]:
            return ((bool(torch.rand(()) < 0.5), i) for i in range(self.count))

    class ByEpoch(InOrder):
        __slots__ = ("epoch",)

        def __len__(self) -> int:
            return self.count

        def __iter__(self) -> Iterator[int]:
            epoch = getattr(self, "epoch", 0)
            order = torch.randperm(self.count, generator=torch.Generator().manual_seed(epoch))
            yield from order.tolist()
            self.epoch = epoch + 1

    for sampler in (Flagged(40), ByEpoch(40), BatchSampler(Flagged(40), 8, False)):
        size = None if isinstance(sampler, BatchSampler) else 8
        assert in_fixed_order(DataLoader(SAMPLES, size, sampler=sampler))  # type: ignore[arg-type]


class OfAFramework(DataLoader[Any]):
    """A private loader, as a framework's adapter makes it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(SAMPLES, 8, **options)  # type: ignore[arg-type]
        vars(self)["_get_iterator"] = super()._get_iterator


@pytest.mark.parametrize("ahead", [0, 1])
@pytest.mark.parametrize("steps", [2, 4, 5, 7, 10, 13])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_framework_goes_on_behind_what_it_has_trained_on(
    workers: int, steps: int, ahead: int
) -> None:
    loader = OfAFramework(num_workers=workers, persistent_workers=bool(workers))
    before = vars(loader)["_get_iterator"]
    reading = ReadByFramework(loader)
    in_order = list(islice(chain.from_iterable(repeat([0, 8, 16, 24, 32])), 40))

    def read(count: int) -> list[int]:
        given = [int(batch[0][0]) for batch in islice(chain.from_iterable(repeat(loader)), count)]
        end_workers(loader._iterator)
        loader._iterator = None
        return given

    reading.begin(0, 0)
    assert read(steps + ahead) == in_order[: steps + ahead]
    kept = reading.count
    reading.begin(0, 0)
    assert read(3) == in_order[:3]
    reading.begin(kept, steps)
    assert read(12) == in_order[steps : steps + 12]
    assert reading.count == steps + 12
    reading.close()
    assert vars(loader)["_get_iterator"] is before
    assert read(3) == in_order[:3]


def test_what_has_indices_is_not_read_in_vain() -> None:
    class Noted(list[Any]):
        def __getitem__(self, index: Any) -> Any:
            noted.append(index)
            return super().__getitem__(index)

    for size in (None, 8):
        noted: list[int] = []
        loader: Any = DataLoader(Noted(SAMPLES), size)  # type: ignore[arg-type]
        next(iter(behind(loader, 2)))
        assert noted == ([2] if size is None else list(range(16, 24)))
    noted = []
    loader = OfAFramework()
    vars(loader)["dataset"] = Noted(SAMPLES)
    reading = ReadByFramework(loader)
    reading.begin(8, 4)
    assert int(next(iter(loader))[0][0]) == 24
    assert noted == list(range(24, 32))
    assert int(next(iter(loader))[0][0]) == 0
