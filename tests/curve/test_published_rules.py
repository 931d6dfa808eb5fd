"""Tests of the published rules against hand-computed rates.

`tests/adapters` compares them with fastai.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lrwidget.curve.published_rules import RULES, suggestions
from lrwidget.curve.smoothing import smoothed
from lrwidget.curve.suggest import suggest

LR = 1e-6 * 1e6 ** (np.arange(1, 41) / 40)
FALLING = np.linspace(3.0, 2.0, 40)


def test_names_and_order():
    assert list(RULES) == ["minimum/10", "steepest", "valley", "slide"]
    assert list(suggestions(LR, FALLING)) == ["auto", *RULES]


def test_minimum_over_ten():
    # The rule drops the first 4 and the last 5 of 40 points; a falling curve is lowest at point 34.
    assert RULES["minimum/10"](LR, FALLING) == pytest.approx(LR[34] / 10)


def test_minimum_over_ten_reads_the_smoothed_loss():
    # One lucky batch has the lowest loss, but with beta 0.98 it moves the average by only 2%.
    loss = FALLING.copy()
    loss[10] = 1.5
    assert RULES["minimum/10"](LR, loss) == pytest.approx(LR[34] / 10)


def test_minimum_over_ten_stops_at_four_times_the_lowest():
    # The average passes 4 at point 23, so the rule keeps 24 points and drops the last 5. The rest
    # is flat up to point 18 except for the dip at 12.
    loss = np.r_[np.ones(12), 0.9, np.ones(7), np.full(20, 40.0)]
    running = smoothed(loss, 0.98)
    assert running[20] < 4 * running.min() < running[22]
    assert RULES["minimum/10"](LR, loss) == pytest.approx(LR[12] / 10)


def test_steepest():
    # The running loss is 1 up to point 29, then 0.95, 0.9025, ...: the central difference is
    # largest at point 30, where the loss has dropped.
    lr = 1e-6 * 1e6 ** (np.arange(1, 61) / 60)
    loss = np.where(np.arange(60) < 30, 1.0, 0.0)
    assert RULES["steepest"](lr, loss) == pytest.approx(lr[30])


def test_steepest_by_decade_on_a_linear_ladder():
    # The loss falls by the same amount each step. On a linear ladder higher decades hold more
    # steps, so the fall per decade is largest at the last point read, 5 before the end.
    lr = np.linspace(0.0, 1.0, 61)[1:]
    loss = 100 - np.arange(60.0)
    assert RULES["steepest"](lr, loss) == pytest.approx(lr[54])


def test_valley_of_a_straight_fall():
    # Points 4 to 34 all fall: d = 31 and the last index is 30, so the valley is
    # 30 - 31 + 31 // 3 + 31 // 6 = 14 points after point 4.
    assert RULES["valley"](LR, FALLING) == pytest.approx(LR[18])


def test_slide_of_a_curve_that_never_bends_enough():
    loss = np.r_[np.full(25, 3.0), np.linspace(3.0, 1.0, 15)]
    # The window never bends, so it stays at its start, 15 steps left of the last point read, 34.
    assert RULES["slide"](LR, 1e-4 * loss) == pytest.approx(LR[34 - 15])


def test_a_sweep_that_ended_with_a_nan_is_one_that_fastai_would_have_gone_on_with():
    lr = 1e-6 * 1e6 ** (np.arange(1, 81) / 80)
    loss = np.r_[np.linspace(3.0, 1.0, 60), np.full(20, np.nan)]
    # The rule drops 6 of 61 rows at the start and none at the end.
    assert RULES["minimum/10"](lr[:61], loss[:61]) == pytest.approx(lr[59] / 10)


def test_valley_of_a_curve_that_never_falls_is_its_first_point():
    assert RULES["valley"](LR, FALLING[::-1]) == pytest.approx(LR[4])


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize(
    "loss", [[], [1.0], [2.0, 1.0], [np.nan] * 40, [1.0] * 40, [np.inf] * 40], ids=repr
)
def test_none_where_nothing_can_be_read(rule, loss):
    assert rule(LR[: len(loss)], loss) is None


def test_steepest_reads_up_to_the_first_loss_that_is_not_finite():
    lr = 1e-6 * 1e6 ** (np.arange(1, 81) / 80)
    for broken in (np.nan, np.inf):
        loss = np.r_[np.ones(20), np.linspace(1, 0.4, 30), broken, np.zeros(29)]
        assert RULES["steepest"](lr, loss) == RULES["steepest"](lr[:50], loss[:50])


def test_steepest_ends_at_once_below_zero_as_its_author_does():
    assert RULES["steepest"](LR, FALLING - 10) is None


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@settings(max_examples=100)
@given(arrays(np.float64, st.integers(0, 60), elements=st.floats(-1e100, 1e100)))
def test_never_raises_on_numbers(rule, loss):
    lr = 1e-6 * 1e6 ** (np.arange(1, len(loss) + 1) / 60)
    rate = rule(lr, loss)
    assert rate is None or (type(rate) is float and 0 < rate <= 1)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("rule", ["minimum/10", "steepest", "valley"])
def test_losses_near_the_largest_number_raise_no_warning(rule, sign):
    lr = 1e-6 * 1e6 ** (np.arange(1, 61) / 60)
    loss = sign * np.r_[np.linspace(1, 0.9, 30), np.linspace(0.9, 1, 30)]
    assert RULES[rule](lr, 1e308 * loss) == RULES[rule](lr, 1e300 * loss)


def test_several_sweeps_give_the_median_of_their_rates():
    lr = 1e-6 * 1e6 ** (np.arange(1, 81) / 80)
    sweeps = [
        np.r_[np.ones(30 + k), np.linspace(1, 0.2, 30), np.linspace(0.2, 5, 20 - k)]
        for k in (0, 4, 20)
    ]
    named = suggestions(lr, sweeps)
    assert named["auto"] == suggest(lr, sweeps).lr
    for name, rule in RULES.items():
        assert named[name] == pytest.approx(sorted(rule(lr, loss) for loss in sweeps)[1])
