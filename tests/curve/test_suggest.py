"""Tests of the suggestion on synthetic curves and arbitrary numbers."""

import re

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lrwidget.curve.landmarks import find_landmarks
from lrwidget.curve.normalize import read_sweeps
from lrwidget.curve.suggest import Suggestion, suggest
from tests.curve.curves import decades_apart, ladder, range_test


def test_reads_a_clean_curve():
    lr = ladder()
    s = suggest(lr, range_test(lr))
    assert s.confidence == "high"
    assert s.spread is None
    # The fall begins where a tenth of it is done, 0.95 widths below its midpoint.
    assert 1e-4 < s.falls_at < 5e-4
    assert 5e-3 < s.minimum < 5e-2
    assert 5e-2 < s.explodes_at < 0.15
    assert s.falls_at < s.lr < s.minimum < s.explodes_at
    top, floor = re.match(
        r"loss fell from ([\d.]+) to ([\d.]+) between 2e-4 and", s.reason
    ).groups()
    assert 2.25 < float(top) < 2.35
    assert 0.3 < float(floor) < 0.4
    explodes = re.search(r"it explodes at ([\d.]+e-\d+|[\d.]+);", s.reason)[1]
    assert float(explodes) == pytest.approx(s.explodes_at, rel=0.05)
    assert f"this rate is a factor {s.minimum / s.lr:.2g} below the minimum" in s.reason


def test_a_slow_starter_gets_a_rate_below_its_climb():
    lr = ladder()
    loss = range_test(lr, fall=0.0, climb=1.0)
    s = suggest(lr, loss)
    assert s.confidence == "low"
    assert s.falls_at is None
    assert s.minimum is None
    assert 0.4 < s.explodes_at < 1.0
    marks = find_landmarks(*read_sweeps(lr, loss))
    assert s.explodes_at == pytest.approx(10**marks.climbs)
    # The explosion begins at twenty times the noise, which is 1; this climb reaches 1 at rate 1.
    assert marks.explodes == pytest.approx(0, abs=0.1)
    assert np.log10(s.lr) == pytest.approx((marks.climbs + marks.explodes) / 2 - 1.35)
    assert "never fell" in s.reason
    assert f"this rate is a factor {s.explodes_at / s.lr:.0f} below" in s.reason


def test_a_slow_climb_carries_a_rate_closer_to_it():
    lr = ladder()
    abrupt, slow = (
        suggest(lr, range_test(lr, fall=0.0, climb=climb, power=power))
        for climb, power in ((0.5, 6.0), (1.0, 2.0))
    )
    assert slow.explodes_at / slow.lr < 0.8 * abrupt.explodes_at / abrupt.lr
    assert 15 < abrupt.explodes_at / abrupt.lr < 22


def test_a_high_explosion_carries_a_rate_closer_to_it():
    lr = ladder()
    # The first loss returns to its level; the others rise to 10, 1e5 and 1e8 times the fall.
    low, *high = (suggest(lr, range_test(lr, power=8.0, top=top)) for top in (2.0, 20, 2e5, 2e8))
    distances = [np.log10(s.lr / low.lr) for s in high]
    assert distances == pytest.approx([0.04, 0.2, 0.2], abs=0.06)
    assert distances[0] < distances[1] == pytest.approx(distances[2], abs=1e-6)


def test_a_climb_that_never_becomes_an_explosion():
    lr = ladder()
    s = suggest(lr, range_test(lr, fall=0.0, climb=20.0, power=2.0))
    assert s.lr is not None
    assert s.lr < s.explodes_at < lr[-1]


def test_one_noisy_batch_is_no_climb():
    lr = ladder()
    for steps in (50, 100, 300):
        lr = ladder(steps)
        loss = range_test(lr, fall=0.0, climb=1.0)
        spiked = loss.copy()
        spiked[steps // 2] = 50.0
        assert decades_apart(suggest(lr, spiked), suggest(lr, loss)) < 0.1


@pytest.mark.parametrize(
    "loss", [np.full(100, 0.7), np.zeros(100), range_test(ladder(), fall=0.0, climb=1e9)]
)
def test_neither_falls_nor_climbs(loss):
    s = suggest(ladder(), loss)
    assert s.lr is None
    assert "neither fell nor climbed" in s.reason
    assert "raise end_lr" in s.reason
    assert (s.falls_at, s.minimum, s.explodes_at) == (None, None, None)


def test_a_loss_that_is_the_same_in_all_steps_is_named():
    words = "look at the loss, which is the same in all steps"
    assert words in suggest(ladder(), np.zeros(100)).reason
    assert words in suggest(ladder(), np.full((2, 100), 0.7)).reason
    assert words not in suggest(ladder(), range_test(ladder(), fall=0.0, climb=1e9)).reason


@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [100, (2, 100)])
def test_where_no_loss_is_finite_no_rate_is_blamed(loss, shape):
    s = suggest(ladder(), np.full(shape, loss))
    assert s.lr is None
    assert s.reason.startswith("no loss was finite, so no rate is the cause: look for NaN")
    assert "look for NaN in the model's weights too" in s.reason


def test_never_explodes():
    lr = ladder()
    s = suggest(lr, range_test(lr, at=0.1, climb=1e9))
    assert s.lr is not None
    assert s.confidence == "low"
    assert s.explodes_at is None
    assert "raise end_lr" in s.reason


def test_noise_as_large_as_the_fall():
    lr = ladder()
    s = suggest(lr, range_test(lr, noise=1.0))
    assert s.confidence == "low"
    assert "the fall is hardly larger than the noise: use repeats=3 or more steps" in s.reason
    assert s.lr is not None


def test_who_repeats_already_is_told_to_repeat_more():
    lr = ladder()
    table = np.array([range_test(lr, noise=1.5, seed=seed) for seed in range(3)])
    s = suggest(lr, table)
    assert "the fall is hardly larger than the noise: use more repeats or more steps" in s.reason


@pytest.mark.parametrize("offset", [0.0, 1000.0, -1e6])
def test_a_fall_is_told_with_as_many_digits_as_show_it(offset):
    lr = ladder()
    s = suggest(lr, range_test(lr, fall=0.05, noise=1e-3, top=10.0) + offset)
    top, floor = map(float, re.match(r"loss fell from (\S+) to (\S+) between", s.reason).groups())
    assert 0 < top - floor < 0.2


def test_a_fall_is_not_told_as_deeper_than_all_losses():
    lr = np.geomspace(1e-6, 10, 100)
    decades = np.log10(lr)
    loss = 2.3 / (1 + np.exp(16 * (decades + 4))) + 0.01
    reason = suggest(lr, np.where(decades > 0, loss + 2 * lr**3, loss)).reason
    assert "fell from 2.31 to 0.01 between" in reason


@pytest.mark.parametrize("points", [0, 1, 2, 9])
def test_too_few_points_for_any_rate(points):
    lr = ladder(points)
    s = suggest(lr, range_test(lr))
    assert s.lr is None
    assert f"{points} usable point" in s.reason
    assert "use at least" in s.reason


def test_too_few_points_per_decade():
    lr = ladder(20)
    s = suggest(lr, range_test(lr))
    assert s.confidence == "low"
    assert "use at least 67 steps" in s.reason  # the rates span 6.65 decades


def test_climbs_from_its_first_steps():
    lr = ladder(start=1e-2)
    s = suggest(lr, range_test(lr, fall=0.0, climb=0.02))
    assert s.lr is None
    assert "lower start_lr" in s.reason


def test_falls_from_its_first_steps():
    lr = ladder(start=1e-2)
    s = suggest(lr, range_test(lr, at=1e-2))
    assert s.lr == lr[0]
    assert s.confidence == "low"
    assert "lower start_lr" in s.reason


def test_all_rates_the_same():
    s = suggest(np.full(50, 0.1), np.arange(50.0))
    assert s.lr is None
    assert "all rates are the same" in s.reason


@pytest.mark.parametrize(
    "losses", ["x", [[1, 2], [3]], [1j], torch.ones(3, requires_grad=True)], ids=repr
)
def test_what_is_no_array_of_numbers_is_named(losses):
    with pytest.raises(TypeError, match="loss cannot be read as an array of numbers: "):
        suggest([1e-3, 1e-2, 1e-1], losses)
    with pytest.raises(TypeError, match="lr cannot be read as an array of numbers: "):
        suggest(losses, [1.0, 2.0, 3.0])


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"lr must have shape \(steps,\)"):
        suggest([0.1, 0.2, 0.3], [1.0, 2.0])
    with pytest.raises(ValueError, match=r"lr must have shape \(steps,\)"):
        suggest([[0.1, 0.2]], [[1.0, 2.0]])


class TestSweeps:
    lr = ladder()

    def sweeps(self, **kwargs):
        return np.array([range_test(self.lr, seed=seed, **kwargs) for seed in range(3)])

    def test_spread_of_the_single_suggestions(self):
        table = self.sweeps(noise=0.2)
        singles = [np.log10(suggest(self.lr, row).lr) for row in table]
        s = suggest(self.lr, table)
        assert s.spread == pytest.approx(np.std(singles))
        assert min(singles) - 0.1 < np.log10(s.lr) < max(singles) + 0.1

    def test_equal_sweeps_are_one_sweep(self):
        row = range_test(self.lr)
        s = suggest(self.lr, [row, row, row])
        assert s.lr == pytest.approx(suggest(self.lr, row).lr, rel=1e-6)
        assert s.spread == 0

    def test_each_sweep_has_its_own_level(self):
        table = self.sweeps()
        lifted = table + np.array([[0.0], [100.0], [-7.0]])
        assert decades_apart(suggest(self.lr, lifted), suggest(self.lr, table)) < 1e-6

    def test_ended_early_is_nan_and_counts_as_exploded(self):
        table = self.sweeps()
        whole = suggest(self.lr, table)
        for row, end in zip(table, (80, 85, 90), strict=True):
            row[end:] = np.nan
        assert decades_apart(suggest(self.lr, table), whole) < 0.1

    def test_one_that_exploded_stays_exploded(self):
        table = np.array([range_test(self.lr, climb=climb) for climb in (0.02, 0.02, 1.0)])
        whole = suggest(self.lr, table)
        table[:2, 70:] = np.nan  # rates from 0.1 on
        s = suggest(self.lr, table)
        assert s.explodes_at == pytest.approx(whole.explodes_at, rel=0.1)
        assert s.explodes_at < 0.05
        assert decades_apart(s, whole) < 0.1

    @pytest.mark.parametrize("end", [3, 20, 50, 65, 75])
    def test_one_that_was_stopped_does_not_alter_what_the_others_show(self, end):
        table = self.sweeps(noise=0.02)
        table[2] += 5.0  # sweeps start from different losses
        both = suggest(self.lr, table[:2])
        table[2, end:] = np.nan
        s = suggest(self.lr, table)
        assert decades_apart(s, both) < 0.05
        assert s.spread < 0.1
        assert s.confidence == "high"
        if self.lr[end] < both.minimum:  # the stopped sweep must not change the losses
            losses = [re.match(r"loss fell from ([\d.]+) to ([\d.]+)", x.reason) for x in (s, both)]
            for told, expected in zip(*(map(float, x.groups()) for x in losses), strict=True):
                assert told == pytest.approx(expected, abs=0.03)

    def test_one_row_of_a_table_is_one_sweep(self):
        row = range_test(self.lr)
        assert suggest(self.lr, row[None, :]) == suggest(self.lr, row)

    def test_sweeps_that_disagree(self):
        table = np.array([range_test(self.lr, at=at, climb=100 * at) for at in (1e-5, 1e-3, 1e-2)])
        s = suggest(self.lr, table)
        assert s.confidence == "low"
        assert f"the sweeps disagree by {s.spread:.1f} decades" in s.reason


class TestAnyInput:
    lr = ladder()
    loss = range_test(lr)

    def test_lists_and_float32(self):
        s = suggest(self.lr, self.loss)
        assert suggest(self.lr.tolist(), self.loss.tolist()) == s
        single = suggest(np.float32(self.lr), np.float32(self.loss))
        assert decades_apart(single, s) < 1e-3

    def test_order_does_not_matter(self):
        s = suggest(self.lr, self.loss)
        assert suggest(self.lr[::-1], self.loss[::-1]) == s
        order = np.random.default_rng(0).permutation(len(self.lr))
        assert suggest(self.lr[order], self.loss[order]) == s

    def test_a_linear_ladder(self):
        lr = np.linspace(0, 1, 201)[1:]
        log = 10 ** (-4 * (1 - np.arange(1, 201) / 200))
        curve = {"at": 0.1, "climb": 1.0, "width": 0.2}
        linear, logarithmic = (
            suggest(lr, range_test(lr, **curve)),
            suggest(log, range_test(log, **curve)),
        )
        assert decades_apart(linear, logarithmic) < 0.2

    def test_gaps_are_passed_over(self):
        gapped = self.loss.copy()
        gapped[::9] = np.nan
        gapped[5] = -np.inf
        assert decades_apart(suggest(self.lr, gapped), suggest(self.lr, self.loss)) < 0.1

    def test_infinity_is_an_explosion(self):
        loss = range_test(self.lr, climb=1e9)
        loss[90:] = np.inf
        assert suggest(self.lr, loss).explodes_at == pytest.approx(self.lr[90], rel=0.5)

    def test_rates_that_are_none_are_left_out(self):
        lr = np.r_[0.0, -1.0, np.nan, np.inf, self.lr]
        assert suggest(lr, np.r_[9.0, 9.0, 9.0, 9.0, self.loss]) == suggest(self.lr, self.loss)

    @settings(max_examples=300)
    @given(
        arrays(np.float64, st.integers(0, 60), elements=st.floats(width=64)),
        st.integers(1, 3),
        st.randoms(use_true_random=False),
    )
    @example(np.array([1e308] * 30 + [-1e308] * 30), 1, None)
    @example(np.array([5e-324] * 30 + [0.0] * 30), 2, None)
    def test_never_raises_on_numbers(self, loss, sweeps, random):
        lr = ladder(len(loss))
        table = np.array([loss] * sweeps)
        if random:
            lr = np.array(random.sample(lr.tolist(), len(lr)))
        check(lr, suggest(lr, table))
        check(lr, suggest(lr, loss))

    @settings(max_examples=200)
    @given(st.data())
    def test_never_raises_on_any_rates(self, data):
        loss = data.draw(
            arrays(np.float32, array_shapes(max_dims=2, max_side=40), elements=st.floats(width=32))
        )
        lr = data.draw(arrays(np.float64, loss.shape[-1], elements=st.floats(width=64)))
        check(lr, suggest(lr, loss))


def check(lr, s):
    """Assert the properties that every suggestion must have."""
    assert isinstance(s, Suggestion)
    assert s.reason
    assert s.confidence in ("high", "low")
    for rate in (s.lr, s.falls_at, s.minimum, s.explodes_at):
        assert rate is None or (type(rate) is float and np.isfinite(rate) and rate > 0)
    if s.lr is None:
        assert s.confidence == "low"
    else:
        usable = lr[(lr > 0) & (lr < 1e300)]
        assert usable.min() * (1 - 1e-9) <= s.lr <= usable.max() * (1 + 1e-9)
