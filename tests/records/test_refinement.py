"""What the result of short trials says: why the rate was moved, and how sure it is."""

import math

import pytest

from lrwidget.records.refinement import Refinement, Trial, trained_share
from lrwidget.records.table import StopReason


def made(
    losses: dict[float, float],
    *,
    suggested: float | None = None,
    planned: int | None = None,
    untrained: float = 2.0,
    training: tuple[float, float] = (2.0, 1.0),
    length: int = 200,
) -> Refinement:
    """A result of trials at these rates, whose training loss falls evenly."""
    result = Refinement(1e-2, suggested, 100, 1500, planned)
    result.length, result.untrained = length, untrained
    for lr, loss in losses.items():
        trial = Trial(lr, held_out={length: loss})
        for step in range(length):
            share = step / max(1, length - 1)
            trial.records.append(lr, training[0] * (1 - share) + training[1] * share)
        trial.records.stop_reason = StopReason.FINISHED
        result.trials.append(trial)
    result.stop_reason = StopReason.FINISHED
    return result


LOSSES = {10**-2.5: 1.0, 1e-2: 0.5, 10**-1.5: 1.0}


def test_steps_that_were_run_again_are_spent_too() -> None:
    result = made(LOSSES)
    assert result.steps == 100 + 3 * 200
    result.steps_again = 50
    assert result.steps == 100 + 3 * 200 + 50
    assert Refinement.from_json(result.as_json()).steps == result.steps


@pytest.mark.parametrize(
    ("suggested", "planned", "words"),
    [
        (None, None, "taken to 7.1e-3 since trainings are longer than trials"),
        (None, 2000, "taken to 4e-3 because you will train 2,000 steps"),
        (None, 200, "best at 1e-2"),
        (5e-3, 200, "taken to 7.6e-3 towards the suggestion of 5e-3"),
        (2e-2, 200, "taken to 1.3e-2 towards the suggestion of 2e-2"),
        (
            2e-3,
            2000,
            "taken to 3e-3 because you will train 2,000 steps and towards the suggestion of 2e-3",
        ),
        (2e-4, 200, "best at 1e-2"),
    ],
)
def test_it_says_why_the_rate_is_not_that_of_the_best_trial(
    suggested: float | None, planned: int | None, words: str
) -> None:
    assert made(LOSSES, suggested=suggested, planned=planned).reason.endswith(words)


@pytest.mark.parametrize("reason", ["stopped", "failed"])
def test_it_says_after_how_many_trials_it_ended(reason: str) -> None:
    result = made(LOSSES, length=1)
    result.stop_reason = StopReason(reason)
    assert result.reason.startswith(f"{reason} after three trials of up to 1 step, 103 in all;")


def test_a_rate_between_trials_is_said_to_be_there() -> None:
    result = made({10**-2.5: 0.6, 1e-2: 0.5, 10**-1.5: 1.0}, planned=200)
    assert result.reason.endswith(", between its neighbours")
    assert result.lr is not None
    assert 10**-2.25 < result.lr < 1e-2


@pytest.mark.parametrize(
    ("best", "planned", "confidence"),
    [(0.5, None, "high"), (0.5, 5_900, "high"), (0.5, 6_000, "low"), (1.5, 400, "low")],
)
def test_high_needs_a_clear_fall_and_a_training_that_is_not_much_longer(
    best: float, planned: int | None, confidence: str
) -> None:
    losses = {10**-2.5: 1.9, 1e-2: best, 10**-1.5: 1.9}
    result = made(losses, planned=planned)
    assert result.confidence == confidence
    assert ("this says little" in result.reason) == (planned == 6_000)


@pytest.mark.parametrize(("beside", "confidence"), [(0.5, "low"), (0.6, "high")])
def test_a_rate_with_an_equal_one_beside_it_is_of_low_confidence(
    beside: float, confidence: str
) -> None:
    result = made({10**-2.5: 1.0, 1e-2: 0.5, 10**-1.5: beside, 0.1: 1.0})
    assert result.confidence == confidence
    assert ("no better than beside it" in result.reason) == (beside == 0.5)


def test_on_a_plateau_the_suggestion_stays_and_is_doubted() -> None:
    losses = {10**-2.5: 1.97, 1e-2: 1.95, 10**-1.5: 1.99}
    still = made(losses, suggested=3e-2, training=(2.0, 1.99))
    assert (still.lr, still.confidence) == (3e-2, "low")
    assert "none fell clearly below the untrained loss of 2" in still.reason
    # Where it learns its data by heart, the loss of training tells that it has left the plateau.
    by_heart = made(losses, suggested=3e-1, training=(2.0, 0.5))
    assert by_heart.lr == pytest.approx(10 ** (-2 - 1 / 12 - 0.15))
    assert by_heart.confidence == "low"


def test_the_fall_in_training_is_measured_from_the_lowest_rate() -> None:
    result = made(LOSSES, training=(4.0, 1.0))
    assert trained_share(result.trials, 200) == pytest.approx(1 - 1.3 / 3.85, abs=0.01)
    low, middle, high = result.trials
    for trial in (middle, high):
        trial.records.stop_reason = StopReason.DIVERGED
    assert trained_share([middle, high], 200) == 0
    assert trained_share([low], 201) == 0
    assert math.isclose(trained_share([high, low], 200), trained_share([low], 200))
