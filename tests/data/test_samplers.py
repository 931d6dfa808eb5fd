"""What samplers of all kinds give is held out whole: lists, pairs, and what a pass did not draw."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, Sampler

from lrwidget.data.held_out import HeldOut, held_out_of
from lrwidget.data.passed_over import private_copy


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
