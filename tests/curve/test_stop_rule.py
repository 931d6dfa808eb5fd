"""Tests of the stop rule on synthetic curves with an obvious end."""

import time

import numpy as np
import pytest

from lrwidget.curve.stop_rule import DivergenceRule

START, END = 1e-7, 10.0


def ladder(steps):
    return START * (END / START) ** (np.arange(1, steps + 1) / steps)


def end_of(lr, loss):
    """Return the rate at which the rule ends the sweep; None if it does not."""
    rule = DivergenceRule()
    for rate, value in zip(lr.tolist(), np.asarray(loss, dtype=float).tolist(), strict=True):
        if rule.diverged(rate, value):
            return rate
    return None


def fall(lr, at=1e-3):
    """Return the share of the fall at each rate: near 0 on the plateau, half at ``at``, up to 1."""
    return 1 / (1 + (at / lr) ** 1.3)


def climb(lr, at=0.1):
    """Return a climb that is 1 at the rate ``at`` and grows tenfold every quarter decade."""
    return np.minimum((lr / at) ** 4, 1e6)


def classic(lr, draw, size=0.05):
    return 2.3 - 2 * fall(lr) + 2 * climb(lr) + noise(draw, lr, size)


def one_noisy_batch(lr, draw):
    loss = classic(lr, draw)
    loss[len(lr) // 4] = 100.0
    return loss


def heavy_tails(lr, draw):
    return classic(lr, draw, 0) + 0.1 * draw.standard_t(3, size=len(lr))


def zig_zag(lr, draw):
    """Return a curve whose explosion oscillates between high and low losses."""
    return 2.3 - 2 * fall(lr) + 2 * climb(lr) * draw.uniform(0, 2, size=len(lr))


def two_stages(lr, draw):
    return 4 - fall(lr, 1e-5) - 2 * fall(lr, 1e-2) + 3 * climb(lr, 1.0) + noise(draw, lr, 0.05)


def noise(draw, lr, size):
    return size * draw.normal(size=len(lr))


# Each entry gives a curve and the rates between which the sweep must end. None means that the
# sweep must run to the end of its ladder.
# `climb` passes the depth of the fall at 0.1; a person would stop a little later.
EXPECTED = {
    "classic": (classic, (0.1, 0.4)),
    "no noise": (lambda lr, draw: classic(lr, draw, 0), (0.1, 0.4)),
    "noise of a fifth of the fall": (lambda lr, draw: classic(lr, draw, 0.4), (0.1, 0.6)),
    "heavy tails": (heavy_tails, (0.1, 0.6)),
    "large offset": (lambda lr, draw: 1e6 + classic(lr, draw), (0.1, 0.4)),
    "large scale": (lambda lr, draw: 1e8 * classic(lr, draw), (0.1, 0.4)),
    "small scale": (lambda lr, draw: 1e-8 * classic(lr, draw), (0.1, 0.4)),
    "negative": (lambda lr, draw: classic(lr, draw) - 40, (0.1, 0.4)),
    "crosses zero": (lambda lr, draw: classic(lr, draw) - 1.5, (0.1, 0.4)),
    "starts at zero and falls": (lambda lr, draw: classic(lr, draw, 0) - 2.3, (0.1, 0.4)),
    "one noisy batch": (one_noisy_batch, (0.1, 0.6)),
    "falls in two stages": (two_stages, (1.0, 4.0)),
    "falls from the first step": (
        lambda lr, draw: 3 - 0.25 * np.log10(lr / START) + climb(lr) + noise(draw, lr, 0.05),
        (0.1, 0.4),
    ),
    "a jump to 1e6": (
        lambda lr, draw: np.where(lr < 0.1, classic(lr, draw, 0.05), 1e6),
        (0.1, 0.4),
    ),
    "thrown from wall to wall": (zig_zag, (0.1, 0.8)),
    "never falls, then climbs": (
        lambda lr, draw: 1 + 0.2 * climb(lr) + noise(draw, lr, 0.02),
        (0.08, 0.4),
    ),
    "climbs from zero": (
        lambda lr, draw: climb(lr) + 1e-3 * np.abs(noise(draw, lr, 1)),
        (0.01, 0.2),
    ),
    "climbs from the first step": (
        lambda lr, draw: (lr / START) ** 0.7 + noise(draw, lr, 0.05),
        (3e-7, 5e-6),
    ),
    "forgets all and stays there": (
        lambda lr, draw: 2.3 - 2 * fall(lr) * (lr < 0.1) + noise(draw, lr, 0.02),
        (0.2, 1.0),
    ),
    "worse again, but not as bad as at the start": (
        lambda lr, draw: 2.3 - 2 * fall(lr) + 1.2 * fall(lr, 0.1) + noise(draw, lr, 0.02),
        None,
    ),
    "falls to the end": (lambda lr, draw: 2.3 - 2 * fall(lr, 1.0) + noise(draw, lr, 0.05), None),
    "constant": (lambda lr, draw: np.full(len(lr), 0.7), None),
    "zeros": (lambda lr, draw: np.zeros(len(lr)), None),
    "flat noise": (lambda lr, draw: noise(draw, lr, 1.0), None),
    "flat noise on an offset": (lambda lr, draw: 1e4 + noise(draw, lr, 1.0), None),
    "exponential noise": (lambda lr, draw: draw.exponential(size=len(lr)), None),
}


@pytest.mark.parametrize("steps", [50, 100, 200, 500])
@pytest.mark.parametrize("name", EXPECTED)
def test_ends_where_a_person_would(name, steps):
    curve, expected = EXPECTED[name]
    lr = ladder(steps)
    for seed in range(5):
        end = end_of(lr, curve(lr, np.random.default_rng(seed)))
        if expected is None:
            assert end is None
        else:
            assert end is not None
            assert expected[0] <= end <= expected[1]


@pytest.mark.parametrize(("scale", "offset"), [(2.0**20, 0.0), (2.0**-20, 0.0), (1.0, 1024.0)])
def test_scale_and_offset_do_not_matter(scale, offset):
    lr = ladder(200)
    # Powers of two and losses on a grid avoid rounding, so the rule must end at the same step.
    loss = np.round(classic(lr, np.random.default_rng(0)) * 2**20) / 2**20
    assert end_of(lr, scale * loss + offset) == end_of(lr, loss)


def test_works_on_a_linear_ladder():
    lr = np.linspace(0, 1, 201)[1:]
    end = end_of(lr, 2.3 - 2 * fall(lr, 0.05) + 2 * climb(lr, 0.4))
    assert end is not None
    assert 0.4 <= end <= 0.8


def test_spares_the_start_and_passes_over_what_is_not_finite():
    rule = DivergenceRule()
    start = [1.0, 10.0, float("nan"), 100.0, float("inf"), 1e3, 1e4]
    assert not any(rule.diverged(1e-3, loss) for loss in start)
    assert any(rule.diverged(0.1 * 2**i, 10.0 ** (5 + i)) for i in range(3))


def test_memory_does_not_grow_and_no_step_costs_more_than_the_first():
    rule = DivergenceRule()
    losses = np.random.default_rng(0).normal(size=20_000).tolist()

    def run():
        begun = time.perf_counter()
        for loss in losses:
            rule.diverged(1e-3, loss)
        return time.perf_counter() - begun

    first = min(run() for _ in range(3))
    for _ in range(5):
        run()
    assert min(run() for _ in range(3)) < 3 * first
    assert not hasattr(rule, "__dict__")
    assert all(isinstance(getattr(rule, name), float | int) for name in rule.__slots__)
