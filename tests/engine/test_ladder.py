"""The ladder of learning rates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrwidget.engine.ladder import Ladder
from lrwidget.task.options import SweepOptions

ranges = st.tuples(
    st.floats(1e-10, 1e2),
    st.floats(1.001, 1e8),
    st.integers(2, 400),
    st.sampled_from(["log", "linear"]),
)


def ladder(start: float, end: float, steps: int, spacing: str = "log") -> list[float]:
    options = SweepOptions(start_lr=start, end_lr=end, steps=steps, spacing=spacing)
    return list(Ladder(options).climb())


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


def extended(steps: int, ends: list[tuple[int, float]], spacing: str = "log") -> list[float]:
    """Climb from 1e-6 to 1e-2; extend the ladder to each of `ends` after its number of steps."""
    ladder = Ladder(SweepOptions(start_lr=1e-6, end_lr=1e-2, steps=steps, spacing=spacing))
    ends = list(ends)
    rates = []
    for rate in ladder.climb():
        rates.append(rate)
        while ends and len(rates) == ends[0][0]:
            ladder.extend(ends.pop(0)[1])
    assert not ends
    assert ladder.total == ladder.options.steps == len(rates)
    assert ladder.options.end_lr == rates[-1]
    return rates


@given(
    st.integers(2, 200),
    st.lists(st.tuples(st.integers(1, 400), st.floats(1.0001, 1e4)), min_size=1, max_size=4),
    st.sampled_from(["log", "linear"]),
)
def test_what_is_added_goes_on_at_the_same_density(
    steps: int, wishes: list[tuple[int, float]], spacing: str
) -> None:
    before = ladder(1e-6, 1e-2, steps, spacing)
    end, asked = 1e-2, []
    for at, factor in sorted(wishes):
        end *= min(factor, 2 if spacing == "linear" else 1e4)
        asked.append((min(at, steps), end))
    rates = extended(steps, asked, spacing)
    assert rates[:steps] == before  # to the last bit
    assert rates[-1] == end
    assert all(new in rates for _, new in asked)
    assert np.all(np.diff(rates) > 0)

    def distance(low: float, high: float) -> float:
        return np.log(high / low) if spacing == "log" else high - low

    exact = steps * distance(1e-6, end) / distance(1e-6, 1e-2)
    # Each extension adds at least one step, even if its end is very near.
    assert round(exact) <= len(rates) <= round(exact) + len(asked)


@pytest.mark.parametrize("at", [1, 20, 39, 40])
def test_whole_decades_are_climbed_in_the_very_same_ratio(at: int) -> None:
    rates = extended(40, [(at, 1.0)])
    assert rates == pytest.approx(ladder(1e-6, 1.0, 60), rel=1e-12)
    assert extended(40, [(at, 0.1), (at, 1.0)]) == pytest.approx(rates, rel=1e-12)


def test_linear_spacing_keeps_its_difference() -> None:
    ladder = Ladder(SweepOptions(start_lr=1.0, end_lr=2.0, steps=4, spacing="linear"))
    rates = ladder.climb()
    first = next(rates)
    ladder.extend(3.0)
    assert [first, *rates] == [1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0]


def test_later_climbs_have_what_was_added_before_them() -> None:
    ladder = Ladder(SweepOptions(start_lr=1e-3, end_lr=1e-1, steps=2, repeats=3))
    assert list(ladder.climb()) == pytest.approx([1e-2, 1e-1])
    second = ladder.climb()
    next(second)
    ladder.extend(1.0)
    assert list(second) == pytest.approx([1e-1, 1.0])
    assert list(ladder.climb()) == pytest.approx([1e-2, 1e-1, 1.0])
    assert ladder.total == 2 + 3 + 3
    with pytest.raises(RuntimeError, match="at its end"):
        ladder.extend(10.0)
    assert ladder.options.end_lr == 1.0


@pytest.mark.parametrize("end", [1e-2, 1e-9])
def test_an_end_that_is_not_above_the_present_one_is_refused(end: float) -> None:
    ladder = Ladder(SweepOptions(start_lr=1e-6, end_lr=1e-2))
    with pytest.raises(ValueError, match=r"end_lr is .* goes to 0\.01 already|start_lr < end_lr"):
        ladder.extend(end)


@pytest.mark.parametrize("end", ["1", float("nan"), float("inf"), -1.0, None])
def test_an_end_that_is_no_rate_is_refused(end: object) -> None:
    ladder = Ladder(SweepOptions(start_lr=1e-6, end_lr=1e-2))
    with pytest.raises((TypeError, ValueError), match="end_lr is"):
        ladder.extend(end)
    assert list(ladder.climb())[-1] == 1e-2


def test_a_closed_ladder_cannot_be_extended() -> None:
    ladder = Ladder(SweepOptions(start_lr=1e-6, end_lr=1e-2))
    next(ladder.climb())
    ladder.close()
    with pytest.raises(RuntimeError, match="at its end"):
        ladder.extend(1.0)
