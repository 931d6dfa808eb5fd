"""Trials of the made tasks by lrwidget's own engine: what `refine` and `check_lrs` come to."""

import math
from collections.abc import Generator
from contextlib import closing
from typing import Any
from unittest.mock import patch

from benchmarks.suggest.make.task import task_of
from benchmarks.suggest.make.train import Recipe
from lrwidget import LRRecords, check_lrs, lr_find, refine
from lrwidget.curve.search import STEP, Job, Search, first_length, longest_trial
from lrwidget.engine.refine import refinement_of, refining
from lrwidget.records.refinement import Refinement, Trial, trained_share
from lrwidget.records.table import StopReason
from lrwidget.records.trial_loss import mean_of_tail

BUDGETS = (600, 1000, 1500)
# As in the widget, a check tries a third and three times the rate too.
CHECKED = (1 / 3, 1.0, 3.0)
Row = dict[str, Any]


def tried(recipe: Recipe, seed: int) -> Row:
    """Return what follows a sweep of 100 steps: a check, and `refine` with each budget."""
    task = task_of(recipe, seed)
    records = lr_find(task, progress=False)
    suggested = records.suggestion.lr
    found: Row = {
        "name": recipe.name,
        "seed": seed,
        "suggested": digits(suggested),
        "confidence": records.suggestion.confidence,
        "check": None,
        "refined": {},
    }
    if suggested is not None:
        found["check"] = digits(check_lrs(task, [by * suggested for by in CHECKED]).best)
    largest = refine(task, records, BUDGETS[-1], planned_steps=recipe.steps)
    for budget in BUDGETS[:-1]:
        try:
            result = cut_short(largest, budget)
        except KeyError:  # a trial that the larger budget did not need
            result = refine(task, records, budget, planned_steps=recipe.steps)
        found["refined"][str(budget)] = brief(result)
    found["refined"][str(BUDGETS[-1])] = brief(largest)
    return found


def cut_short(result: Refinement, budget: int) -> Refinement:
    """Return what `refine` comes to with a smaller budget, from the same trials.

    They are the same since all of them begin with the same state and the same batches.

    Raises:
        KeyError: it needs a trial that was not run.
    """
    cut = Refinement(
        result.centre, result.suggested, result.sweep_steps, budget, result.planned_steps
    )
    left = budget - result.sweep_steps
    search = Search(
        result.centre, left, first_length(budget, left), longest_trial(result.planned_steps)
    )
    whole = {round(math.log10(one.lr / result.centre) / STEP): one for one in result.trials}
    jobs = search.jobs()
    job = next(jobs)
    while True:
        one = whole[job.place]
        ran = len(one.records)
        if job.end not in one.held_out and not (one.broke_off and ran <= job.end):
            raise KeyError(job)
        try:
            job = jobs.send((one.held_out.get(job.end, math.inf), min(ran, job.end) - job.begin))
        except StopIteration:
            break
    cut.length, cut.untrained, cut.held_out = search.length, result.untrained, result.held_out
    cut.held_out_samples, cut.repeated = result.held_out_samples, result.repeated
    for place in search.scores:
        one, last = whole[place], max(search.scores[place])
        trial = Trial(one.lr, held_out={n: v for n, v in one.held_out.items() if n <= last})
        for loss in one.records.loss[:last].tolist():
            trial.records.append(one.lr, loss)
        broke_off = math.isinf(search.scores[place][last])
        trial.records.stop_reason = StopReason.DIVERGED if broke_off else StopReason.FINISHED
        cut.trials.append(trial)
    cut.steps_again = search.spent - sum(len(trial.records) for trial in cut.trials)
    return cut


def brief(result: Refinement) -> Row:
    """Return the result, without the losses of its trials."""
    row = {
        "lr": digits(result.lr),
        "confidence": result.confidence,
        "steps": result.steps,
        "length": result.length,
        "centre": result.centre,
        "untrained": digits(result.untrained, 8),
        "trained": digits(trained_share(result.trials, result.length)),
        "held_out": result.held_out,
        # In the order of their starts, with the steps that each ran.
        "trials": [
            [
                digits(trial.lr, 8),
                len(trial.records),
                {n: digits(loss, 8) for n, loss in trial.held_out.items()},
            ]
            for trial in result.trials
        ],
    }
    result.planned_steps = None
    return row | {"unplanned": digits(result.lr)}


def digits(value: float | None, count: int = 5) -> float | None:
    return None if value is None else float(f"{value:.{count}g}")


class Everything:
    """In place of a `Search`: every rate to every length, beyond an edge while that is best.

    Args:
        centre: the rate in the middle.
        lengths: the steps at which trials are evaluated, ascending.
    """

    def __init__(self, centre: float, lengths: list[int]) -> None:
        self.centre = centre
        self.lengths = lengths
        self.length = lengths[-1]
        self.wanted: frozenset[int] = frozenset()
        self._scores: dict[int, dict[int, float]] = {}

    def jobs(self) -> Generator[Job, tuple[float, int], None]:
        """Yield the jobs, as `Search.jobs`."""
        low, high = -3, 2
        for place in range(low, high + 1):
            yield from self._one(place)
        while low > -6 and low in self._best():
            low -= 1
            yield from self._one(low)
        while high < 5 and high in self._best():
            high += 1
            yield from self._one(high)

    def _one(self, place: int) -> Generator[Job, tuple[float, int], None]:
        self._scores[place] = {}
        for begin, end in zip([0, *self.lengths], self.lengths, strict=False):
            self.wanted = frozenset((place,))
            score, steps = yield Job(place, self.centre * 10 ** (STEP * place), begin, end)
            if steps < end - begin or score == float("inf"):
                return
            self._scores[place][end] = score

    def _best(self) -> set[int]:
        """Return the best place at each length."""
        found = set()
        for length in self.lengths:
            at = {p: scores[length] for p, scores in self._scores.items() if length in scores}
            if at:
                found.add(min(at, key=lambda place: (at[place], abs(place))))
        return found


def lengths_of(steps: int) -> list[int]:
    """Return the lengths at which trials for a long training are evaluated, up to a tenth."""
    every = {50, 100, 200, 300, 400, 800, 1600, steps // 100, steps // 30, steps // 10}
    return sorted(length for length in every if length <= steps // 10)


def all_trials(recipe: Recipe, seed: int) -> Row:
    """Return trials at all rates and lengths: loss, and training loss at begin and end."""
    lengths = lengths_of(recipe.steps)
    task = task_of(recipe, seed)
    records: LRRecords = lr_find(task, progress=False)
    result = refinement_of(records, 10**9, recipe.steps)
    everything = Everything(result.centre, lengths)
    with (
        patch("lrwidget.engine.refine.Search", lambda *_: everything),
        closing(refining(task, result)) as work,
    ):
        for _ in work:
            pass
    trials = []
    for trial in sorted(result.trials, key=lambda trial: trial.lr):
        losses = trial.records.loss
        scores = {}
        for n, score in trial.held_out.items():
            before, after = losses[: max(1, n // 10)].mean(), mean_of_tail(losses[:n])
            scores[n] = [digits(value, 6) for value in (score, float(before), after)]
        trials.append([digits(trial.lr, 8), len(losses), scores])
    return {
        "name": recipe.name,
        "seed": seed,
        "suggested": digits(records.suggestion.lr),
        "confidence": records.suggestion.confidence,
        "centre": result.centre,
        "untrained": digits(result.untrained, 8),
        "trials": trials,
    }
