"""A check trains a few steps at each of several rates."""

import math
import time

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from lrwidget import TrainingTask
from lrwidget.engine.check import check_lrs
from lrwidget.engine.runner import RunState
from lrwidget.records.check_results import CheckResults
from lrwidget.records.table import StopReason
from lrwidget.sources.local import CheckRunner
from tests.tasks import blobs, problem


def task(**options: object) -> TrainingTask:
    return TrainingTask(*problem(**options))


def test_the_better_rate_wins_and_an_exploding_one_cannot() -> None:
    results = check_lrs(task(), [1e-4, 0.1, 1e6], steps=40)
    assert results.best == 0.1
    assert results.summary.lr.tolist() == [1e-4, 0.1, 1e6]
    assert math.isnan(results.summary.final_loss[2])
    # No rule ends a trial of a check early: the trial runs until the loss is not finite.
    assert results.trials[2].stop_reason is StopReason.NON_FINITE


def test_all_rates_begin_from_the_same_state_with_the_same_batches() -> None:
    first, second, third = check_lrs(task(), [1e-9, 2e-9, 1e-1], steps=20).trials
    assert first.loss[0] == second.loss[0] == third.loss[0]
    assert first.loss == pytest.approx(second.loss, abs=1e-5)
    assert len(set(first.loss)) > 10


def test_a_seed_repeats_a_check_wherever_the_generators_are() -> None:
    def losses(seed: int | None) -> list[float]:
        torch.rand(1)
        return check_lrs(given, [0.1, 0.2], steps=5, seed=seed).frame.loss.tolist()

    model, optimizer, loss_fn, _ = problem()
    given = TrainingTask(model, optimizer, loss_fn, blobs(), batch_size=8)
    first, other = losses(1), losses(2)
    assert losses(1) == first != other
    assert losses(None) != losses(None)
    with pytest.raises(ValueError, match="seed is -1"):
        losses(-1)


def test_the_frame_has_a_row_for_each_step() -> None:
    frame = check_lrs(task(), [0.2, 0.1], steps=5).frame
    assert list(frame.columns) == ["lr", "step", "loss"]
    assert frame.lr.tolist() == [0.1] * 5 + [0.2] * 5
    assert frame.step.tolist() == [1, 2, 3, 4, 5] * 2
    assert np.isfinite(frame.loss).all()


def test_what_is_measured_on_held_out_data_is_in_frame_and_summary() -> None:
    given = TrainingTask(
        *problem(), val_data=problem()[3], val_every=4, metric=lambda output, _: output.shape[0]
    )
    results = check_lrs(given, [0.1, 1e6, 1e-6], steps=10)
    frame = results.frame
    assert list(frame.columns) == ["lr", "step", "loss", "val_loss", "metric"]
    slow, good = (frame[frame.lr == lr] for lr in (1e-6, 0.1))
    assert good.step[good.val_loss.notna()].tolist() == [1, 5, 9]
    assert good.metric[good.val_loss.notna()].tolist() == [good.metric.iloc[0]] * 3
    assert slow.val_loss.iloc[0] == good.val_loss.iloc[0] > good.val_loss.iloc[8]
    lasts = results.summary.val_loss.tolist()
    assert lasts[:2] == [slow.val_loss.iloc[8], good.val_loss.iloc[8]]
    assert math.isnan(lasts[2])


def test_a_check_shorter_than_val_every_is_not_ranked_by_the_untrained_loss() -> None:
    given = TrainingTask(*problem(), val_data=problem()[3], val_every=10)
    results = check_lrs(given, [1e-6, 0.1], steps=10)
    slow, good = results.ranking
    assert good < slow
    assert results.best == 0.1
    assert results.frame.dropna().step.tolist() == [1, 10] * 2


def test_the_best_goes_by_held_out_data_where_there_is_any() -> None:
    results = CheckResults([0.1, 0.2])
    for trial, losses in zip(results.trials, ([1.0, 3.0], [2.0, 1.0]), strict=True):
        for loss in losses:
            trial.append(0.1, loss, {"val_loss": 4 - loss})
        trial.stop_reason = StopReason.FINISHED
    assert results.summary.val_loss.tolist() == [1.0, 3.0]
    assert results.best == 0.1
    assert "validation loss" in results._repr_mimebundle_()["text/plain"]
    assert repr(results) == "CheckResults(validation loss 1e-1: 1, 2e-1: 3; best 1e-1)"


@pytest.mark.parametrize("last", [math.nan, math.inf])
def test_a_validation_loss_that_is_not_finite_is_not_the_best(last: float) -> None:
    results = CheckResults([0.1, 0.2])
    for trial, end in zip(results.trials, (0.5, last), strict=True):
        for val_loss in (0.1, end):
            trial.append(0.1, 1.0, {"val_loss": val_loss})
        trial.stop_reason = StopReason.FINISHED
    assert results.best == 0.1
    assert "1 of 2 without a finite one" in results._repr_mimebundle_()["text/plain"]
    results.trials[0].append(0.1, 1.0, {"val_loss": last})
    assert results.best is None
    assert "look for NaN in val_data" in repr(results)
    assert "No best learning rate: the validation" in results._repr_mimebundle_()["text/plain"]


def test_without_held_out_data_there_is_no_such_column() -> None:
    results = check_lrs(task(), [0.1], steps=2)
    assert list(results.summary.columns) == ["lr", "final_loss", "stop_reason"]
    assert list(CheckResults([0.1]).frame.columns) == ["lr", "step", "loss"]


def test_the_task_is_afterwards_as_before() -> None:
    given = task(make=torch.optim.Adam)
    before = [p.clone() for p in given.model.parameters()]
    random = torch.get_rng_state()
    check_lrs(given, [0.1, 0.2], steps=5)
    assert all(map(torch.equal, before, given.model.parameters()))
    assert not given.optimizer.state
    assert torch.equal(random, torch.get_rng_state())


def test_equal_rates_are_tried_once_and_bad_ones_refused() -> None:
    assert CheckResults([0.1, 0.1, 0.01]).lrs == [0.01, 0.1]
    for bad in ([], [0.0], [-1.0], [math.nan], [1e300], [True], ["1e-3"], [10**400]):
        with pytest.raises(ValueError, match="lrs"):
            CheckResults(bad)
    for single in (0.1, np.array(0.1), torch.tensor(0.1), "0.1"):
        with pytest.raises(TypeError, match="expected learning rates such as"):
            CheckResults(single)
    with pytest.raises(ValueError, match="steps is 1"):
        check_lrs(task(), [0.1], steps=1)


def test_data_that_can_be_read_once_is_refused() -> None:
    model, optimizer, loss_fn, loader = problem()
    with pytest.raises(ValueError, match="read only once"):
        check_lrs(TrainingTask(model, optimizer, loss_fn, iter(loader)), [0.1], steps=2)


def test_in_the_background_it_can_be_stopped_and_keeps_what_there_is() -> None:
    runner = CheckRunner(task(), [0.1, 0.2], steps=100_000)
    runner.start()
    while not len(runner.result.trials[0]):
        time.sleep(0.002)
    runner.stop()
    results = runner.wait()
    assert runner.state is RunState.STOPPED
    assert results.trials[0].stop_reason is StopReason.STOPPED
    assert results.trials[1].stop_reason is None
    assert results.best is None
    assert "0.1" not in repr(results).split("best")[1]


def test_it_prints_what_each_rate_came_to() -> None:
    text = repr(check_lrs(task(), [1e-3, 1e-1], steps=20))
    assert text.startswith("CheckResults(final loss 1e-3: ")
    assert text.endswith("best 1e-1)")


def test_rates_are_not_ranked_by_the_first_class_of_sorted_validation_data() -> None:
    model, optimizer, loss_fn, loader = problem()
    x, y = blobs().tensors
    order = y.argsort()  # as a folder of images of each class
    seen = []

    def evaluate(batch: list[torch.Tensor]) -> torch.Tensor:
        seen.append(batch[1])
        return loss_fn(model(batch[0]), batch[1])

    given = TrainingTask(
        model,
        optimizer,
        loss_fn,
        loader,
        val_data=DataLoader(TensorDataset(x[order], y[order]), 16),
        val_batches=4,
        evaluate=evaluate,
    )
    check_lrs(given, [1e-3, 1e-2], steps=2)
    assert [len(labels) for labels in seen[:4]] == [16] * 4
    assert torch.cat(seen[:4]).bincount(minlength=4).min() >= 8
    assert torch.equal(torch.cat(seen[:4]), torch.cat(seen[4:8]))
