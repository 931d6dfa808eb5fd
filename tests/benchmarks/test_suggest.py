"""The benchmark of suggestions, and the figures that its README states."""

import sys

import numpy as np
import pytest

from benchmarks.suggest.__main__ import SETS, main, ours
from benchmarks.suggest.breakdown import (
    CARRIERS,
    KINDS,
    SLOW,
    by_kind,
    carriers,
    difference,
    failures_by_confidence,
    kept,
)
from benchmarks.suggest.recorded import LENGTHS, Task, ladder, load_tasks
from benchmarks.suggest.score import (
    BEST,
    CHOICES,
    Score,
    choose,
    chosen_on,
    curves,
    left_out,
    mean_by_choice,
    regrets_at,
    score,
)
from lrwidget.curve.published_rules import RULES
from lrwidget.curve.stop_rule import DivergenceRule
from lrwidget.curve.suggest import DISTANCES, suggest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tasks():
    return load_tasks("recorded")


def made_task(name="made", **changes):
    values = {
        "nothing": 2.0,
        "decades": np.array([-3.0, -2.0, -1.0]),
        "response": np.array([2.0, 0.5, 1.0]),
        "sweeps": {n: [np.ones(n), np.ones(n - 1), np.ones(n)] for n in LENGTHS},
    }
    return Task(name=name, family=name, **(values | changes))


def test_regret_by_hand():
    task = made_task()
    assert task.regret(1e-2) == pytest.approx(0)
    assert task.regret(1e-3) == pytest.approx(1)
    assert task.regret(1e-1) == pytest.approx(1 / 3)
    assert task.regret(10**-1.5) == pytest.approx(1 / 6)
    assert [task.regret(lr) for lr in (None, float("nan"), 0.0, -1.0)] == [1.0] * 4


def test_what_was_recorded(tasks):
    assert len(tasks) == 13
    for task in tasks:
        for steps in LENGTHS:
            assert len(task.sweeps[steps]) == 5
            assert all(
                len(loss) <= steps and np.isfinite(loss).all() for loss in task.sweeps[steps]
            )
        assert task.response.min() < task.nothing
        assert task.response.max() <= task.nothing * (1 + 1e-12)


def test_groups_of_sweeps_are_padded():
    groups = list(curves(made_task(), 100, 3))
    assert len(groups) == 1
    lr, loss = groups[0]
    np.testing.assert_array_equal(lr, ladder(100))
    assert np.isnan(loss).sum() == 1
    assert np.isnan(loss[1, -1])


@pytest.mark.parametrize("steps", LENGTHS)
def test_the_goal_on_the_recorded_tasks(tasks, steps):
    one, three = score(ours, tasks, steps), score(ours, tasks, steps, 3)
    assert one.mean <= 0.045
    assert one.p90 <= 0.145
    assert one.failures <= 0.02
    assert three.mean <= min(one.mean, 0.04)
    assert three.failures == 0
    for rule in RULES.values():
        published = score(rule, tasks, steps)
        assert one.mean < published.mean / 2
        assert one.p90 < published.p90


def test_the_published_rules_give_the_figures_of_their_libraries(tasks):
    """The figures are of fastai 2.8 and torch-lr-finder, run when the sweeps were recorded."""
    figures = {
        "minimum/10": (0.186, 0.122),
        "steepest": (0.184, 0.190),
        "valley": (0.105, 0.110),
        "slide": (0.191, 0.446),
    }
    for name, means in figures.items():
        for steps, mean in zip(LENGTHS, means, strict=True):
            assert score(RULES[name], tasks, steps).mean == pytest.approx(mean, abs=0.0015)


def test_the_best_choices_are_averaged():
    assert DISTANCES in CHOICES
    means = np.ones(len(CHOICES))
    means[:BEST] = 0.1
    chosen = choose([means, 2 * means])
    assert chosen.lost == pytest.approx(np.mean([c.lost for c in CHOICES[:BEST]]))
    assert chosen.climb == pytest.approx(np.mean([c.climb for c in CHOICES[:BEST]]))
    assert chosen.height == pytest.approx(np.mean([c.height for c in CHOICES[:BEST]]))


def test_distances_are_chosen_without_the_family_that_is_judged(tasks):
    one, other, third = (
        next(task for task in tasks if task.name.startswith(name))
        for name in ("clfnoise", "digits_mlp_", "digits_mlpbn")
    )
    assert other.family == third.family != one.family
    held = left_out([one, other, third])
    for judged, rest in ((one, [other, third]), (other, [one]), (third, [one])):
        chosen = choose([mean_by_choice(task) for task in rest])
        for steps in LENGTHS:
            expected = regrets_at(chosen, judged, steps, 1)
            assert held[steps].regrets[judged.name] == expected
            assert chosen_on(rest, [judged])[steps].regrets == {judged.name: expected}


def test_at_the_distances_in_use_the_regrets_are_those_of_the_rule(tasks):
    for task in tasks[:3]:
        expected = score(ours, [task], 100).regrets[task.name]
        assert regrets_at(DISTANCES, task, 100, 1) == pytest.approx(expected)


@pytest.mark.parametrize("steps", LENGTHS)
def test_distances_from_other_tasks_hold_on_the_recorded_ones(tasks, steps):
    held = chosen_on(load_tasks("made"), tasks)[steps]
    assert held.mean <= 0.05
    assert held.p90 <= 0.18
    assert held.failures <= 0.02


@pytest.mark.parametrize(("name", "count"), [("made", 50), ("varied", 128)])
@pytest.mark.parametrize("steps", LENGTHS)
def test_better_than_every_published_rule_on_the_made_tasks(name, count, steps):
    made = load_tasks(name)
    assert len(made) == count
    one = score(ours, made, steps)
    for rule in RULES.values():
        published = score(rule, made, steps)
        assert one.mean < published.mean
        assert one.failures < published.failures


@pytest.mark.parametrize(
    ("steps", "figures"),
    [(100, [0.186, 0.759, 0.151, 0.050, 0.155]), (300, [0.155, 0.618, 0.151, 0.041, 0.182])],
)
def test_what_the_readme_says_of_the_unseen_tasks(steps, figures):
    """The unseen tasks were run and scored once: these figures change only with the rule."""
    unseen = load_tasks("unseen")
    one, three = score(ours, unseen, steps), score(ours, unseen, steps, 3)
    found = [one.mean, one.p90, one.failures, one.error, three.mean]
    assert found == pytest.approx(figures, abs=0.0006)
    for rule in RULES.values():
        published = score(rule, unseen, steps)
        assert one.mean < published.mean
        assert one.failures <= published.failures


FRESH_AT = {
    100: [(0.161, 0.719, 0.117), (0.265, 0.23), (0.420, 0.39), (0.147, 0.11), (0.273, 0.21)],
    300: [(0.091, 0.163, 0.063), (0.128, 0.08), (0.337, 0.32), (0.133, 0.10), (0.585, 0.59)],
}


@pytest.mark.parametrize(("steps", "three"), [(100, 0.166), (300, 0.093)])
def test_what_the_readme_says_of_the_fresh_tasks(steps, three):
    fresh = load_tasks("fresh")
    assert len(fresh) == 37
    one, *published = (score(rule, fresh, steps) for rule in (ours, *RULES.values()))
    expected, *others = FRESH_AT[steps]
    assert [one.mean, one.p90, one.failures] == pytest.approx(expected, abs=0.0006)
    assert score(ours, fresh, steps, 3).mean == pytest.approx(three, abs=0.0006)
    for found, (mean, failures) in zip(published, others, strict=True):
        assert found.mean == pytest.approx(mean, abs=0.0006)
        assert found.failures == pytest.approx(failures, abs=0.006)


@pytest.mark.parametrize("steps", LENGTHS)
def test_a_sweep_that_is_stopped_gives_the_same_suggestion(tasks, steps):
    """The stop rule keeps the explosion and ends the sweep well after the best rate."""
    whole, cut = [], []
    for task in tasks:
        best = 10 ** task.decades[task.response.argmin()]
        for lr, loss in curves(task, steps, 1):
            rule = DivergenceRule()
            ends = (rule.diverged(*row) for row in zip(lr.tolist(), loss.tolist(), strict=True))
            end = next((i + 1 for i, diverged in enumerate(ends) if diverged), len(loss))
            assert end == len(loss) or lr[end - 1] > 4 * best
            whole.append(task.regret(ours(lr, loss)))
            cut.append(task.regret(ours(lr[:end], loss[:end])))
    assert np.mean(cut) == pytest.approx(np.mean(whole), abs=0.005)


def test_prints_the_tables_and_chooses_nothing_on_the_unseen_tasks(monkeypatch, capsys):
    sets = {name: load_tasks(name)[:2] for name in SETS}
    held = load_tasks("unseen")
    sets["unseen"] = [
        next(task for task in held if task.name.startswith(starts or "breast"))
        for starts, *_ in CARRIERS.values()
    ]
    sets["fresh"] = load_tasks("fresh")[:3]
    monkeypatch.setattr("benchmarks.suggest.__main__.load_tasks", sets.__getitem__)
    chosen = []
    monkeypatch.setattr(
        "benchmarks.suggest.__main__.left_out",
        lambda tasks, sweeps: chosen.extend(tasks) or left_out(tasks, sweeps),
    )
    monkeypatch.setattr(sys, "argv", ["suggest", "--tasks"])
    main()
    printed = capsys.readouterr().out
    one = score(ours, sets["recorded"], 100)
    assert f"{one.mean:.3f} / {one.p90:.2f}" in printed
    for name in (*RULES, "lrwidget, 3 sweeps", "2 tasks: made", sets["very_slow"][0].name):
        assert name in printed
    error = score(ours, sets["unseen"], 100).error
    assert f"{error:.3f} and" in printed
    assert chosen == 2 * [task for name in SETS for task in sets[name]]
    assert "distances" not in printed[printed.index("5 tasks: unseen") :]
    assert "  8 tasks, mean regret by what the curve shows" in printed
    assert "what carries it" in printed


def test_the_standard_error_is_that_over_tasks():
    assert Score({"a": [0.0, 0.2], "b": [0.5, 0.5]}).error == pytest.approx(0.2)


KINDS_AT = {
    100: [(0.055, 112.2), (0.074, 26.3), (0.225, 42.5), (1, 4.0), (0.340, 16.0)],
    300: [(0.050, 134.3), (0.106, 24.1), (0.281, 25.2), (1, 1.3), (0.350, 16.0)],
}


@pytest.mark.parametrize("steps", LENGTHS)
def test_what_the_readme_says_of_curves_by_kind(steps):
    everything = [task for name in SETS for task in load_tasks(name)]
    found = by_kind(everything, steps)
    assert sum(count for _, count in found.values()) == pytest.approx(len(everything)) == 201
    for kind, (mean, count) in zip(KINDS, KINDS_AT[steps], strict=True):
        assert found[kind] == (pytest.approx(mean, abs=6e-4), pytest.approx(count, abs=0.06))


def test_what_the_readme_says_of_single_unseen_tasks():
    unseen = load_tasks("unseen")
    ours_100, ours_300 = (score(ours, unseen, steps) for steps in LENGTHS)
    assert carriers(ours_100)["learned by heart"] == pytest.approx((0.592, 0.41, 4), abs=5e-3)
    assert carriers(ours_300)["slow starters"] == pytest.approx((0.571, 0.36, 3), abs=5e-3)
    assert sum(count for _, _, count in carriers(ours_100).values()) == len(unseen)
    assert len(kept(ours_100, SLOW).regrets) == 10
    assert len(kept(ours_100, SLOW, inside=False).regrets) == 21
    assert failures_by_confidence(unseen, 100) == {"no fall": (7, 17), "high": (3, 16)}
    assert failures_by_confidence(unseen, 300) == {"no fall": (7, 9), "high": (5, 30)}
    valley = difference(ours_100, score(RULES["valley"], unseen, 100))
    assert valley == pytest.approx((0.047, 0.048), abs=6e-4)


def test_a_difference_is_taken_task_by_task():
    one = Score({"a": [0.0, 0.2], "b": [0.5]})
    other = Score({"a": [0.2, 0.2], "b": [0.8]})
    assert difference(one, other) == pytest.approx((0.2, 0.1))


def moved(sweeps, changed):
    """Return by how many decades the suggestion for each sweep differs for its changed copy."""
    found = []
    for lr, loss in sweeps:
        one, other = suggest(lr, loss).lr, suggest(*changed(lr, loss)).lr
        found.append(0.0 if one is other is None else abs(np.log10((one or np.inf) / other)))
    return np.array(found)


@pytest.fixture(scope="module")
def real():
    """Return all sweeps of three sets, by length."""
    tasks = [task for name in ("recorded", "made", "unseen") for task in load_tasks(name)]
    return {n: [sweep for task in tasks for sweep in curves(task, n, 1)] for n in LENGTHS}


@pytest.mark.full
def test_a_recorded_sweep_that_is_scaled_or_offset_gives_the_same_rate(real):
    for sweeps in real.values():
        assert moved(sweeps, lambda lr, loss: (lr, 1e3 * loss)).max() < 1e-6
        assert moved(sweeps, lambda lr, loss: (lr, loss + 100)).max() < 1e-3


def test_a_recorded_sweep_begun_at_1e_6_gives_the_same_rate_nearly_always(real):
    def cut(lr, loss):
        return lr[lr >= 1e-6], loss[lr >= 1e-6]

    within = np.concatenate([moved(sweeps, cut) for sweeps in real.values()]) < 0.2
    assert within.mean() > 0.97


def test_every_third_row_of_a_recorded_sweep_gives_the_same_rate_nine_times_in_ten(real):
    within = moved(real[300], lambda lr, loss: (lr[2::3], loss[2::3])) < 0.2
    assert within.mean() > 0.9
