"""The published rules, against values worked out by hand from their authors' definitions."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lrwidget.rules import RULES, slide, suggestions, valley
from lrwidget.smoothing import smoothed
from lrwidget.suggest import suggest

LR = 1e-6 * 1e6 ** (np.arange(1, 41) / 40)
FALLING = np.linspace(3.0, 2.0, 40)


def test_names_and_order():
    assert list(RULES) == ["minimum/10", "steepest", "valley", "slide"]
    assert list(suggestions(LR, FALLING)) == ["auto", *RULES]


def test_minimum_over_ten():
    # 40 points without the first 4 and the last 5: the lowest of a curve that falls is point 34.
    assert RULES["minimum/10"](LR, FALLING) == pytest.approx(LR[34] / 10)


def test_minimum_over_ten_reads_the_smoothed_loss():
    # One lucky batch is the lowest loss, but with beta 0.98 it moves the average by 2%.
    loss = FALLING.copy()
    loss[10] = 1.5
    assert RULES["minimum/10"](LR, loss) == pytest.approx(LR[34] / 10)


def test_minimum_over_ten_stops_at_four_times_the_lowest():
    # The average passes 4 at point 23, so the curve has 24 points; without 5 of them it is flat up
    # to point 18 but for the dip at 12.
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
    # Down by the same amount each step: on a linear ladder a decade holds ever more steps, so the
    # fall per decade is largest at the end of what is read, 5 points before the last.
    lr = np.linspace(0.0, 1.0, 61)[1:]
    loss = 100 - np.arange(60.0)
    assert RULES["steepest"](lr, loss) == pytest.approx(lr[54])


def test_valley_of_a_straight_fall():
    # Points 4 to 34 all fall: d = 31, the last is 30, so 30 - 31 + 31 // 3 + 31 // 6 = 14 after 4.
    assert RULES["valley"](LR, FALLING) == pytest.approx(LR[18])


def test_slide_of_a_curve_that_bends_once():
    # Slopes per step (beta 0.98 leaves a step of -1 a kink): compare with the definition below.
    loss = np.r_[np.full(25, 3.0), np.linspace(3.0, 1.0, 15)]
    assert RULES["slide"](LR, loss) == pytest.approx(slide_by_definition(LR, loss))
    # A window that never bends stays where it begins: 15 steps left of the last point read, 34.
    assert RULES["slide"](LR, 1e-4 * loss) == pytest.approx(LR[34 - 15])


def slide_by_definition(lr, loss):
    """The author's loop, as documented: window of 15, threshold 0.005, from the right."""
    losses, rates = smoothed(loss, 0.98)[4:-5], lr[4:-5]
    slope = np.gradient(losses)
    right, left = len(losses) - 1, len(losses) - 16
    best = rates[left]
    while left >= 0 and abs(slope[right] - slope[left]) > 0.005:
        best = rates[left]
        right, left = right - 1, left - 1
    return best


def valley_by_definition(lr, loss):
    """The longest strictly decreasing subsequence in its plain, quadratic form."""
    losses, rates = smoothed(loss, 0.98)[4:-5], lr[4:-5]
    longest = [1] * len(losses)
    for i in range(len(losses)):
        for j in range(i):
            if losses[i] < losses[j]:
                longest[i] = max(longest[i], longest[j] + 1)
    end = int(np.argmax(longest))
    d = longest[end]
    return None if d < 2 else rates[max(0, end - d + d // 3 + d // 6)]


# Between 1 and 1.5 no running loss can reach four times its lowest.
@settings(max_examples=100, deadline=None)
@given(arrays(np.float64, 40, elements=st.floats(1.0, 1.5)))
def test_valley_and_slide_follow_their_definitions(loss):
    assume(np.ptp(loss) > 0)
    assert valley(LR, loss) == valley_by_definition(LR, loss)
    assert slide(LR, loss) == slide_by_definition(LR, loss)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize(
    "loss", [[], [1.0], [2.0, 1.0], [np.nan] * 40, [1.0] * 40, [np.inf] * 40], ids=repr
)
def test_none_where_nothing_can_be_read(rule, loss):
    assert rule(LR[: len(loss)], loss) is None


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_reads_up_to_the_first_loss_that_is_not_finite(rule):
    lr = 1e-6 * 1e6 ** (np.arange(1, 81) / 80)
    loss = np.r_[np.ones(20), np.linspace(1, 0.4, 30), np.nan, np.zeros(29)]
    assert rule(lr, loss) == rule(lr[:50], loss[:50])


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@settings(max_examples=100, deadline=None)
@given(arrays(np.float64, st.integers(0, 60), elements=st.floats(-1e100, 1e100)))
def test_never_raises_on_numbers(rule, loss):
    lr = 1e-6 * 1e6 ** (np.arange(1, len(loss) + 1) / 60)
    rate = rule(lr, loss)
    assert rate is None or (type(rate) is float and 0 < rate <= 1)


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
