"""Tests of the drawn line, with the vectors that the browser's tests share, and the regions."""

import json
from pathlib import Path

import numpy as np
import pytest

from lrwidget import suggest
from lrwidget.curve.centred import centred
from lrwidget.curve.smoothing import smoothed
from tests.vectors.smoothing_cases import smoothing_cases

ROOT = Path(__file__).parents[2]
RECORDED = json.loads((ROOT / "benchmarks" / "suggest" / "recorded.json").read_text())


@pytest.mark.parametrize(("loss", "beta", "expected"), smoothing_cases("centred.json"))
def test_shared_vectors(loss, beta, expected):
    np.testing.assert_allclose(centred(loss, beta), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.99])
def test_a_straight_line_stays_where_it_is_at_both_ends_too(beta):
    line = np.linspace(3, 1, 200)
    np.testing.assert_allclose(centred(line, beta), line, atol=1e-9)
    assert beta < 0.9 or smoothed(line, beta)[-1] > 1.05


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.98])
def test_it_is_about_as_smooth_as_the_average_of_the_same_number(beta):
    noise = np.random.default_rng(0).normal(0, 1, 20_000)
    ratio = np.std(centred(noise, beta)) / np.std(smoothed(noise, beta))
    assert 0.85 < ratio < 1.15


def test_an_explosion_does_not_reach_back_into_the_fall():
    fall = np.concatenate([np.full(40, 2.0), np.linspace(2, 1, 30)])
    line = centred([*fall, 3, 1e3, 1e8, 1e30], 0.9)
    assert np.abs(line[:45] - fall[:45]).max() < 0.1
    assert line.argmin() >= 50
    assert line[-1] > 1e6


def test_it_stays_within_the_losses():
    loss = np.random.default_rng(1).normal(1, 0.1, 60)
    loss[50] = 1e9
    line = centred(loss, 0.95)
    assert loss.min() <= line.min()
    assert line.max() <= 1e9


def lag(rates, losses, line):
    """Return how many decades the line's minimum lies beyond the end of the falling region."""
    end = suggest(rates, losses).minimum
    return np.log10(rates[np.nanargmin(line)] / end)


@pytest.mark.parametrize("steps", ["100", pytest.param("300", marks=pytest.mark.slow)])
def test_it_is_lowest_within_the_region_that_is_called_falling(steps):
    """On recorded sweeps, the plain average reaches its minimum half a decade too late."""
    drawn, averages = [], []
    for task in RECORDED:
        for sweep in task["sweeps"][steps]:
            losses = np.array(sweep, dtype=float)
            rates = 1e-7 * 1e8 ** (np.arange(1, len(losses) + 1) / int(steps))
            if suggest(rates, losses).minimum is None:
                continue
            drawn.append(lag(rates, losses, centred(losses, 0.9)))
            averages.append(lag(rates, losses, smoothed(losses, 0.9)))
    assert len(drawn) > 10
    # On a floor two decades wide, fits of different widths can settle on different noise dips.
    assert max(drawn) < 0.2
    assert np.mean(np.array(drawn) <= 0.1) > 0.8
    assert np.median(averages) > 0.2


@pytest.mark.parametrize("beta", [-0.1, 1.0, float("nan")])
def test_refuses_a_beta_outside_its_range(beta):
    with pytest.raises(ValueError, match="beta must be"):
        centred([1.0, 2.0, 3.0], beta)
