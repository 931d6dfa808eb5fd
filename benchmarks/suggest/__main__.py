"""Print how good the suggested learning rates are: `python -m benchmarks.suggest [--tasks]`."""

import argparse
from collections.abc import Mapping

import numpy as np

from benchmarks.suggest.breakdown import show_kinds, show_unseen
from benchmarks.suggest.recorded import LENGTHS, Array, Task, load_tasks
from benchmarks.suggest.score import Rule, Score, chosen_on, left_out, score
from lrwidget.curve.published_rules import RULES
from lrwidget.curve.suggest import suggest

SETS = ("recorded", "made", "very_slow", "varied")
# Fixed before their first run and scored once: not used for any choice.
HELD = ("unseen", "fresh")


def ours(lr: Array, loss: Array) -> float | None:
    return suggest(lr, loss).lr


def fixed(lr: float) -> Rule:
    return lambda _lr, _loss: lr


def fixed_rate(tasks: list[Task], steps: int) -> Score:
    """Return the score of the fixed rate that is best over all tasks."""
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
    sets = {name: load_tasks(name) for name in (*SETS, *HELD)}
    print("mean regret / 90th percentile / share of failures (regret above one half)\n")
    everything = [task for name in SETS for task in sets[name]]
    without = {sweeps: left_out(everything, sweeps) for sweeps in (1, 3)}
    for name, tasks in sets.items():
        rows = one_set(tasks)
        if name in SETS:
            rows |= {"  its distances without the family judged": of(tasks, without[1])}
        if all(len(task.sweeps[n]) >= 3 for task in tasks for n in LENGTHS):
            rows |= {"lrwidget, 3 sweeps": by_length(ours, tasks, 3)}
            if name in SETS:
                rows |= {"  distances without the family judged": of(tasks, without[3])}
        if name == "recorded":
            others = [task for task in everything if task not in tasks]
            rows |= {
                f"  its distances from the {len(others)} others": chosen_on(others, tasks),
                "  the same, 3 sweeps": chosen_on(others, tasks, 3),
                "best fixed rate in hindsight": {n: fixed_rate(tasks, n) for n in LENGTHS},
            }
        show(f"{len(tasks)} tasks: {name}", rows, by_task)
        if name in HELD:
            errors = " and ".join(f"{rows['lrwidget'][n].error:.3f}" for n in LENGTHS)
            print(f"  lrwidget's means have standard errors of {errors}, from task to task\n")
        if name == "unseen":
            show_unseen(tasks, rows)
    show_kinds(everything)


def of(tasks: list[Task], found: Mapping[int, Score]) -> dict[int, Score]:
    """Keep the scores of some tasks."""
    names = {task.name for task in tasks}
    return {
        n: Score({name: r for name, r in s.regrets.items() if name in names})
        for n, s in found.items()
    }


if __name__ == "__main__":
    main()
