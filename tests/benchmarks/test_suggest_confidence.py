"""How often suggestions of high confidence fail, with the bound chosen without a family."""

import pytest

from benchmarks.suggest.confidence import (
    Sure,
    bound,
    by_heart,
    fallen,
    left_out,
    share,
    sizes,
    sure_ones,
)
from benchmarks.suggest.recorded import load_tasks
from lrwidget.curve.suggest import SURE_FALL, suggest
from tests.benchmarks.test_suggest import curves

pytestmark = pytest.mark.slow

ONES = [
    Sure("a", 1.0, 0.9, failed=False),
    Sure("a", 1.0, 0.35, failed=True),
    Sure("b", 0.5, 0.8, failed=False),
    Sure("b", 0.5, 0.45, failed=True),
]


def test_the_share_that_fails_by_hand():
    assert share(ONES) == pytest.approx(1.5 / 3)
    assert share([]) == 0


def test_the_bound_is_the_lowest_that_lets_few_enough_fail():
    assert bound(ONES, 0.5) == 0
    assert bound(ONES, 0.25) == 0.4
    assert bound(ONES, 0.0) == 0.5
    assert bound(ONES[1:2] * 2, 0.0) == 0.4
    assert bound([Sure("a", 1.0, 0.99, failed=True)], 0.0) == 1


def test_a_family_is_judged_by_the_bound_of_the_others():
    # Without "b" the bound is 0.4, so that the failure of "b" passes; without "a" it is 0.5.
    assert left_out(ONES, 0.0) == [ONES[0], ONES[2], ONES[3]]


def test_those_above_the_bound_are_those_that_are_called_high():
    tasks = load_tasks("recorded")[:4]
    ones = sure_ones(tasks)
    high = sum(
        suggest(lr, loss).confidence == "high"
        for task in tasks
        for steps in task.sweeps
        for lr, loss in curves(task, steps, 1)
    )
    assert 0 < sum(one.fall >= SURE_FALL for one in ones) == high < len(ones)


@pytest.mark.parametrize(
    ("kind", "by_the_fall", "by_both"),
    [("small", (18, 44), (0, 6)), ("unseen", (8, 46), (2, 34)), ("fresh", (0, 89), (0, 80))],
)
def test_what_the_readme_says_of_few_samples(kind, by_the_fall, by_both):
    ones = fallen(sure_ones(load_tasks(kind)))
    assert (sum(one.failed for one in ones), len(ones)) == by_the_fall
    kept = [one for one in ones if not one.by_heart]
    assert (sum(one.failed for one in kept), len(kept)) == by_both


def test_of_the_tasks_that_no_bound_was_set_on_two_percent_of_the_high_fail():
    ones = fallen(sure_ones([*load_tasks("unseen"), *load_tasks("fresh")]))
    kept = [one for one in ones if not one.by_heart]
    assert (sum(one.failed for one in kept), len(kept)) == (2, 114)
    assert share(kept) == pytest.approx(0.018, abs=6e-4)


def test_few_samples_count_where_a_sweep_passes_over_them_often():
    name = "wine_bn_sgdm_b32"
    assert sizes()[name][0] < 300
    assert by_heart(name, 100)
    assert not by_heart(name, 10)
    assert not by_heart("a task of unknown size", 300)
