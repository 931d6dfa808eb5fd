"""The loaders of a fastai Learner: their orders, and what they are judged and held out by."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import LRRecords, lr_find, refine
from tests.adapters.test_part_of_training import short_trials

__all__ = ["short_trials"]

SWEEP: dict[str, Any] = {"start_lr": 1e-4, "end_lr": 1e-2, "progress": False}
SAMPLES = [(torch.tensor([float(n)]), torch.zeros(1)) for n in range(16)]
SEEN: list[float] = []
PARTS = [[lambda n: SAMPLES[n][0]], [lambda n: SAMPLES[n][1]]]


class Noting(nn.Linear):
    """Notes the samples that it is trained on."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        SEEN.extend(x.flatten().tolist())
        return super().forward(x)


def learner(loader: Any, folder: Path, valid: Any = None) -> Any:
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner

    SEEN.clear()
    loss = nn.functional.mse_loss
    return Learner(DataLoaders(loader, valid or loader, path=folder), Noting(1, 1), loss_func=loss)


def test_a_seed_gives_each_pass_an_order_of_its_own(folder: Path) -> None:
    from fastai.data.load import DataLoader

    one = learner(DataLoader(SAMPLES, bs=8, shuffle=True), folder)
    lr_find(one, steps=4, seed=3, **SWEEP)
    first, second = SEEN[:16], SEEN[16:32]
    assert sorted(first) == sorted(second) == list(map(float, range(16)))
    assert first != second


def test_a_list_of_batches_has_no_order_to_seed(folder: Path) -> None:
    batches = [(torch.full((2, 1), float(n)), torch.zeros(2, 1)) for n in range(3)]
    lr_find(learner(batches, folder), steps=4, seed=3, **SWEEP)
    assert SEEN[:8] == [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 0.0, 0.0]


def test_a_refinement_leaves_the_orders_of_both_loaders(folder: Path) -> None:
    from fastai.data.load import DataLoader

    loaders = [DataLoader(SAMPLES, bs=8, shuffle=True) for _ in range(2)]
    held = [(one.rng, one.rng.getstate()) for one in loaders]
    refine(learner(loaders[0], folder, loaders[1]), LRRecords(), 40)
    for one, (generator, state) in zip(loaders, held, strict=True):
        assert one.rng is generator
        assert generator.getstate() == state


@pytest.mark.parametrize("sizes", [(8, 5, 3), (8, 4, 4)])
def test_rows_are_found_in_a_part_that_is_not_the_second(
    sizes: tuple[int, ...], folder: Path
) -> None:
    from fastai.data.core import Datasets, TfmdDL

    a, b, c = sizes
    splits = [list(range(a)), list(range(a, a + b)), list(range(a + b, 16))]
    data = Datasets(list(range(16)), PARTS, splits=splits)
    train, other = TfmdDL(data.subset(0), bs=4), TfmdDL(data.subset(2), bs=4)
    found = refine(learner(train, folder, other), LRRecords(), 40, held_out=[1, 14])
    assert found.held_out == f"2 named of {a + c} samples, 1 of them in learn.dls.valid"
    assert set(SEEN) == {*range(8), 14}


@pytest.mark.parametrize("also_valid", [False, True])
def test_items_that_are_not_split_have_their_own_indices(also_valid: bool, folder: Path) -> None:
    from fastai.data.core import DataLoaders, Datasets, TfmdDL

    loaders = [TfmdDL(Datasets(list(range(16)), PARTS), bs=4)]
    if also_valid:
        loaders.append(TfmdDL(Datasets(list(range(9)), PARTS), bs=4))
    one = learner(loaders[0], folder)
    one.dls = DataLoaders(*loaders, path=folder)
    found = refine(one, LRRecords(), 40, held_out=[1, 14])
    assert found.held_out == "2 named of 16 samples"
    assert set(SEEN) == set(range(16))


def test_a_part_that_does_not_tell_its_number_is_refused_in_words(folder: Path) -> None:
    from fastai.data.core import Datasets, TfmdDL

    data = Datasets(list(range(16)), PARTS, splits=[list(range(8)), list(range(8, 16))])
    loaders = TfmdDL(data, bs=4), TfmdDL(data.valid, bs=4)
    with pytest.raises(ValueError, match=r"which rows are in learn\.dls\.valid"):
        refine(learner(loaders[0], folder, loaders[1]), LRRecords(), 40, held_out=[1, 14])
