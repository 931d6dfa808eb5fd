"""Score rules for suggesting a learning rate on the recorded tasks."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from functools import cache

import numpy as np

from benchmarks.suggest.recorded import LENGTHS, Array, Task, ladder
from lrwidget.curve.landmarks import Landmarks, find_landmarks
from lrwidget.curve.normalize import read_sweeps
from lrwidget.curve.suggest import DISTANCES, Distances, place_rate

Rule = Callable[[Array, Array], float | None]

FAILED = 0.5  # a suggestion with a larger regret loses more than half of the gain of training

# The candidates for `chosen_on` and `left_out`: the distances in use, lower and higher ones.
CHOICES = [
    Distances(*values)
    for values in itertools.product(
        (0.75, 0.85, 0.95, DISTANCES.lost, 1.15, 1.25, 1.35),
        (0.05, 0.15, DISTANCES.done, 0.35, 0.45),
        (1.2, DISTANCES.climb, 1.5),
        (0.0, 0.02, DISTANCES.height, 0.06, 0.08),
    )
]
# The single best choice depends on a few tasks; the mean of the best tenth does not.
BEST = len(CHOICES) // 10


@dataclass(frozen=True)
class Score:
    """Regrets of one rule by task, one for each sweep (or group of sweeps)."""

    regrets: dict[str, list[float]]

    @property
    def mean(self) -> float:
        """Mean over all sweeps of all tasks."""
        return float(np.mean(self._all()))

    @property
    def p90(self) -> float:
        """90th percentile over all sweeps of all tasks."""
        return float(np.percentile(self._all(), 90))

    @property
    def failures(self) -> float:
        """Share of suggestions with a regret above one half."""
        return float(np.mean(np.array(self._all()) > FAILED))

    @property
    def error(self) -> float:
        """Standard error of the mean over tasks."""
        means = [np.mean(regrets) for regrets in self.regrets.values()]
        return float(np.std(means, ddof=1) / np.sqrt(len(means)))

    def _all(self) -> list[float]:
        return [regret for regrets in self.regrets.values() for regret in regrets]


def score(rule: Rule, tasks: list[Task], steps: int, sweeps: int = 1) -> Score:
    """Score a rule, a function of rates (steps,) and losses (steps,) or (sweeps, steps)."""
    return Score(
        {
            task.name: [task.regret(rule(lr, loss)) for lr, loss in curves(task, steps, sweeps)]
            for task in tasks
        }
    )


def chosen_on(others: list[Task], tasks: list[Task], sweeps: int = 1) -> dict[int, Score]:
    """Score `suggest` by length of sweep, with its distances chosen only on other tasks.

    The distances are chosen by the mean regret over both lengths, one sweep each.
    """
    chosen = choose([mean_by_choice(task) for task in others])
    return {
        steps: Score({task.name: regrets_at(chosen, task, steps, sweeps) for task in tasks})
        for steps in LENGTHS
    }


def left_out(tasks: list[Task], sweeps: int = 1) -> dict[int, Score]:
    """Score `suggest` by length of sweep, with its distances chosen on all other families.

    Tasks with fewer sweeps than `sweeps` are not scored.
    """
    found: dict[int, dict[str, list[float]]] = {steps: {} for steps in LENGTHS}
    for family in {task.family for task in tasks}:
        chosen = choose([mean_by_choice(task) for task in tasks if task.family != family])
        for task in (task for task in tasks if task.family == family):
            for steps in LENGTHS:
                if len(task.sweeps[steps]) >= sweeps:
                    found[steps][task.name] = regrets_at(chosen, task, steps, sweeps)
    return {steps: Score(regrets) for steps, regrets in found.items()}


def choose(means: list[Array]) -> Distances:
    """Return the mean of the best choices, given the tasks' mean regrets by choice."""
    best = np.argsort(np.mean(means, axis=0), kind="stable")[:BEST]
    return Distances(*np.mean([astuple(CHOICES[i]) for i in best], axis=0).tolist())


@cache
def mean_by_choice(task: Task) -> Array:
    """Return the mean regret of every choice over both lengths, one sweep each."""
    return np.array(
        [np.mean([np.mean(regrets_at(c, task, n, 1)) for n in LENGTHS]) for c in CHOICES]
    )


def regrets_at(distances: Distances, task: Task, steps: int, sweeps: int) -> list[float]:
    """Return the regrets of a task at given distances, one for each group of sweeps."""
    rates = [place_rate(marks, distances)[0] for marks in _landmarks(task, steps, sweeps)]
    return [task.regret(None if rate is None else 10**rate) for rate in rates]


@cache
def _landmarks(task: Task, steps: int, sweeps: int) -> list[Landmarks]:
    return [find_landmarks(*read_sweeps(*curve)) for curve in curves(task, steps, sweeps)]


def curves(task: Task, steps: int, sweeps: int) -> Iterator[tuple[Array, Array]]:
    """Yield rates and losses of each group of `sweeps` sweeps; several are padded with NaN."""
    lr = ladder(steps)
    for group in itertools.combinations(task.sweeps[steps], sweeps):
        if sweeps == 1:
            yield lr[: len(group[0])], group[0]
            continue
        table = np.full((sweeps, steps), np.nan)
        for row, loss in zip(table, group, strict=True):
            row[: len(loss)] = loss
        yield lr, table
