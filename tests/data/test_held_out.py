"""Trials are judged by held-out samples and never train on them."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    Sampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    get_worker_info,
)

from lrwidget.data.batches import as_loader
from lrwidget.data.held_out import HeldOut, held_out_of
from lrwidget.data.named_samples import refuse_bad_share
from lrwidget.data.passed_over import MOST, MOST_BATCHES
from lrwidget.data.private_copy import private_copy

NUMBERS = [(torch.tensor([float(i)]), torch.tensor([float(i)])) for i in range(40)]


def seen(batches: Any) -> list[int]:
    return [int(x) for batch in batches for x in batch[0].flatten()]


def parts(loader: Any, wanted: Any = None) -> tuple[HeldOut, list[int], list[int]]:
    """Return the held-out part, its samples, and the samples of three epochs of training."""
    held = held_out_of(loader, wanted)
    judged = seen(held.batches())
    with held.left_out_of(private_copy(loader)) as training:
        trained = [sample for _ in range(3) for sample in seen(training)]
    return held, judged, trained


def by_twos() -> BatchSampler:
    class Own(BatchSampler):
        def __iter__(self):  # type: ignore[no-untyped-def]
            yield from ([i, i + 1] for i in torch.randperm(39).tolist())

    return Own(range(40), 2, False)


LOADERS = {
    "shuffled": lambda: DataLoader(NUMBERS, 8, shuffle=True),
    "in order": lambda: DataLoader(NUMBERS, 8),
    "dropping the last": lambda: DataLoader(NUMBERS, 40, drop_last=True),
    "of a subset": lambda: DataLoader(NUMBERS, 8, sampler=SubsetRandomSampler(range(10, 40))),
    "batches of its own": lambda: DataLoader(NUMBERS, batch_sampler=by_twos()),
    "single samples": lambda: DataLoader(NUMBERS, batch_size=None),
    "with workers": lambda: DataLoader(NUMBERS, 8, shuffle=True, num_workers=1),
    "samples in a list": lambda: as_loader(NUMBERS, 8, None, given=True),
    "arrays": lambda: as_loader((torch.arange(40.0)[:, None], torch.arange(40.0)), 8, None),
}


@pytest.mark.parametrize("name", LOADERS)
def test_samples_that_are_held_out_are_in_no_batch_that_is_trained_on(name: str) -> None:
    loader = LOADERS[name]()
    held, judged, trained = parts(loader)
    # A third, since they are few; a fifth where each may be a whole batch.
    count = {"of a subset": 10, "single samples": 8}.get(name, 13)
    assert len(judged) == len(set(judged)) == count
    assert not set(judged) & set(trained)
    assert set(judged) | set(trained) == set(range(10 if name == "of a subset" else 0, 40))
    assert f"{count} of" in held.words
    # The choice is deterministic, and the loader itself still yields the held-out samples.
    assert parts(loader)[1] == judged
    assert set(judged) & {sample for _ in range(3) for sample in seen(loader)}


class OfEachClass(Sampler[int]):
    """As the samplers of metric learning: a batch has so many samples of each class."""

    def __init__(self, batch_size: int | None) -> None:
        if batch_size is not None:
            self.batch_size = batch_size

    def __iter__(self) -> Iterator[int]:
        return iter(range(40))


def test_it_is_said_where_batches_lose_what_a_sampler_composed() -> None:
    words = parts(LOADERS["batches of its own"]())[0].words
    assert words.startswith("13 of 40 samples, chosen at random; the batches that Own makes are")
    assert "smaller without them, which may undo a balance: where that matters, give" in words
    of_it: Any = Subset(NUMBERS, [3, 5])  # type: ignore[arg-type]
    assert "may undo a balance" in parts(LOADERS["batches of its own"](), of_it)[0].words
    assert "balance" not in parts(LOADERS["batches of its own"](), DataLoader([*NUMBERS]))[0].words
    composed = parts(DataLoader(NUMBERS, 8, sampler=OfEachClass(8)))[0].words
    assert "; OfEachClass gives samples in batches, which are others without them" in composed
    for plain in (DataLoader(NUMBERS, 8, sampler=OfEachClass(None)), LOADERS["shuffled"]()):
        assert parts(plain)[0].words == "13 of 40 samples, chosen at random"


def test_ranks_share_out_what_is_left_in_equal_parts() -> None:
    passes: list[list[list[int]]] = [[], []]
    chosen = []
    for rank in range(2):
        sampler = DistributedSampler(NUMBERS, 2, rank, seed=3)  # type: ignore[arg-type]
        loader = DataLoader(NUMBERS, 4, sampler=sampler)
        held = held_out_of(loader)
        chosen.append(set(seen(held.batches())))
        with held.left_out_of(private_copy(loader)) as training:
            for epoch in range(3):
                training.batch_sampler.sampler.set_epoch(epoch)
                passes[rank].append(seen(training))
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 13
    for first, second in zip(*passes, strict=True):
        assert len(first) == len(second) == 14
        assert set(first) | set(second) == set(range(40)) - chosen[0]
    assert passes[0][0] != passes[0][1]


def test_at_most_so_many_samples_are_held_out_unless_a_share_is_asked_for() -> None:
    loader = as_loader((torch.arange(4000.0)[:, None], torch.arange(4000.0)), 100, None)
    assert len(parts(loader)[1]) == MOST
    assert len(parts(loader, 0.25)[1]) == 1000


@pytest.mark.parametrize(
    "wanted",
    [[3, 4, 5], range(3, 6), torch.tensor([3, 4, 5]), torch.arange(40).ne(0).cumsum(0).eq(3)],
)
def test_indices_may_be_named(wanted: Any) -> None:
    _, judged, trained = parts(LOADERS["shuffled"](), wanted)
    assert judged == ([3] if isinstance(wanted, torch.Tensor) and len(wanted) == 40 else [3, 4, 5])
    assert not set(judged) & set(trained)


def test_data_may_be_named_and_all_is_trained_on() -> None:
    loader = LOADERS["in order"]()
    _, judged, trained = parts(loader, DataLoader(NUMBERS[:6], 3))
    assert judged == [0, 1, 2, 3, 4, 5]
    assert Counter(trained) == Counter(3 * list(range(40)))


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(NUMBERS)


@pytest.mark.parametrize(
    "make",
    [
        lambda: [(torch.tensor([float(i)]), torch.tensor([0.0])) for i in range(40)],
        lambda: as_loader(Stream(), 1, None, given=True),
        lambda: DataLoader(Stream(), 1),
    ],
    ids=["batches in a list", "a stream", "a loader of a stream"],
)
def test_without_indices_every_fifth_batch_of_a_pass_is_held_out(make: Any) -> None:
    held, judged, trained = parts(make())
    assert judged == list(range(4, 40, 5))
    assert Counter(trained) == Counter(3 * [i for i in range(40) if i % 5 != 4])
    assert "every 5th batch" in held.words


def test_what_holds_nothing_out_is_refused_in_words() -> None:
    loader = LOADERS["in order"]()
    with pytest.raises(ValueError, match=r"index 40.*does not have"):
        held_out_of(loader, [3, 40])
    with pytest.raises(ValueError, match="leaves none to train on"):
        held_out_of(loader, list(range(40)))
    with pytest.raises(ValueError, match="1 batch"):
        held_out_of([NUMBERS[0]]).batches()
    for bad, error in ((1.5, ValueError), (True, TypeError), ("a", TypeError), ([], ValueError)):
        with pytest.raises(error, match="held_out"):
            refuse_bad_share(bad)


MASK = [3 <= i <= 5 for i in range(40)]


@pytest.mark.parametrize(
    "wanted",
    [
        MASK,
        np.array(MASK),
        pd.Series(MASK),
        pd.Series([3, 4, 5], index=[7, 8, 9]),
        pd.Index([3, 4, 5]),
        [torch.tensor(3), torch.tensor(4), torch.tensor(5)],
        [np.int16(5), 4, np.int64(3)],
    ],
    ids=lambda wanted: (
        f"{type(wanted).__name__} of {type(wanted[-1]).__name__}"
        if isinstance(wanted, list)
        else type(wanted).__name__
    ),
)
def test_masks_and_indices_of_any_kind_name_samples(wanted: Any) -> None:
    _, judged, trained = parts(LOADERS["shuffled"](), wanted)
    assert judged == [3, 4, 5]
    assert not set(judged) & set(trained)


@pytest.mark.parametrize("share", [np.float32(0.25), torch.tensor(0.25)])
def test_a_share_may_be_any_number(share: Any) -> None:
    assert len(parts(LOADERS["shuffled"](), share)[1]) == 10


def test_what_names_other_samples_than_meant_is_refused() -> None:
    loader = LOADERS["in order"]()
    with pytest.raises(ValueError, match="give it as booleans"):
        held_out_of(loader, np.array(MASK).astype(int))
    with pytest.raises(ValueError, match=r"mask of 39 entries.* 40 samples"):
        held_out_of(loader, MASK[:-1])
    with pytest.raises(TypeError, match=r"range\(100\)"):
        refuse_bad_share(slice(0, 100))
    batches = [[sample[0][None] for sample in NUMBERS[i : i + 2]] for i in range(0, 40, 2)]
    with pytest.raises(ValueError, match=r"batch 20, which .* 20 batches, counted from 0"):
        held_out_of(batches, [1, 20]).batches()
    with pytest.raises(ValueError, match=r"batch -1; .*from 0"):
        held_out_of(batches, [-1]).batches()
    with pytest.raises(ValueError, match="20 batches, of which none"):
        held_out_of(batches, range(20)).batches()


@pytest.mark.parametrize(
    ("share", "places", "words"),
    [
        (0.5, [1, 3, 5, 7, 9], "every 2nd batch"),
        (0.3, [3, 6, 9], "3 of every 10 batches"),
        (0.9, [1, 2, 3, 4, 5, 6, 7, 8, 9], "9 of every 10 batches"),
        (0.01, [9], "every 10th batch"),
    ],
)
def test_a_share_of_batches_is_that_share(share: float, places: list[int], words: str) -> None:
    held, judged, trained = parts(list(NUMBERS[:10]), share)
    assert judged == places
    assert set(trained) == set(range(10)) - set(places)
    assert held.words.startswith(words)
    assert "passes differ" not in held.words  # those of a list do not


@pytest.mark.parametrize(
    "make",
    [
        lambda: Subset(NUMBERS, [7 * i % 13 for i in range(40)]),  # type: ignore[arg-type]
        lambda: ConcatDataset([NUMBERS, NUMBERS, NUMBERS]),  # type: ignore[list-item]
        lambda: Subset(Subset(NUMBERS, range(10, 30)), [i % 9 for i in range(40)]),  # type: ignore[arg-type]
        lambda: ConcatDataset([Subset(NUMBERS, range(20)), Subset(NUMBERS, range(40))]),  # type: ignore[arg-type]
        lambda: NUMBERS[:20] + NUMBERS,
    ],
    ids=["drawn with replacement", "thrice", "of a subset", "overlapping", "in a list"],
)
def test_a_sample_under_several_indices_is_held_out_under_all(make: Any) -> None:
    loader = DataLoader(make(), 4, shuffle=True)
    _, judged, trained = parts(loader)
    every = set(seen(loader))
    assert len(judged) == len(set(judged)) == len(every) // 3
    assert set(trained) == every - set(judged)
    named = parts(loader, [0])
    assert len(named[1]) == 1
    assert not set(named[1]) & set(named[2])


class Repeating(DataLoader[Any]):
    """As timm's MultiEpochsDataLoader and Ultralytics' InfiniteDataLoader."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        vars(self)["batch_sampler"] = Forever(self.batch_sampler)
        self.iterator = super().__iter__()

    def __len__(self) -> int:
        return len(self.batch_sampler.sampler)  # type: ignore[union-attr]

    def __iter__(self) -> Any:
        for _ in range(len(self)):
            yield next(self.iterator)


class Forever:
    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler

    def __iter__(self) -> Any:
        while True:
            yield from self.sampler


def test_a_loader_that_repeats_its_sampler_for_ever_gives_nothing_held_out() -> None:
    _, judged, trained = parts(Repeating(NUMBERS, 8, shuffle=True))
    assert len(judged) == 13
    assert set(trained) == set(range(40)) - set(judged)


@pytest.mark.parametrize(
    ("samples", "count"),
    [(3, 1), (30, 10), (300, 100), (480, 160), (700, 160), (800, 160), (1000, 200), (9000, MOST)],
)
def test_up_to_a_third_is_held_out_where_a_fifth_says_little(samples: int, count: int) -> None:
    data = TensorDataset(torch.arange(float(samples))[:, None])
    assert sum(len(batch[0]) for batch in held_out_of(DataLoader(data)).batches()) == count
    singles = held_out_of(DataLoader(data, batch_size=None))  # each may be a batch
    assert len(singles.batches()) == max(1, min(samples // 5, MOST_BATCHES))


def test_where_the_last_batch_is_dropped_all_batches_are_whole() -> None:
    loader = DataLoader(NUMBERS, 6, shuffle=True, drop_last=True)
    held = held_out_of(loader)
    assert [len(batch[0]) for batch in held.batches()] == [6, 6]
    with held.left_out_of(private_copy(loader)) as training:
        assert [len(batch[0]) for batch in training] == [6] * 4


def test_held_out_batches_are_of_nearly_equal_sizes() -> None:
    # Each batch counts as much as another.
    held = held_out_of(DataLoader(NUMBERS, 10), list(range(21)))
    assert [len(batch[0]) for batch in held.batches()] == [7, 7, 7]


@pytest.mark.parametrize("shuffle", [True, False])
def test_no_batch_of_one_sample_comes_from_holding_out(shuffle: bool) -> None:
    loader = DataLoader(NUMBERS[:36], 8, shuffle=shuffle)  # 12 are held out, 24 are left
    with held_out_of(loader).left_out_of(private_copy(loader)) as training:
        assert [len(batch[0]) for batch in training] == [8] * 3
    loader = DataLoader(NUMBERS[:37], 8, shuffle=shuffle)  # 12 are held out, 25 are left
    with held_out_of(loader).left_out_of(private_copy(loader)) as training:
        assert [len(batch[0]) for batch in training] == [8] * 3


def test_of_many_samples_for_judging_some_from_everywhere_are_taken() -> None:
    classes = torch.arange(2000) // 500  # sorted, as the data of ImageFolder is
    data = TensorDataset(torch.arange(2000.0)[:, None], classes)
    for given in (DataLoader(data, 64), list(DataLoader(data, 64))):
        for held in (held_out_of([], None, given), held_out_of([], given)):
            labels = torch.cat([batch[1] for batch in held.batches()])
            assert abs(len(labels) - MOST) <= 64
            assert labels.bincount().min() >= 100
            assert "2000 samples" in held.words or "of 32 batches" in held.words


@pytest.mark.process
def test_workers_that_give_the_same_stream_train_on_nothing_held_out() -> None:
    loader = DataLoader(Stream(), 2, num_workers=2)
    _, judged, trained = parts(loader)
    assert set(judged)
    assert set(trained) == set(range(40)) - set(judged)


class Opened(torch.utils.data.Dataset[Any]):
    """A data set that only a worker has opened."""

    items: Any = None

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def open_it(_: int) -> None:
    get_worker_info().dataset.items = NUMBERS  # type: ignore[union-attr]


@pytest.mark.process
def test_a_data_set_that_workers_open_is_read_by_one() -> None:
    loader = DataLoader(Opened(), 8, num_workers=1, worker_init_fn=open_it)
    _, judged, trained = parts(loader)
    assert len(judged) == 13
    assert set(trained) == set(range(40)) - set(judged)


def test_a_part_of_the_training_data_that_is_given_as_data_is_not_trained_on() -> None:
    training = DataLoader(NUMBERS, 8, shuffle=True)
    of_it: Any = Subset(NUMBERS, [3, 5])  # type: ignore[arg-type]
    for given in (of_it, DataLoader(of_it, 2), ConcatDataset([of_it, Subset(of_it, [0])])):
        held, judged, trained = parts(training, given)
        assert set(judged) == {3, 5}
        assert set(trained) == set(range(40)) - {3, 5}
        assert "train without 2 samples" in held.words
    with pytest.raises(ValueError, match="all 40 samples of the training data"):
        held_out_of(training, DataLoader(NUMBERS, 4))
    both: Any = Subset(NUMBERS, range(30)), Subset(NUMBERS, range(30, 40))  # type: ignore[arg-type]
    held, judged, trained = parts(DataLoader(both[0], 8), both[1])
    assert set(judged) == set(range(30, 40))
    assert set(trained) == set(range(30))
    assert "train without" not in held.words
