"""The validation of options: errors name the given and the expected value."""

import math

import pytest

from lrwidget.task.options import SweepOptions


def test_the_defaults_are_those_of_the_contract() -> None:
    options = SweepOptions()
    assert (options.start_lr, options.end_lr, options.steps) == (1e-7, 10.0, 100)
    assert (options.spacing, options.stop_at_divergence) == ("log", True)
    assert (options.repeats, options.seed) == (1, None)


@pytest.mark.parametrize("name", ["start_lr", "end_lr"])
@pytest.mark.parametrize(
    "value", [0, -1e-3, math.nan, math.inf, 3.5e38, pytest.param(10**400, id="huge")]
)
def test_a_rate_that_is_not_positive_and_finite_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{name} is .*expected a positive, finite"):
        SweepOptions(**{name: value})


@pytest.mark.parametrize("value", ["1e-3", None, True, [1e-3], 1j])
def test_a_rate_that_is_not_a_number_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="start_lr is"):
        SweepOptions(start_lr=value)


@pytest.mark.parametrize(("start", "end"), [(1.0, 1.0), (1.0, 1e-6)])
def test_a_range_that_does_not_rise_is_refused(start: float, end: float) -> None:
    with pytest.raises(ValueError, match="expected start_lr < end_lr"):
        SweepOptions(start_lr=start, end_lr=end)
    with pytest.raises(ValueError, match=r"start_lr is 2\.5e-1 and end_lr is 1e-6; expected"):
        SweepOptions(start_lr=0.25, end_lr=1e-6)


def test_a_range_whose_ratio_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"start_lr is 2.*-308 and end_lr is 10.*raise start_lr"):
        SweepOptions(start_lr=2.3e-308)
    assert SweepOptions(start_lr=2.3e-308, spacing="linear").start_lr == 2.3e-308


@pytest.mark.parametrize("steps", [1, 0, -5])
def test_fewer_than_two_steps_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=r"steps is .*expected at least 2"):
        SweepOptions(steps=steps)


@pytest.mark.parametrize("steps", [2.5, "100", None, True])
def test_steps_that_are_not_whole_are_a_type_error(steps: object) -> None:
    with pytest.raises(TypeError, match=r"steps is .*expected a whole number"):
        SweepOptions(steps=steps)


def test_repeats_seed_spacing_and_the_stop_flag_are_checked() -> None:
    with pytest.raises(ValueError, match="repeats is 0"):
        SweepOptions(repeats=0)
    with pytest.raises(ValueError, match="seed is -1"):
        SweepOptions(seed=-1)
    with pytest.raises(ValueError, match=r"seed is 1000.*; expected"):
        SweepOptions(seed=10**30)
    assert SweepOptions(seed=2**63).seed == 2**63  # as `torch.seed()` gives
    with pytest.raises(ValueError, match="spacing is 'exp'; expected 'log' or 'linear'"):
        SweepOptions(spacing="exp")
    with pytest.raises(TypeError, match="stop_at_divergence is 1"):
        SweepOptions(stop_at_divergence=1)


def test_numpy_numbers_become_plain_ones() -> None:
    np = pytest.importorskip("numpy")
    options = SweepOptions(start_lr=np.float32(0.5), end_lr=np.float64(2), steps=np.int64(7))
    assert [type(v) for v in (options.start_lr, options.end_lr, options.steps)] == [
        float,
        float,
        int,
    ]
