"""What samplers of all kinds give is held out whole: lists, pairs, and what a pass did not draw."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    RandomSampler,
    Sampler,
    Subset,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from lrwidget.data.held_out import HeldOut, held_out_of
from lrwidget.data.private_copy import private_copy


class Numbers(Dataset[Any]):
    """Samples that are their indices; several at a time for a list, of a pair its last part."""

    def __init__(self, count: int = 60) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list | np.ndarray | torch.Tensor):
            return torch.tensor([self[int(i)] for i in index])
        return float(index)


def parts(loader: Any, wanted: Any = None, passes: int = 5) -> tuple[HeldOut, set[int], set[int]]:
    """Return the held-out part, its samples, and those of some passes of training."""
    held = held_out_of(loader, wanted)
    judged = [int(x) for batch in held.batches() for x in batch]
    assert len(judged) == len(set(judged))
    with held.left_out_of(private_copy(loader)) as training:
        trained = {int(x) for _ in range(passes) for batch in training for x in batch}
    return held, set(judged), trained


class Own(Sampler[Any]):
    """A sampler of one's own.

    Args:
        one_pass: returns what a pass gives.
    """

    def __init__(self, one_pass: Any) -> None:
        self.one_pass = one_pass

    def __iter__(self) -> Iterator[Any]:
        return iter(self.one_pass())

    def __len__(self) -> int:
        return len(self.one_pass())


# -- lists of indices, where the data set reads several at a time ---------------------------------


IN_LISTS: dict[str, Any] = {
    "a batch sampler": BatchSampler(RandomSampler(range(60)), 8, False),
    "dropping the last": BatchSampler(RandomSampler(range(60)), 8, True),
    "own": Own(lambda: torch.randperm(60).view(-1, 10).tolist()),
    "tensors": Own(lambda: list(torch.randperm(60).view(-1, 10))),
    "arrays": Own(lambda: list(np.arange(60).reshape(-1, 10))),
    "a list": np.arange(60).reshape(-1, 10).tolist(),
}


@pytest.mark.parametrize("wanted", [None, 0.25, range(10)])
@pytest.mark.parametrize("name", IN_LISTS)
def test_a_sampler_that_gives_lists_has_the_indices_in_them(name: str, wanted: Any) -> None:
    loader = DataLoader(Numbers(), sampler=IN_LISTS[name], batch_size=None)
    held, judged, trained = parts(loader, wanted)
    assert not judged & trained
    assert judged | trained == set(range(60))
    assert f"{len(judged)} " in held.words
    if wanted is None:
        sizes = {len(batch) for batch in held.batches()}
        assert len(judged) == 16 if name == "dropping the last" else 20
        assert sizes == {8} if name == "dropping the last" else max(sizes) <= 10


# -- an index beside a size or a flag -------------------------------------------------------------


class InPairs(Numbers):
    """Each sample is asked for in a tuple, whose place of the index is known."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(index[self.place])


def shuffled(count: int = 60) -> list[int]:
    return torch.randperm(count).tolist()


def drawn(values: Any) -> Any:
    return values[int(torch.randint(len(values), ()))]


IN_PAIRS: dict[str, tuple[int, Any]] = {
    "flag first": (1, lambda: [(drawn([True, False]), i) for i in shuffled()]),
    "size first": (1, lambda: [(drawn([32, 48, 64]), i) for i in shuffled()]),
    "small sizes": (1, lambda: [(drawn([1, 2, 3, 4]), i) for i in shuffled()]),
    "height and width": (2, lambda: [(drawn([16, 24]), drawn([16, 24]), i) for i in shuffled()]),
    "shape and flag": (1, lambda: [((32, 32), i, drawn([0, 1])) for i in shuffled()]),
    "shape in a list": (0, lambda: [(i, [drawn([32, 48]), 32]) for i in shuffled()]),
    "seed": (0, lambda: [(i, drawn(range(10**6, 10**9))) for i in shuffled()]),
    "scale": (0, lambda: [(i, float(torch.rand(()))) for i in shuffled()]),
    "repeated": (1, lambda: [(drawn([1, 2, 3, 4]), i) for i in shuffled() * 3]),
    "repeated in scales": (0, lambda: [(i, float(torch.rand(()))) for i in shuffled() * 3]),
    "numpy": (1, lambda: [(np.int64(drawn([3, 4])), np.int64(i)) for i in shuffled()]),
    "no second": (0, lambda: [(i,) for i in shuffled()]),
}


@pytest.mark.parametrize("wanted", [None, 0.25, range(10)])
@pytest.mark.parametrize("in_batches", [False, True])
@pytest.mark.parametrize("name", IN_PAIRS)
def test_a_sample_is_its_index_under_whatever_size_or_flag(
    name: str, in_batches: bool, wanted: Any
) -> None:
    place, one_pass = IN_PAIRS[name]
    sampler: Any = Own(one_pass)
    if in_batches:  # all of a batch in one size, as the samplers of several scales
        sampler = Own(lambda: [one_pass()[a : a + 8] for a in range(0, 60, 8)] + [one_pass()])
        loader = DataLoader(InPairs(place), batch_sampler=sampler)
    else:
        loader = DataLoader(InPairs(place), 8, sampler=sampler)
    held, judged, trained = parts(loader, wanted)
    assert not judged & trained
    assert judged | trained == set(range(60))
    assert f"{len(judged)} named of 60" if wanted == range(10) else "of 60 samples" in held.words


def test_pairs_of_indices_stay_pairs() -> None:
    class Both(Numbers):
        def __getitem__(self, index: Any) -> Any:
            return index[0] * 60 + index[1]

    pairs = [(i, (7 * i + 1) % 60) for i in range(60)]
    _, judged, trained = parts(DataLoader(Both(), 8, sampler=Own(lambda: pairs)))
    assert len(judged) == 20
    assert not judged & trained
    # The frames of some films.
    frames = [(film, frame) for film in range(6) for frame in range(10)]
    _, judged, trained = parts(DataLoader(Both(), 8, sampler=Own(lambda: frames)))
    assert len(judged) == 20
    assert not judged & trained


def test_what_is_held_out_is_read_in_one_size() -> None:
    class Sized(Numbers):
        def __getitem__(self, index: Any) -> Any:
            return torch.full((index[0],), float(index[1]))

    def one_pass() -> Any:
        return [[(size, i) for i in shuffled()[:8]] for size in (2, 3, 4, 5) for _ in range(8)]

    held = held_out_of(DataLoader(Sized(), batch_sampler=Own(one_pass)))
    assert {batch.shape[1] for batch in held.batches()} == {2}


# -- a part of the data set that is another one in each pass --------------------------------------


class InShares(Own):
    """A sampler that gives another share in each epoch, and is told which."""

    epoch: int

    def __init__(self) -> None:
        super().__init__(lambda: np.random.default_rng(self.epoch).permutation(60)[:20].tolist())
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[Any]:
        self.epoch += 1  # as a framework does before each pass
        return super().__iter__()


class RankOfOwn(DistributedSampler[Any]):
    """A subclass, whose passes are its own."""

    def __iter__(self) -> Iterator[Any]:
        self.epoch += 1
        return super().__iter__()


UNEVEN = [10.0] * 10 + [1.0] * 50
OTHERS_EACH_PASS: dict[str, Any] = {
    "weighted": lambda: {"sampler": WeightedRandomSampler(UNEVEN, 60)},
    "few at a time": lambda: {"sampler": WeightedRandomSampler(UNEVEN, 20, replacement=False)},
    "undersampled": lambda: {"sampler": Own(lambda: shuffled(40)[:20] + list(range(40, 60)))},
    "python's": lambda: {"sampler": Own(lambda: random.sample(range(60), 30))},
    "epochs": lambda: {"sampler": InShares()},
    "a rank's": lambda: {"sampler": RankOfOwn(range(60), 2, 0)},  # type: ignore[arg-type]
    "batches": lambda: {"batch_sampler": Own(lambda: [shuffled()[:8] for _ in range(5)])},
    "weighted batches": lambda: {
        "batch_sampler": BatchSampler(WeightedRandomSampler(UNEVEN, 60), 8, False)
    },
}


def of_others(name: str, dataset: Any) -> Any:
    options: Any = OTHERS_EACH_PASS[name]()
    return DataLoader(dataset, 8 if "sampler" in options else 1, **options)


@pytest.mark.parametrize("name", OTHERS_EACH_PASS)
def test_what_a_pass_did_not_draw_can_be_named_and_is_not_trained_on(name: str) -> None:
    for wanted in (range(20, 40), np.isin(np.arange(60), range(20, 40))):
        held, judged, trained = parts(of_others(name, Numbers()), wanted, passes=20)
        assert judged == set(range(20, 40))
        assert not judged & trained
        assert held.words.startswith("20 named of 60 samples")
    with pytest.raises(ValueError, match="names the index 60, which the training data does not"):
        held_out_of(of_others(name, Numbers()), [3, 60])


@pytest.mark.parametrize("name", OTHERS_EACH_PASS)
def test_what_a_pass_did_not_draw_is_shared_with_held_out_data(name: str) -> None:
    dataset = Numbers()
    wanted = DataLoader(Subset(dataset, range(20, 40)), 8)
    held, judged, trained = parts(of_others(name, dataset), wanted, passes=20)
    assert judged == set(range(20, 40))
    assert not judged & trained
    assert "train without 20 samples that are in it" in held.words
    _, judged, trained = parts(of_others(name, dataset), passes=20)
    assert judged
    assert not judged & trained


def test_a_sample_under_two_indices_is_held_out_under_the_one_not_drawn() -> None:
    twice = Subset(Numbers(), [*range(30), *range(30)])
    for name in ("weighted", "undersampled", "batches"):
        _, judged, trained = parts(of_others(name, twice), passes=20)
        assert judged
        assert not judged & trained


def test_in_pairs_too() -> None:
    loader = DataLoader(InPairs(1), 8, sampler=Own(lambda: [(3, i) for i in shuffled()[:30]]))
    _, judged, trained = parts(loader, range(20, 40), passes=20)
    assert judged == set(range(20, 40))
    assert not judged & trained


def test_a_fixed_part_of_a_data_set_is_all_there_is() -> None:
    def fixed() -> Any:
        return [10 + i for i in shuffled(30)]

    for sampler in (SubsetRandomSampler(range(10, 40)), Own(fixed), list(range(10, 40))):
        dataset = Numbers()
        loader = DataLoader(dataset, 8, sampler=sampler)
        with pytest.raises(ValueError, match=r"names the index 5, which .* some of its 30"):
            held_out_of(loader, [5, 20])
        held, _, _ = parts(loader, DataLoader(Subset(dataset, range(35, 50)), 8))
        assert "train without 5 samples that are in it" in held.words


def test_where_a_sampler_draws_only_what_is_held_out_nothing_is_left() -> None:
    dataset = Numbers()
    loader = DataLoader(dataset, 8, sampler=WeightedRandomSampler([1.0] * 10 + [0.0] * 50, 600))
    for wanted in (range(20), DataLoader(Subset(dataset, range(20)), 8)):
        with pytest.raises(ValueError, match="leaves none to train on"):
            held_out_of(loader, wanted)
