"""Print what trials after the sweep are worth: `python -m benchmarks.suggest.refined [--tasks]`.

The trials are in `refined.json` and `long_trials.json`, recorded with lrwidget's own engine from
tasks that are made again. Those that are missing there are run first, about ten seconds for each.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.suggest.recorded import Task, load_tasks
from benchmarks.suggest.score import FAILED, Score
from lrwidget.curve.search import STEP, Search, choose, fallen, first_length, longest_trial
from lrwidget.records.refinement import CONFIDENT_FALL, MUCH_LONGER

HERE = Path(__file__).parent
BUDGETS = (600, 1000, 1500)
SWEEP = 100
# Seeds of the models; from the small tasks on they are the seeds of their recorded sweeps.
SEEDS = {"varied": (200,), "small": (200, 201), "unseen": (200, 201), "fresh": (200, 201)}
LONG_SEEDS = (200, 201)
SCHEDULES = ("constant", "cosine", "one-cycle")
CHECK = "check: 3 rates, 100 steps each"
GOOD = 0.05  # a suggestion with at most this regret is good already
Row = dict[str, Any]


# -- the recorded trials -----------------------------------------------------------------------


def load(name: str) -> list[Row]:
    path = HERE / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def save(name: str, rows: Iterable[Row]) -> None:
    lines = (json.dumps(row, separators=(",", ":")) for row in rows)
    (HERE / f"{name}.json").write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def run_missing(name: str, only: str = "") -> None:
    """Run what is missing in `refined` or `long_trials`, of all sets or only of one."""
    rows = load(name)
    there = {(row["name"], row["seed"]) for row in rows}
    for tried, recipe, seed in _runs(name, only):
        if (recipe.name, seed) not in there:
            print(f"trains {recipe.name}, seed {seed}", flush=True)
            rows.append(tried(recipe, seed))
            save(name, sorted(rows, key=lambda row: (row["name"], row["seed"])))


def _runs(name: str, only: str) -> Iterator[tuple[Callable[..., Row], Any, int]]:
    import torch

    from benchmarks.suggest.make import long, trials
    from benchmarks.suggest.make.sets import RECIPES_OF

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # computing with denormals is slow
    if name == "long_trials":
        yield from ((trials.all_trials, made, seed) for seed in LONG_SEEDS for made in long.LONG)
        return
    for kind, seeds in SEEDS.items():
        kept = {task.name for task in load_tasks(kind)}
        if only in ("", kind):
            every = [made for made in RECIPES_OF[kind] if made.name in kept]
            yield from ((trials.tried, made, seed) for seed in seeds for made in every)


# -- the rates they come to --------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """The rate that one way of choosing came to.

    Attributes:
        task: the task.
        lr: the rate, or None.
        high: whether its confidence is "high".
        steps: steps that were run for it, the sweep included.
        alone: regret of the sweep's own suggestion.
    """

    task: Task
    lr: float | None
    high: bool
    steps: int
    alone: float

    @property
    def regret(self) -> float:
        """The regret of the rate."""
        return self.task.regret(self.lr)


def ways(tasks: list[Task], rows: list[Row]) -> dict[str, list[Found]]:
    """Return what each way came to, by its title."""
    by_name = {task.name: task for task in tasks}
    found: dict[str, list[Found]] = {}
    for row in rows:
        if row["name"] not in by_name:
            continue
        task, high = by_name[row["name"]], row["confidence"] == "high"
        alone = task.regret(row["suggested"])

        def add(title: str, *values: Any, task: Task = task, alone: float = alone) -> None:
            found.setdefault(title, []).append(Found(task, *values, alone))

        add("suggestion alone", row["suggested"], high, SWEEP)
        if "check" in row:
            add(CHECK, row["check"], high, 4 * SWEEP)
        for budget in BUDGETS:
            one = row["refined"][str(budget)]
            high = one["confidence"] == "high"
            add(f"refine, budget {budget}", one["lr"], high, one["steps"])
            add(f"  its planned steps not told, {budget}", one["unplanned"], high, one["steps"])
    return found


def score(found: list[Found]) -> Score:
    """Return the score, one regret for each seed."""
    regrets: dict[str, list[float]] = {}
    for one in found:
        regrets.setdefault(one.task.name, []).append(one.regret)
    return Score(regrets)


def good_already(found: list[Found]) -> tuple[int, float, float]:
    """Return number and mean regret of good suggestions, and the regret of what followed."""
    good = [one for one in found if one.alone <= GOOD]
    means = (np.mean([getattr(one, name) for one in good]) for name in ("alone", "regret"))
    return len(good), *map(float, means)


def failing(found: Iterable[Found], high: bool) -> tuple[int, int]:
    """Return how many of one confidence fail, and how many there are."""
    regrets = [one.regret for one in found if one.high is high]
    return sum(regret > FAILED for regret in regrets), len(regrets)


# -- long trainings ----------------------------------------------------------------------------


def by_place(row: Row) -> dict[int, tuple[int, Row]]:
    """Return recorded trials by their place on the ladder: steps that ran, values by length."""
    places = [(round(math.log10(lr / row["centre"]) / STEP), *rest) for lr, *rest in row["trials"]]
    return {place: (ran, values) for place, ran, values in places}


def replay(search: Search, trials: Mapping[int, tuple[int, Mapping[str, float]]]) -> None:
    """Go through a search with recorded trials, by place, in place of training."""
    jobs = search.jobs()
    job = next(jobs)
    while True:
        ran, losses = trials[job.place]
        steps = min(ran, job.end) - job.begin
        try:
            job = jobs.send((losses.get(str(job.end), math.inf), steps))
        except StopIteration:
            return


def long_run(row: Row, planned: int, search: Search) -> tuple[float | None, bool]:
    """Return rate and confidence of a search with recorded trials."""
    trials = by_place(row)
    replay(search, {p: (ran, {n: v[0] for n, v in s.items()}) for p, (ran, s) in trials.items()})
    length, at = str(search.length), search.at(search.length)
    ends = [trials[place][1][length][1:] for place in at if length in trials[place][1]]
    trained = max(fallen(ends[0][0], after) for _, after in ends)
    suggested = row["suggested"]
    choice = choose(
        {search.lr(place): loss for place, loss in at.items()},
        suggested or row["centre"],
        row["untrained"],
        search.length,
        planned,
        suggested=suggested,
        trained=trained,
    )
    sure = choice.learned and not choice.at_edge and choice.fall >= CONFIDENT_FALL
    return choice.lr, sure and planned < MUCH_LONGER * search.length


def long_searches(row: Row, planned: int) -> dict[str, Search]:
    """Return the searches to go through, by title: of a given length, and of a budget."""
    found = {}
    for times in (100, 30, 10):
        length = planned // times
        found[f"refine, T/n = {times}"] = Search(
            row["centre"], 10**9, min(length, first_length(1500, 1400)), length
        )
    for budget in BUDGETS:
        left = budget - SWEEP
        first = first_length(budget, left)
        found[f"refine, budget {budget}"] = Search(
            row["centre"], left, first, longest_trial(planned)
        )
    return found


def long_ways(tasks: dict[str, Task], rows: list[Row]) -> dict[str, dict[str, list[Found]]]:
    """Return what each way came to, by title and schedule."""
    from benchmarks.suggest.make.long import LONG

    steps = {recipe.name: recipe.steps for recipe in LONG}
    found: dict[str, dict[str, list[Found]]] = {}
    for row in rows:
        planned = steps[row["name"]]
        rates = {"suggestion alone": (row["suggested"], row["confidence"] == "high", SWEEP)}
        for title, search in long_searches(row, planned).items():
            rates[title] = (*long_run(row, planned, search), SWEEP + search.spent)
        for schedule in SCHEDULES:
            task = tasks[f"{row['name']}_{schedule}"]
            alone = task.regret(row["suggested"])
            for title, values in rates.items():
                by_schedule = found.setdefault(title, {})
                by_schedule.setdefault(schedule, []).append(Found(task, *values, alone))
    return found


# -- the tables --------------------------------------------------------------------------------


def show(title: str, found: dict[str, list[Found]], by_task: bool) -> None:
    print(f"{title:42}{'mean / 90% / failures':>24}{'steps':>8}{'where good already':>24}")
    most = max(map(len, found.values()))
    for name, every in found.items():
        print(f"  {name:40}{cell(every):>24}{np.mean([one.steps for one in every]):8.0f}", end="")
        count, before, after = good_already(every)
        left = "" if len(every) == most else f" ({len(every)} tasks)"
        print(f"{f'{count}: {before:.3f} to {after:.3f}':>24}{left}")
    if by_task:
        names = [name for name in found if not name.startswith(" ")]
        table = {name: score(found[name]).regrets for name in names}
        for task in table[names[0]]:
            means = " ".join(f"{np.mean(table[name].get(task, np.nan)):6.3f}" for name in names)
            print(f"      {task:36}{means}")
    print()


def cell(found: list[Found]) -> str:
    one = score(found)
    return f"{one.mean:.3f} / {one.p90:.2f} / {100 * one.failures:.0f}%"


def show_confidence(title: str, found: dict[str, list[Found]]) -> None:
    print(f"{title + ': fails of':42}{'high':>14}{'low':>14}")
    for name, every in found.items():
        if not name.startswith(" ") and "check" not in name:
            parts = [failing(every, high) for high in (True, False)]
            cells = (f"{fails} of {count}" for fails, count in parts)
            print(f"  {name:40}" + "".join(f"{text:>14}" for text in cells))
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", action="store_true", help="the mean regret of every task too")
    parser.add_argument("--only", default="", choices=(*SEEDS, "long"))
    options = parser.parse_args()
    if options.only in ("", *SEEDS):
        run_missing("refined", options.only)
        rows = load("refined")
        for kind in (options.only,) if options.only else SEEDS:
            tasks = load_tasks(kind)
            found = ways(tasks, rows)
            show(f"{len(tasks)} tasks: {kind}", found, options.tasks)
            show_confidence(kind, found)
    if options.only in ("", "long"):
        run_missing("long_trials")
        tasks = {task.name: task for task in load_tasks("long")}
        found = long_ways(tasks, load("long_trials"))
        print(f"{f'{len(tasks)} long trainings':42}" + "".join(f"{s:>22}" for s in SCHEDULES))
        for name, schedules in found.items():
            cells = "".join(f"{cell(every):>22}" for every in schedules.values())
            steps = np.mean([one.steps for one in schedules["constant"]])
            print(f"  {name:30}{steps:10.0f}{cells}")
        print()
        every = {n: [one for part in s.values() for one in part] for n, s in found.items()}
        show_confidence("long trainings", every)


if __name__ == "__main__":
    main()
