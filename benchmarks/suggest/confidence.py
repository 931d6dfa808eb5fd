"""How often a suggestion of "high" confidence fails: `python -m benchmarks.suggest.confidence`."""

from collections.abc import Iterable
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np

from benchmarks.suggest.recorded import LENGTHS, Task, load_tasks
from benchmarks.suggest.score import FAILED, curves
from lrwidget.curve.landmarks import find_landmarks
from lrwidget.curve.normalize import read_sweeps
from lrwidget.curve.suggest import SURE_FALL, suggest

SETS = ("recorded", "made", "very_slow", "varied")
BOUNDS = [round(0.05 * i, 2) for i in range(19)]


@dataclass(frozen=True)
class Sure:
    """A suggestion that nothing but the size of its fall may be held against.

    Attributes:
        family: of its task.
        weight: 1 / (number of the task's sweeps of this length).
        fall: share of the loss by which it falls.
        failed: whether its regret is above one half.
    """

    family: str
    weight: float
    fall: float
    failed: bool


def sure_ones(tasks: Iterable[Task]) -> list[Sure]:
    """Return the suggestions that are "high" where any fall is enough."""
    found = []
    with patch("lrwidget.curve.suggest.SURE_FALL", 0.0):
        for task in tasks:
            for steps in LENGTHS:
                for lr, loss in curves(task, steps, 1):
                    suggestion = suggest(lr, loss)
                    if suggestion.confidence == "high":
                        marks = find_landmarks(*read_sweeps(lr, loss))
                        level = abs(float(np.mean(loss[: max(1, len(loss) // 10)])))
                        failed = task.regret(suggestion.lr) > FAILED
                        weight = 1 / len(task.sweeps[steps])
                        found.append(Sure(task.family, weight, marks.fall / level, failed))
    return found


def share(ones: Iterable[Sure]) -> float:
    """Return the share that fails, every task of the same weight; 0 where there is none."""
    ones = list(ones)
    total = sum(one.weight for one in ones)
    return sum(one.weight for one in ones if one.failed) / total if total else 0.0


def bound(ones: Iterable[Sure], most: float) -> float:
    """Return the lowest of `BOUNDS` beyond which at most a share `most` fails."""
    ones = list(ones)
    fitting = (b for b in BOUNDS if share(one for one in ones if one.fall >= b) <= most)
    return next(fitting, 1.0)


def left_out(ones: list[Sure], most: float) -> list[Sure]:
    """Return those above a bound that was chosen without their family."""
    kept = []
    for family in sorted({one.family for one in ones}):
        lowest = bound((one for one in ones if one.family != family), most)
        kept += [one for one in ones if one.family == family and one.fall >= lowest]
    return kept


def line(title: str, ones: Iterable[Sure]) -> None:
    ones = list(ones)
    fails = sum(one.failed for one in ones)
    print(f"  {title:48}{fails:4} of {len(ones):4} fail, {share(ones):6.1%} by task")


def main() -> None:
    ones = sure_ones(task for name in SETS for task in load_tasks(name))
    print("suggestions of high confidence, sweeps of 100 and 300 steps of 201 tasks")
    line("whatever the fall", ones)
    line(f"a fall by {SURE_FALL:.0%} or more", (one for one in ones if one.fall >= SURE_FALL))
    for most in (0.02, 0.01):
        line(f"bound without the family judged, for {most:.0%}", left_out(ones, most))
    unseen = sure_ones(load_tasks("unseen"))
    print("the 31 unseen tasks, not used for the bound")
    line("whatever the fall", unseen)
    line(f"a fall by {SURE_FALL:.0%} or more", (one for one in unseen if one.fall >= SURE_FALL))


if __name__ == "__main__":
    main()
