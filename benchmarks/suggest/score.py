"""Score rules for suggesting a learning rate on the recorded tasks."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from benchmarks.suggest.recorded import LENGTHS, Array, Task, ladder
from lrwidget.landmarks import find_landmarks, read_sweeps
from lrwidget.suggest import DISTANCES, Distances, place_rate

Rule = Callable[[Array, Array], float | None]

FAILED = 0.5  # regret of a suggestion that loses more than half of what training gives

# What `chosen_on` and `left_out` choose from: the distances in use and others on both sides.
CHOICES = [
    Distances(*values)
    for values in itertools.product(
        (0.75, 0.9, DISTANCES.floor, 1.2, 1.35),
        (0.0, 0.2, DISTANCES.width, 0.6),
        (0.0, DISTANCES.done, 0.3),
        (1.0, DISTANCES.climb, 1.5),
    )
]


@dataclass(frozen=True)
class Score:
    """Regrets of one rule: by task, one for each sweep (or group of sweeps)."""

    regrets: dict[str, list[float]]

    @property
    def mean(self) -> float:
        """Mean over all tasks; each has as many sweeps."""
        return float(np.mean(self._all()))

    @property
    def p90(self) -> float:
        """90th percentile over all sweeps of all tasks."""
        return float(np.percentile(self._all(), 90))

    @property
    def failures(self) -> float:
        """Share of suggestions with a regret above one half."""
        return float(np.mean(np.array(self._all()) > FAILED))

    def _all(self) -> list[float]:
        return [regret for regrets in self.regrets.values() for regret in regrets]


def score(rule: Rule, tasks: list[Task], steps: int, sweeps: int = 1) -> Score:
    """Score a rule that is called with rates (steps,) and losses (steps,) or (sweeps, steps)."""
    return Score(
        {
            task.name: [task.regret(rule(lr, loss)) for lr, loss in curves(task, steps, sweeps)]
            for task in tasks
        }
    )


def chosen_on(others: list[Task], tasks: list[Task], sweeps: int = 1) -> dict[int, Score]:
    """Score `suggest`, by length of sweep, with its distances chosen on other tasks alone.

    They are chosen by the mean regret over both lengths, one sweep each.
    """
    best = _best_choice([_mean_by_choice(task) for task in others])
    return {
        steps: Score(
            {task.name: regrets_by_choice(task, steps, sweeps)[best].tolist() for task in tasks}
        )
        for steps in LENGTHS
    }


def left_out(tasks: list[Task]) -> dict[int, Score]:
    """Score `suggest`, by length of sweep, with its distances chosen without the task judged."""
    means = {task.name: _mean_by_choice(task) for task in tasks}
    found: dict[int, dict[str, list[float]]] = {steps: {} for steps in LENGTHS}
    for task in tasks:
        best = _best_choice([mean for name, mean in means.items() if name != task.name])
        for steps in LENGTHS:
            found[steps][task.name] = regrets_by_choice(task, steps, 1)[best].tolist()
    return {steps: Score(regrets) for steps, regrets in found.items()}


def _best_choice(means: list[Array]) -> int:
    return int(np.mean(means, axis=0).argmin())


def _mean_by_choice(task: Task) -> Array:
    """Return the mean regret of every choice over both lengths, shape (choices,)."""
    means = [regrets_by_choice(task, steps, 1).mean(axis=1) for steps in LENGTHS]
    return np.asarray(np.mean(means, axis=0))


@cache
def regrets_by_choice(task: Task, steps: int, sweeps: int) -> Array:
    """Return the regrets of every choice of distances, shape (choices, groups of sweeps)."""
    marks = [find_landmarks(*read_sweeps(*curve)) for curve in curves(task, steps, sweeps)]
    return np.array(
        [[task.regret(_power(place_rate(mark, choice)[0])) for mark in marks] for choice in CHOICES]
    )


def curves(task: Task, steps: int, sweeps: int) -> Iterator[tuple[Array, Array]]:
    """Yield every group of so many sweeps; several are padded with NaN to one table."""
    lr = ladder(steps)
    for group in itertools.combinations(task.sweeps[steps], sweeps):
        if sweeps == 1:
            yield lr[: len(group[0])], group[0]
            continue
        table = np.full((sweeps, steps), np.nan)
        for row, loss in zip(table, group, strict=True):
            row[: len(loss)] = loss
        yield lr, table


def _power(decades: float | None) -> float | None:
    return None if decades is None else 10**decades
