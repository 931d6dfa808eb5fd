"""Tests of the landmarks on curves whose landmarks are known."""

import numpy as np
import pytest

from lrwidget.curve.landmarks import find_landmarks
from lrwidget.curve.normalize import broke_off, read_sweeps

LR = 1e-7 * 1e8 ** (np.arange(1, 401) / 400)
DECADES = np.log10(LR)
# The loss falls by 2 from 1e-4 to 1e-2, stays flat up to 1e-1, then climbs by 20 per decade.
BROKEN = np.interp(DECADES, [-4, -2, -1, 1], [2.3, 0.3, 0.3, 40.3])


def test_landmarks_of_a_broken_line():
    marks = find_landmarks(*read_sweeps(LR, BROKEN))
    assert marks.level == pytest.approx(2.3, abs=0.02)
    assert marks.fall == pytest.approx(2.0, abs=0.03)
    # The kernel rounds the corners. The climb is much steeper than the fall, so its corner
    # spreads further into the floor.
    assert marks.begun == pytest.approx(-3.8, abs=0.1)
    assert marks.done == pytest.approx(-2.1, abs=0.25)
    assert marks.lost == pytest.approx(-1.3, abs=0.15)
    assert marks.half_lost == pytest.approx(-0.95, abs=0.15)
    assert marks.done < marks.minimum < marks.lost
    assert (marks.first, marks.last) == (DECADES[0], DECADES[-1])


def test_noise_is_the_standard_deviation_of_a_batch():
    noise = 0.2 * np.random.default_rng(0).normal(size=400)
    marks = find_landmarks(*read_sweeps(LR, BROKEN + noise))
    assert marks.noise == pytest.approx(0.2, rel=0.2)
    # A Gaussian of a quarter decade at 50 steps per decade averages about 44 steps.
    assert marks.error == pytest.approx(0.2 / np.sqrt(44), rel=0.3)


@pytest.mark.slow
def test_the_error_is_that_of_repeated_draws():
    rng = np.random.default_rng(1)
    minima = [
        find_landmarks(*read_sweeps(LR, BROKEN + 0.1 * rng.normal(size=400))) for _ in range(200)
    ]
    levels = [marks.level - marks.fall for marks in minima]
    assert np.mean([marks.error for marks in minima]) == pytest.approx(np.std(levels), rel=0.5)


def test_no_fall_and_no_climb():
    marks = find_landmarks(*read_sweeps(LR, np.full(400, 0.7)))
    assert marks.fall == pytest.approx(0, abs=1e-12)
    assert marks.climbs is None


def test_a_curve_that_only_climbs_has_no_fall():
    marks = find_landmarks(*read_sweeps(LR, np.interp(DECADES, [-7, 1], [0, 1])))
    assert marks.fall == 0


def test_a_fall_in_the_chaos_after_the_climb_does_not_count():
    loss = np.interp(DECADES, [-2, -1, 0, 0.5, 1], [1, 5, 5, -3, 5])
    loss += 0.05 * np.random.default_rng(0).normal(size=400)
    marks = find_landmarks(*read_sweeps(LR, loss))
    assert marks.climbs == pytest.approx(-2, abs=0.3)
    assert marks.minimum < marks.climbs
    assert marks.fall < 0.1


def test_one_bad_batch_leaves_no_trace():
    loss = BROKEN + 0.05 * np.random.default_rng(0).normal(size=400)
    spiked = loss.copy()
    spiked[100] = 1e9
    here, there = (find_landmarks(*read_sweeps(LR, curve)) for curve in (spiked, loss))
    for name in ("begun", "done", "minimum", "lost", "climbs", "explodes"):
        assert getattr(here, name) == pytest.approx(getattr(there, name), abs=0.02)


def test_the_explosion_is_dated_by_its_height_above_the_plateau():
    # Twenty times the plateau's noise of 0.05 is 1, which a climb of 20 per decade reaches after
    # 0.05 decade.
    loss = np.interp(DECADES, [-1, 0], [2.3, 22.3])
    loss += 0.05 * np.random.default_rng(0).normal(size=400)
    marks = find_landmarks(*read_sweeps(LR, loss))
    assert marks.explodes == pytest.approx(-0.95, abs=0.15)
    assert marks.climbs < marks.explodes
    assert find_landmarks(*read_sweeps(LR, np.minimum(loss, 3.0))).explodes is None


class TestHeight:
    """The height is the ratio of the explosion to the fall, in decades."""

    # The loss falls by 2 and then explodes to 2 or 2000 above its level of 2.3.
    low, high = (
        np.interp(DECADES, [-4, -2, -1, 0], [2.3, 0.3, 0.3, 2.3 + top]) for top in (2, 2e3)
    )

    def height(self, loss):
        return find_landmarks(*read_sweeps(LR, loss)).height

    def test_of_known_explosions(self):
        assert self.height(self.low) == pytest.approx(0, abs=0.05)
        assert self.height(self.high) == pytest.approx(3, abs=0.05)
        assert self.height(-7 + 1e-3 * self.high) == pytest.approx(3, abs=0.05)

    def test_of_several_sweeps_is_their_mean(self):
        assert self.height([self.low, self.high]) == pytest.approx(1.5, abs=0.1)

    def test_without_an_explosion(self):
        assert self.height(np.minimum.accumulate(self.low)) is None

    def test_a_sweep_that_broke_off_does_not_count(self):
        stopped = np.where(DECADES < -1.5, self.high, np.nan)
        assert self.height([self.high, stopped]) == pytest.approx(3, abs=0.05)
        # A sweep that ended in its explosion counts with the height that it reached.
        ended = np.where(self.high < 200, self.high, np.nan)
        assert self.height([self.high, ended]) == pytest.approx(2.5, abs=0.1)

    def test_one_bad_batch_is_no_explosion(self):
        spiked = self.low + 0.02 * np.random.default_rng(0).normal(size=400)
        spiked[200] = 1e6
        assert self.height(spiked) == pytest.approx(0, abs=0.1)


def test_a_sweep_broke_off_or_exploded():
    rng = np.random.default_rng(0)
    loss = BROKEN + 0.05 * rng.normal(size=400)

    def ended(at):
        cut = loss.copy()
        cut[at < DECADES] = np.nan
        return cut

    assert [broke_off(ended(at)) for at in (-6.9, -6, -3, -2, -1.2)] == [True] * 5
    assert [broke_off(ended(at)) for at in (-0.85, 0, 1)] == [False] * 3
    exploded = ended(-2)
    exploded[np.flatnonzero(np.isnan(exploded))[0]] = 1e150  # read_sweeps turns inf into this
    assert not broke_off(exploded)


def test_read_sweeps_sorts_and_drops():
    lr = [1e-1, 0.0, 1e-3, np.nan, 1e-2, 1.0]
    loss = [[1.0, 9.0, 3.0, 9.0, np.nan, np.inf], [1.5, 9.0, 3.5, 9.0, np.nan, np.nan]]
    decades, losses = read_sweeps(lr, loss)
    np.testing.assert_allclose(decades, [-3, -1, 0])
    np.testing.assert_array_equal(losses, [[3.0, 1.0, 1e150], [3.5, 1.5, np.nan]])
