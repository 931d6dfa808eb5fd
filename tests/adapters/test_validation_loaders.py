"""The validation loaders of frameworks: their workers, and where they are found."""

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import DataLoader

from lrwidget.data.batches import end_workers
from tests.adapters.test_held_out import (
    INPUTS,
    OTHERS,
    Dicts,
    Pairs,
    judged,
    learner,
    network,
    short_trials,
    trainer,
)

__all__ = ["short_trials"]


@pytest.mark.parametrize("framework", ["transformers", "fastai", "skorch"])
def test_validation_loaders_may_have_persistent_workers(framework: str, folder: Path) -> None:
    if framework == "transformers":
        one = trainer(folder, eval_dataset=Dicts(OTHERS))
        one.args.dataloader_num_workers, one.args.dataloader_persistent_workers = 1, True
        judged(one)
    elif framework == "fastai":
        options: dict[str, Any] = {"num_workers": 1, "persistent_workers": True}
        valid = DataLoader(Pairs(OTHERS), 8, **options)
        begun = iter(valid)
        next(begun)
        judged(learner(folder, DataLoader(Pairs(INPUTS), 8, shuffle=True), valid))
        assert len(list(begun)) == 1  # the user's own pass goes on
        assert len(list(valid)) == 2
        end_workers(begun)
    else:
        from skorch import NeuralNetRegressor

        options = {"iterator_valid__num_workers": 1, "iterator_valid__persistent_workers": True}
        net = NeuralNetRegressor(network(), lr=0.01, batch_size=4, verbose=0, **options)
        whole = Pairs(INPUTS)
        judged(net, X=whole.inputs.numpy(), y=whole.targets.numpy())
    assert multiprocessing.active_children() == []
