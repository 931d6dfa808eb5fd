"""Print how good the suggested learning rates are: `python -m benchmarks.suggest [--tasks]`."""

import argparse
from collections.abc import Mapping

import numpy as np

from benchmarks.suggest.recorded import LENGTHS, Array, Task, load_tasks
from benchmarks.suggest.score import Rule, Score, chosen_on, left_out, score
from lrwidget.rules import RULES
from lrwidget.suggest import suggest


def ours(lr: Array, loss: Array) -> float | None:
    return suggest(lr, loss).lr


def fixed(lr: float) -> Rule:
    return lambda _lr, _loss: lr


def fixed_rate(tasks: list[Task], steps: int) -> Score:
    """Score the one rate that would have been best for all tasks together."""
    scores = [score(fixed(lr), tasks, steps) for lr in np.logspace(-5, 0, 51).tolist()]
    return min(scores, key=lambda found: found.mean)


def one_set(tasks: list[Task]) -> dict[str, dict[int, Score]]:
    """Return the scores of every rule on one set of tasks, by length of sweep."""
    rules: dict[str, Rule] = {"lrwidget": ours, **RULES}
    return {name: by_length(rule, tasks) for name, rule in rules.items()}


def by_length(rule: Rule, tasks: list[Task], sweeps: int = 1) -> dict[int, Score]:
    return {steps: score(rule, tasks, steps, sweeps) for steps in LENGTHS}


def show(title: str, rows: Mapping[str, Mapping[int, Score]], by_task: bool) -> None:
    print(f"{title:40}" + "".join(f"{n:>15} steps" for n in LENGTHS))
    for name, found in rows.items():
        scores = [found[steps] for steps in LENGTHS]
        cells = [f"{s.mean:.3f} / {s.p90:.2f} / {100 * s.failures:2.0f}%" for s in scores]
        print(f"  {name:38}" + "".join(f"{cell:>21}" for cell in cells))
        for task in scores[0].regrets if by_task else ():
            means = [float(np.mean(s.regrets[task])) for s in scores]
            print(f"      {task:34}" + "".join(f"{mean:21.3f}" for mean in means))
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", action="store_true", help="the mean regret of every task too")
    by_task = parser.parse_args().tasks
    recorded, made, very_slow = map(load_tasks, ("recorded", "made", "very_slow"))
    print("mean regret / 90th percentile / share of failures (regret above one half)\n")
    rows = one_set(recorded)
    rows |= {
        "best fixed rate in hindsight": {n: fixed_rate(recorded, n) for n in LENGTHS},
        "lrwidget, 3 sweeps": by_length(ours, recorded, 3),
        f"  its distances from the {len(made)} alone": chosen_on(made, recorded),
        "  the same, 3 sweeps": chosen_on(made, recorded, 3),
        f"  from the {len(recorded)} without the one judged": left_out(recorded),
        f"  from all {len(recorded + made)} without the one judged": of(
            recorded, left_out(recorded + made)
        ),
    }
    show(f"{len(recorded)} recorded tasks", rows, by_task)
    show(f"{len(made)} made tasks", one_set(made), by_task)
    show(f"{len(very_slow)} made tasks that start very slowly", one_set(very_slow), by_task)


def of(tasks: list[Task], found: Mapping[int, Score]) -> dict[int, Score]:
    """Keep the scores of some tasks."""
    names = [task.name for task in tasks]
    return {n: Score({name: s.regrets[name] for name in names}) for n, s in found.items()}


if __name__ == "__main__":
    main()
