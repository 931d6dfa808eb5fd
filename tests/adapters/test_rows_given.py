"""Indices in `held_out` are rows of what the user gave, also where a framework has split it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from lrwidget import LRRecords, refine
from tests.adapters.test_part_of_training import Noting, short_trials

__all__ = ["short_trials"]

ROWS = 60
X = np.stack([np.arange(ROWS), np.ones(ROWS), np.ones(ROWS)], 1).astype("float32")
Y = (np.arange(ROWS) % 2)[:, None].astype("float32")
GROUPS = np.repeat(np.arange(6), 10)


class Tried:
    """The words of a refinement, and the rows that it trained on and was judged by."""

    def __init__(self, model: Any, held_out: Any, **given: Any) -> None:
        Noting.trained.clear()
        Noting.judged.clear()
        self.words = refine(model, LRRecords(), 40, held_out=held_out, **given).held_out
        self.trained, self.judged = set(Noting.trained), set(Noting.judged)


def net(split: Any, **options: Any) -> Any:
    from skorch import NeuralNet

    return NeuralNet(Noting(), nn.MSELoss, batch_size=8, lr=0.01, train_split=split, **options)


@pytest.mark.parametrize("held_out", [np.flatnonzero(GROUPS == 1), GROUPS == 1])
def test_rows_of_x_are_held_out_though_skorch_splits_x(held_out: Any) -> None:
    from skorch.dataset import ValidSplit

    one = net(ValidSplit(5), iterator_train__shuffle=True)
    found = Tried(one, held_out, X=X, y=Y)
    _, valid = one.get_split_datasets(X, Y)
    beside = set(map(int, valid.indices))
    assert found.words == (
        f"10 named of 60 samples, {len(beside & set(range(10, 20)))} of them in the net's "
        "validation split"
    )
    assert found.judged == set(range(10, 20))
    assert found.trained == set(range(ROWS)) - beside - found.judged


def test_rows_that_skorch_keeps_for_validation_may_be_all() -> None:
    from skorch.dataset import ValidSplit

    one = net(ValidSplit(5))
    _, valid = one.get_split_datasets(X, Y)
    found = Tried(one, list(map(int, valid.indices)), X=X, y=Y)
    assert found.judged == set(map(int, valid.indices))
    training = sorted(found.trained)
    assert training == sorted(set(range(ROWS)) - found.judged)
    with pytest.raises(ValueError, match="all 48 samples that would be trained on"):
        Tried(one, training, X=X, y=Y)


def test_a_share_is_of_what_skorch_trains_on() -> None:
    from skorch.dataset import ValidSplit

    assert Tried(net(ValidSplit(5)), 0.25, X=X, y=Y).words.startswith("12 of 48 samples")


def test_a_split_that_does_not_tell_the_rows_is_refused_in_words() -> None:
    from skorch.dataset import Dataset
    from skorch.helper import predefined_split

    def halves(dataset: Any, y: Any = None) -> Any:
        return Dataset(X[:30], Y[:30]), Dataset(X[30:], Y[30:])

    with pytest.raises(ValueError, match="which rows are in the net's validation split"):
        Tried(net(halves), [40], X=X, y=Y)
    beside = net(predefined_split(Dataset(X[:8], Y[:8])))
    found = Tried(beside, range(10), X=X, y=Y)
    assert (found.words, found.judged) == ("10 named of 60 samples", set(range(10)))


def learner(loaders: Any, model: Any = None) -> Any:
    from fastai.learner import Learner

    return Learner(loaders, Noting() if model is None else model, loss_func=nn.MSELoss())


class FromFrame(Noting):
    def forward(self, _: Any, x: Any) -> Any:  # type: ignore[override]
        return super().forward(x)


@pytest.mark.parametrize("labels", ["rows", "others"])
def test_rows_of_a_frame_are_held_out_though_fastai_splits_it(labels: str, folder: Path) -> None:
    from fastai.tabular.all import RegressionBlock, TabularDataLoaders

    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(t=Y[:, 0])
    if labels == "others":
        frame.index += 100
    loaders = TabularDataLoaders.from_df(
        frame, path=folder, procs=[], cont_names=["a", "b", "c"], y_names="t",
        y_block=RegressionBlock(), valid_idx=list(range(5, 15)), bs=8,
    )  # fmt: skip
    one = learner(loaders, FromFrame())
    if labels == "others":
        with pytest.raises(ValueError, match=r"which rows are in learn\.dls\.valid"):
            Tried(one, GROUPS == 1)
        return
    for held_out in (frame.index[GROUPS == 1], GROUPS == 1):
        found = Tried(one, held_out)
        assert found.words == "10 named of 60 samples, 5 of them in learn.dls.valid"
        assert found.judged == set(range(10, 20))
        assert found.trained
        assert not found.trained & set(range(5, 20))  # fastai drops the last batch of a pass


@pytest.mark.parametrize("share", [0.2, 0.0])
def test_items_are_held_out_though_fastai_splits_them(share: float, folder: Path) -> None:
    from fastai.data.block import DataBlock, TransformBlock
    from fastai.data.transforms import RandomSplitter

    block = DataBlock(
        blocks=(TransformBlock, TransformBlock),
        get_x=lambda row: torch.tensor(X[row]),
        get_y=lambda row: torch.tensor(Y[row]),
        splitter=RandomSplitter(share, seed=1),
    )
    loaders = block.dataloaders(list(range(ROWS)), bs=8, num_workers=0, path=folder)
    found = Tried(learner(loaders), GROUPS == 1)
    valid = set(map(int, loaders.train_ds.splits[1]))
    assert found.judged == set(range(10, 20))
    assert found.trained
    assert not found.trained & (valid | found.judged)
    assert len(valid) == share * ROWS


def test_data_sets_that_fastai_has_not_split_have_their_own_indices(folder: Path) -> None:
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader

    data = [(x, y) for x, y in zip(X, Y, strict=True)]
    loaders = DataLoaders(DataLoader(data[20:], bs=8), DataLoader(data[:20], bs=8), path=folder)
    found = Tried(learner(loaders), range(10))
    assert (found.words, found.judged) == ("10 named of 40 samples", set(range(20, 30)))
