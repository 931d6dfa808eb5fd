"""Trials are judged by held-out samples and never train on them."""

from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    SubsetRandomSampler,
)

from lrwidget.data.batches import as_loader
from lrwidget.data.held_out import HeldOut, held_out_of, refuse_bad_share
from lrwidget.data.passed_over import MOST, private_copy

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
    count = 6 if name == "of a subset" else 8
    assert len(judged) == len(set(judged)) == count
    assert not set(judged) & set(trained)
    assert set(judged) | set(trained) == set(range(10 if name == "of a subset" else 0, 40))
    assert f"{count} of" in held.words
    # The choice is deterministic, and the loader itself still yields the held-out samples.
    assert parts(loader)[1] == judged
    assert set(judged) & {sample for _ in range(3) for sample in seen(loader)}


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
    assert len(chosen[0]) == 8
    for first, second in zip(*passes, strict=True):
        assert len(first) == len(second) == 16
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
