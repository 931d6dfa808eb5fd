"""Sweeps that end with a loss that is not finite: of the data, or of the rate."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrwidget import TrainingTask, check_lrs, lr_find, refine
from lrwidget.curve.not_finite import same_end, sudden_end
from lrwidget.curve.suggest import suggest
from tests.curve.curves import ladder, range_test

Floats = NDArray[np.float64]

lr: Floats = ladder()  # type: ignore[no-untyped-call]
falling: Floats = range_test(lr)  # type: ignore[no-untyped-call]
flat: Floats = range_test(lr, fall=0.0, climb=1.0)  # type: ignore[no-untyped-call]
LIKELIER = "is a likelier cause than the rate"


def ended(loss: Floats, steps: int, value: float = np.nan) -> tuple[Floats, Floats]:
    """Return a curve whose last loss is not finite."""
    return lr[:steps], np.r_[loss[: steps - 1], value]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("seed", range(5))
def test_a_flat_loss_that_is_suddenly_not_finite_is_laid_to_the_batch(
    seed: int, value: float
) -> None:
    noise = np.random.default_rng(seed).normal(2.3, 0.05, 30)
    s = suggest(*ended(noise, 30, value))
    assert "the loss was not finite at step 30, rate 1.3e-4, though" in s.reason
    assert LIKELIER in s.reason
    assert "raise end_lr" not in s.reason
    assert s.confidence == "low"


def test_so_is_one_that_fell() -> None:
    s = suggest(*ended(falling, int(np.argmin(falling))))
    assert s.lr is not None
    assert LIKELIER in s.reason
    assert "raise end_lr" not in s.reason


@pytest.mark.parametrize("loss", [falling, flat])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_climbed_before_exploded_by_its_rate(loss: Floats, value: float) -> None:
    assert LIKELIER not in suggest(*ended(loss, len(lr), value)).reason


@pytest.mark.parametrize("before", [[2.3, 2.31], [2.3, 2.31, 2.33], [2.3, 2.2, 2.4], [-1.0, -0.9]])
def test_a_small_rise_among_a_few_losses_is_no_climb(before: list[float]) -> None:
    steps = len(before) + 1
    assert sudden_end(lr[:steps], [*before, np.nan]) == (steps, lr[steps - 1])
    assert "in the same step" in same_end([[*before, np.nan]] * 3)
    explodes = [*before, 50.0, np.nan]
    assert sudden_end(lr[: steps + 1], explodes) is None
    assert same_end([explodes] * 3) == ""


def test_of_several_sweeps_the_longest_tells() -> None:
    _, one = ended(flat, 30)
    other = np.r_[flat[:12], np.full(18, np.nan)]
    assert sudden_end(lr[:30], [other, one]) == (30, lr[29])
    assert sudden_end(lr[:30], [other, flat[:30]]) is None
    assert sudden_end(lr[:30], np.r_[flat[:28], np.nan, np.nan]) is None  # steps not taken
    assert sudden_end([], []) is None


def reason(bad_batch: int) -> str:
    x, y = torch.randn(640, 3), torch.arange(640) % 2
    y[32 * bad_batch : 32 * bad_batch + 32] = -100  # as where all of a batch is padding
    loader = DataLoader(TensorDataset(x, y), 32)
    found = lr_find(nn.Linear(3, 2), torch.optim.SGD, nn.CrossEntropyLoss(), loader, steps=60)
    return found.suggestion.reason


def test_a_batch_without_a_target_is_named_in_a_sweep() -> None:
    assert "not finite at step 16, rate" in reason(15)
    assert LIKELIER in reason(15)
    few = reason(4)
    assert "after 5 of 60 steps: the losses before it did not climb, so a sample" in few
    assert "no step had been taken yet, so the rate is not the cause" in reason(0)


def spoilt(bad_batch: int) -> TrainingTask:
    """Return a task whose samples have a NaN in one batch; another is diverged by a high rate."""
    x, y = torch.randn(640, 3), torch.arange(640) % 2
    x[32 * bad_batch] = np.nan
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    loader = DataLoader(TensorDataset(x, y), 32)
    return TrainingTask(model, optimizer, nn.CrossEntropyLoss(), loader)


def test_weights_that_are_not_numbers_are_named_before_the_first_step() -> None:
    model = nn.Linear(3, 2)
    nn.init.constant_(model.weight, np.nan)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    task = TrainingTask(model, optimizer, nn.CrossEntropyLoss(), HELD_OUT)
    named = "look for NaN in the model's weights too, as a training that diverged leaves them"
    assert named in lr_find(task, progress=False).suggestion.reason
    assert named in repr(check_lrs(task, [1e-3, 1e-2], steps=5))


HELD_OUT = [(torch.randn(32, 3), torch.arange(32) % 2)]


def test_trials_that_end_in_the_same_batch_are_laid_to_it() -> None:
    shown = repr(check_lrs(spoilt(4), [1e-3, 1e-2, 1e-1], steps=20))
    assert "best none; the loss of all rates was not finite in the same step, 5" in shown
    assert "look for NaN in the data" in shown
    records = lr_find(nn.Linear(3, 2), torch.optim.SGD, nn.CrossEntropyLoss(), HELD_OUT)
    result = refine(spoilt(4), records, held_out=HELD_OUT)
    assert "in the same step, 5, and had not climbed" in result.reason
    assert "lower rates" not in result.reason
    before = refine(spoilt(0), records, held_out=HELD_OUT).reason
    assert "not finite before the first step, so no rate is the cause" in before


def test_trials_whose_rates_are_too_high_are_not_laid_to_a_batch() -> None:
    climbing = [2.0, 3.0, 9.0, 500.0, np.nan]
    assert same_end([climbing, climbing]) == ""
    assert same_end([[2.0, 1.9, np.nan], [2.0, 1.9, 1.8, np.nan]]) == ""  # in other steps
    assert same_end([[2.0, 1.9, np.nan], [2.0, 1.9, 1.8]]) == ""  # one came further
    assert same_end([[2.0, 1.9, 1.8], [2.0, 1.9, 1.8]]) == ""  # stopped
    assert same_end([]) == same_end([[], []]) == ""


def test_trials_that_diverged_before_the_batch_do_not_hide_it() -> None:
    low = [2.0, 1.9, 2.1, 1.8, np.inf]
    told = same_end([[2.0, 70.0, np.nan], low, low])
    assert told.startswith("the loss of 2 rates was not finite in the same step, 5,")
