"""The ladder of learning rates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrwidget.options import SweepOptions
from lrwidget.schedule import Ladder

ranges = st.tuples(
    st.floats(1e-10, 1e2),
    st.floats(1.001, 1e8),
    st.integers(2, 400),
    st.sampled_from(["log", "linear"]),
)


def ladder(start: float, end: float, steps: int, spacing: str = "log") -> list[float]:
    return list(Ladder(SweepOptions(start_lr=start, end_lr=end, steps=steps, spacing=spacing)))


def test_it_begins_as_luz_does_and_ends_at_the_end() -> None:
    rates = ladder(1e-6, 1.0, 100)
    assert [f"{rate:.4e}" for rate in rates[:3]] == ["1.1482e-06", "1.3183e-06", "1.5136e-06"]
    assert rates[-1] == 1.0
    assert len(rates) == 100


def test_linear_spacing_is_uniform() -> None:
    assert ladder(1.0, 2.0, 4, "linear") == [1.25, 1.5, 1.75, 2.0]


@given(ranges)
def test_it_rises_within_the_range_and_ends_exactly_at_the_end(
    given_range: tuple[float, float, int, str],
) -> None:
    start, factor, steps, spacing = given_range
    end = start * factor
    rates = np.array(ladder(start, end, steps, spacing))
    assert len(rates) == steps
    assert rates[-1] == end
    assert rates[0] > start
    assert np.all(np.diff(rates) > 0)


@given(ranges)
def test_the_spacing_is_even(given_range: tuple[float, float, int, str]) -> None:
    start, factor, steps, spacing = given_range
    rates = np.array([start, *ladder(start, start * factor, steps, spacing)])
    gaps = np.diff(np.log(rates) if spacing == "log" else rates)
    assert gaps == pytest.approx(gaps.mean(), rel=1e-6, abs=1e-12 * rates.max())


def test_it_is_a_sequence() -> None:
    steps = Ladder(SweepOptions(start_lr=1e-3, end_lr=1.0, steps=3))
    assert len(steps) == 3
    assert steps[2] == 1.0
