"""Tests of the smoothed loss with the vectors that the browser's tests share.

``tests/vectors/smoothing.json`` is written by ``python tests/vectors/make_smoothing.py``, which
follows the definition in 60-digit decimal arithmetic; its docstring describes the format.
"""

import numpy as np
import pytest

from lrwidget.curve.smoothing import smoothed
from tests.vectors.smoothing_cases import smoothing_cases


def recurrence(loss, beta):
    """Compute the smoothed loss from its definition in a plain loop."""
    m, i, out = 0.0, 0, []
    for value in loss:
        if np.isfinite(value):
            i += 1
            m = beta * m + (1 - beta) * value
            out.append(m / (1 - beta**i))
        else:
            out.append(np.nan)
    return np.array(out)


@pytest.mark.parametrize(("loss", "beta", "expected"), smoothing_cases("smoothing.json"))
def test_shared_vectors(loss, beta, expected):
    np.testing.assert_allclose(smoothed(loss, beta), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.9, 0.98, 0.99])
def test_equals_the_recurrence_on_a_long_curve(beta):
    loss = np.random.default_rng(0).normal(1.0, 2.0, 20_000)
    loss[::37] = np.nan
    np.testing.assert_allclose(smoothed(loss, beta), recurrence(loss, beta), rtol=1e-12, atol=1e-12)


def test_zero_returns_the_losses_and_leaves_the_input_alone():
    loss = np.array([3.0, np.inf, -1.0])
    np.testing.assert_array_equal(smoothed(loss, 0.0), [3.0, np.nan, -1.0])
    np.testing.assert_array_equal(loss, [3.0, np.inf, -1.0])


def test_a_constant_stays_constant():
    np.testing.assert_allclose(smoothed([2.5] * 500, 0.98), 2.5, rtol=1e-12)


def test_a_gap_is_not_counted():
    with_gap = smoothed([1.0, np.nan, 3.0, np.inf, 2.0], 0.9)
    np.testing.assert_array_equal(with_gap[[0, 2, 4]], smoothed([1.0, 3.0, 2.0], 0.9))


@pytest.mark.parametrize("beta", [-0.1, 1.0, 1.5, float("nan"), None, "0.9"])
def test_refuses_a_beta_outside_its_range(beta):
    with pytest.raises(ValueError, match="beta must be"):
        smoothed([1.0], beta)


def test_refuses_a_table():
    with pytest.raises(ValueError, match="one-dimensional"):
        smoothed([[1.0, 2.0]], 0.9)
