"""The changes of weights tell whether the rate has a part in them."""

import numpy as np
import pytest

from lrwidget.curve.rate_unused import rate_unused

RATES = np.geomspace(1e-6, 1.0, 7)
# The gradients of a model that learns, and then explodes.
GRADIENTS = np.array([1.0, 1.0, 0.9, 0.3, 0.1, 0.05, 2.0])
ONES = np.ones(7)


def test_steps_that_do_not_go_by_the_rate_are_seen_however_they_are_made() -> None:
    assert rate_unused(RATES, 0.01 * GRADIENTS, GRADIENTS) == (0, 6)  # as SGD
    assert rate_unused(RATES, 0.01 * ONES, GRADIENTS) == (0, 6)  # as Adam
    assert rate_unused(RATES, 0.01 * ONES, 0 * ONES) == (0, 6)  # with unknown gradients


@pytest.mark.parametrize(
    "changes",
    [
        RATES * GRADIENTS,  # SGD
        RATES,  # Adam
        RATES**0.5,  # noise as large as the root of the rate
        RATES + 1e-3,  # a decay that does not go by the rate
        RATES + 1e-2,  # a larger one, above the steps of most rates
        np.minimum(RATES, 1e-2),  # weights that are clipped
        0 * RATES,  # nothing changes
        np.where(RATES > 0.05, RATES, 0),  # weights of little precision
    ],
)
def test_steps_that_go_by_the_rate_are_not_doubted(changes: np.ndarray) -> None:
    assert rate_unused(RATES, changes, GRADIENTS) is None
    assert rate_unused(RATES, changes, 0 * ONES) is None


def test_a_gradient_that_falls_as_the_rate_rises_is_no_proof() -> None:
    falling = 1e-6 / RATES
    assert rate_unused(RATES, RATES * falling, falling) is None


def test_changes_that_differ_by_more_than_the_rate_are_no_proof() -> None:
    unsteady = np.array([1.0, 0.01, 0.5, 2.0, 0.02, 0.3, 0.01])
    assert rate_unused(RATES, unsteady, 0 * ONES) is None
    assert rate_unused(RATES, 0.01 * unsteady / unsteady.max() + 1, 0 * ONES) == (0, 6)


def test_few_steps_and_close_rates_say_nothing() -> None:
    assert rate_unused(RATES[:2], ONES[:2], ONES[:2]) is None
    assert rate_unused(np.linspace(0.1, 1.0, 7), ONES, ONES) is None
