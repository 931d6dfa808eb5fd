"""Which rates short trials try, and which of them is chosen."""

import math

import pytest

from lrwidget.curve.search import (
    LEARNED,
    LONGEST,
    NEAR_SUGGESTION,
    Search,
    choose,
    fallen,
    first_length,
    longest_trial,
)

V = {1e-3: 1.0, 1e-3 * 10**0.5: 0.5, 1e-2: 1.0}  # best in the middle


def chosen(suggested: float | None = None, trained: float = 0.0, untrained: float = 2.0) -> float:
    choice = choose(V, 1e-3, untrained, 300, 300, suggested=suggested, trained=trained)
    assert choice.lr is not None
    return choice.lr


def test_a_budget_without_three_trials_is_refused_with_the_one_that_has_them() -> None:
    spent = 100
    with pytest.raises(ValueError, match="budget is 120, of which the sweep took 100 ") as refused:
        first_length(120, 120 - spent)
    least = int(str(refused.value).rsplit(" ", 1)[1])
    assert first_length(least, least - spent) * 3 == least - spent
    with pytest.raises(ValueError, match=f"at least {least}$"):
        first_length(least - 1, least - 1 - spent)


@pytest.mark.parametrize("away", [-0.45, -0.2, -0.01, 0.0, 0.1, 0.3, 0.49])
def test_a_rate_near_the_suggestion_is_drawn_towards_it(away: float) -> None:
    alone = chosen()
    found = math.log10(chosen(alone * 10**away) / alone)
    left = away - found
    assert abs(left) == pytest.approx(away**2 / NEAR_SUGGESTION, abs=1e-12)
    assert away * found >= 0


@pytest.mark.parametrize("away", [-3.0, -0.5, 0.5, 1.5])
def test_a_suggestion_that_is_far_away_moves_nothing(away: float) -> None:
    alone = chosen()
    assert chosen(alone * 10**away) == pytest.approx(alone)


def test_the_suggestion_stays_while_nothing_has_been_learned() -> None:
    barely, enough = 0.5 / (1 - 0.9 * LEARNED), 0.5 / (1 - 1.1 * LEARNED)
    assert chosen(7e-3, untrained=barely) == 1e-3  # the centre that was given
    assert chosen(untrained=enough) == pytest.approx(1e-3 * 10**0.5)
    # A model that learns its data by heart gains little on others, but in training it does.
    assert chosen(untrained=barely, trained=1.1 * LEARNED) == pytest.approx(1e-3 * 10**0.5)
    choice = choose(V, 1e-3, 0.4, 300, 300, trained=0.9)
    assert (choice.lr, choice.learned, choice.best) == (1e-3, False, pytest.approx(1e-3 * 10**0.5))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_unit_of_the_loss_does_not_matter(scale: float) -> None:
    one = choose(V, 1e-3, 2.0, 100, 900)
    other = choose({lr: scale * loss for lr, loss in V.items()}, 1e-3, scale * 2.0, 100, 900)
    assert other.lr == pytest.approx(one.lr)
    assert other.fall == pytest.approx(one.fall) == pytest.approx(0.75)


def test_a_fall_is_a_share_of_the_size_of_a_loss() -> None:
    assert fallen(2.0, 0.5) == pytest.approx(0.75)
    assert fallen(-1.0, -1.5) == pytest.approx(0.5)
    assert fallen(2.0, 3.0) == pytest.approx(-0.5)
    assert [fallen(0.0, loss) for loss in (-0.1, 0.0, 0.1)] == [1.0, 0.0, -1.0]
    assert fallen(math.nan, 5.0) == 1.0


def test_trials_are_as_long_as_a_tenth_of_the_training_and_never_longer_than_it() -> None:
    assert [longest_trial(planned) for planned in (None, 20, 200, 300, 600, 3_000, 20_000)] == [
        *(LONGEST, 20, 200, 300, 300, 300, 2_000)
    ]


@pytest.mark.parametrize(
    ("planned", "lengths"),
    [(200, [100, 200]), (None, [100, 200, 300]), (6_000, [100, 200, 400, 600]), (80, [80])],
)
def test_trials_are_continued_to_the_longest(planned: int | None, lengths: list[int]) -> None:
    search = Search(1e-3, 10**6, 100, longest_trial(planned))
    jobs, ends = search.jobs(), []
    job = next(jobs)
    while True:
        ends.append((job.begin, job.end))
        try:
            job = jobs.send((float(job.place**2), job.end - job.begin))
        except StopIteration:
            break
    assert sorted({end for _, end in ends}) == lengths
    assert search.length == lengths[-1]
    assert search.spent == 3 * lengths[-1]  # every one went on from where it was
