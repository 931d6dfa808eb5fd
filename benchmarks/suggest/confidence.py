"""How often a suggestion of "high" confidence fails: `python -m benchmarks.suggest.confidence`."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from unittest.mock import patch

import numpy as np

from benchmarks.suggest.recorded import LENGTHS, Task, load_tasks
from benchmarks.suggest.score import FAILED, curves
from lrwidget.curve.few_samples import few_samples_doubt
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
        by_heart: whether the sweep passed over few samples too often.
    """

    family: str
    weight: float
    fall: float
    failed: bool
    by_heart: bool = False


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
                        heart = by_heart(task.name, len(loss))
                        found.append(Sure(task.family, weight, marks.fall / level, failed, heart))
    return found


def by_heart(name: str, rows: int) -> bool:
    """Return whether a sweep of a task is doubted for its few samples; False if none is known."""
    size, batch = sizes().get(name, (0, 0))
    if not size:
        return False
    batches = size // batch  # only whole ones
    meta = {
        "epochs_begin_at": list(range(batches, rows, batches)),
        "samples_in_epoch": batches * batch,
    }
    return few_samples_doubt(meta, [0], rows) is not None


@cache
def sizes() -> dict[str, tuple[int, int]]:
    """Return the number of training samples and the batch size of each task that can be made."""
    from benchmarks.suggest.make.sets import RECIPES_OF

    names = ("varied", "small", "unseen", "fresh")
    recipes = [recipe for name in names for recipe in RECIPES_OF[name]]
    return {recipe.name: (len(recipe.data()[0][0]), recipe.batch) for recipe in recipes}


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


def fallen(ones: Iterable[Sure]) -> list[Sure]:
    """Return those whose fall is beyond the bound in use."""
    return [one for one in ones if one.fall >= SURE_FALL]


def main() -> None:
    ones = sure_ones(task for name in SETS for task in load_tasks(name))
    print("suggestions of high confidence, sweeps of 100 and 300 steps of 201 tasks")
    line("whatever the fall", ones)
    line(f"a fall by {SURE_FALL:.0%} or more", fallen(ones))
    line("and not of few samples", (one for one in fallen(ones) if not one.by_heart))
    for most in (0.02, 0.01):
        line(f"bound without the family judged, for {most:.0%}", left_out(ones, most))
    for name, what in (
        ("small", "the 19 small tasks, which the bound of few samples was set on"),
        ("unseen", "the 31 unseen tasks, not used for any bound"),
        ("fresh", "the 37 fresh tasks, not used for any bound"),
    ):
        ones = sure_ones(load_tasks(name))
        print(what)
        line("whatever the fall", ones)
        line(f"a fall by {SURE_FALL:.0%} or more", fallen(ones))
        line("and not of few samples", (one for one in fallen(ones) if not one.by_heart))


if __name__ == "__main__":
    main()
