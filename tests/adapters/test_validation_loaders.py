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


def test_a_dict_of_eval_datasets_may_be_datasets_own(folder: Path) -> None:
    from datasets import Dataset, DatasetDict

    def made(inputs: Any) -> Any:
        rows = Pairs(inputs)
        return Dataset.from_dict({"x": rows.inputs.tolist(), "labels": rows.targets.tolist()})

    parts = {"near": made(OTHERS), "far": made(3 * OTHERS)}
    one = trainer(folder, eval_dataset=DatasetDict(parts))
    found = one.evaluate()
    mean = (found["eval_near_loss"] + found["eval_far_loss"]) / 2
    for held_out in (None, DatasetDict(parts), parts):
        result = judged(one, held_out=held_out)
        assert result.untrained == pytest.approx(mean, rel=1e-6)
        name = "eval_dataset" if held_out is None else "held_out"
        assert result.held_out == f"up to 256 samples of each loader of {name}"


def test_a_trainers_own_eval_loader_needs_no_eval_dataset(folder: Path) -> None:
    one = trainer(folder)

    class Own(type(one)):  # type: ignore[misc]
        def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
            return DataLoader(Dicts(OTHERS), 8)

    class Asks(type(one)):  # type: ignore[misc]
        def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
            return super().get_eval_dataloader(eval_dataset)

    one.__class__ = Own
    result = judged(one)
    assert result.held_out == "the first 512 samples at most of eval_dataset"
    assert result.untrained == pytest.approx(one.evaluate()["eval_loss"], rel=1e-6)
    one.__class__ = Asks  # for which there is no data
    assert judged(one).held_out == "10 of 32 samples, chosen at random"


@pytest.mark.parametrize("framework", ["transformers", "skorch"])
def test_validation_data_below_a_batch_that_is_dropped_is_told(
    framework: str, folder: Path
) -> None:
    given: dict[str, Any] = {}
    if framework == "transformers":
        one = trainer(folder, eval_dataset=Dicts(OTHERS[:5]))
        one.args.dataloader_drop_last = True
    else:
        from skorch import NeuralNetRegressor

        one = NeuralNetRegressor(network(), batch_size=16, iterator_valid__drop_last=True)
        given = {"X": INPUTS.numpy(), "y": Pairs(INPUTS).targets.numpy()}
    with pytest.raises(ValueError, match="the data to judge by has not a single batch"):
        judged(one, **given)
