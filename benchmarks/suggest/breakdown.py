"""Breaks the mean regret down by curve, task and confidence, and compares rules.

Each task has the same weight, regardless of its number of sweeps.
"""

from collections.abc import Mapping

import numpy as np

from benchmarks.suggest.recorded import LENGTHS, Array, Task
from benchmarks.suggest.score import FAILED, Score, curves
from lrwidget.curve.landmarks import find_landmarks
from lrwidget.curve.normalize import read_sweeps
from lrwidget.curve.published_rules import RULES
from lrwidget.curve.suggest import place_rate, suggest

BY_HEART = ("noisy", "graph")  # families whose models memorise labels or data

# The unseen tasks with most of the regret, as grouped in the README, by prefixes of their names.
CARRIERS = {
    "learned by heart": ("wine_highway", "photo_finer", "wine_colour", "diabetes_ranks"),
    "slow starters": ("scan_sigmoid_codes", "larger_transformer", "meetings_links"),
    "photo_which_cnn_rmsprop": ("photo_which_cnn",),
    "profile_temporal_nadam": ("profile_temporal",),
    "the others": ("",),
}
# Tasks that were designed as slow starters (`make/unseen.py`).
SLOW = (
    *("iris_sigmoid4", "diabetes_linear4", "photo_which_tanh8", "scan_sigmoid_codes", "names_lstm"),
    *("source_post", "sums_gru", "larger_transformer", "recall_transformer", "meetings_links"),
)

KINDS = (
    "falls by three times the noise",
    "falls by less",
    "never falls, but climbs",
    "neither falls nor climbs",
    "learned by heart: " + ", ".join(BY_HEART),
)


def kind_of(task: Task, lr: Array, loss: Array) -> str:
    """Return the one of `KINDS` that describes a recorded sweep."""
    if task.family in BY_HEART:
        return KINDS[4]
    marks = find_landmarks(*read_sweeps(lr, loss))
    rate, share = place_rate(marks)
    if share == 0:
        return KINDS[3] if rate is None else KINDS[2]
    return KINDS[0] if share == 1 else KINDS[1]


def by_kind(tasks: list[Task], steps: int) -> dict[str, tuple[float, float]]:
    """Return mean regret and number of tasks by kind of curve.

    In both, a sweep has the weight 1 / (number of sweeps of its task).
    """
    regrets: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for task in tasks:
        weight = 1 / len(task.sweeps[steps])
        for lr, loss in curves(task, steps, 1):
            regret = task.regret(suggest(lr, loss).lr)
            regrets[kind_of(task, lr, loss)].append((regret, weight))
    found = {}
    for kind, pairs in regrets.items():
        values, weights = np.array(pairs).reshape(-1, 2).T
        count = float(weights.sum())
        found[kind] = (float(values @ weights) / count if count else 0.0, count)
    return found


def carriers(score: Score) -> dict[str, tuple[float, float, int]]:
    """Return mean regret, share of all regret and number of tasks of each group of `CARRIERS`."""
    left = {name: float(np.mean(regrets)) for name, regrets in score.regrets.items()}
    total = sum(left.values())
    found = {}
    for group, starts in CARRIERS.items():
        means = [left.pop(name) for name in list(left) if name.startswith(starts)]
        found[group] = (float(np.mean(means)), sum(means) / total, len(means))
    return found


def kept(score: Score, starts: tuple[str, ...], inside: bool = True) -> Score:
    """Return the score of the tasks whose names begin, or do not begin, with one of `starts`."""
    regrets = score.regrets.items()
    return Score({name: r for name, r in regrets if name.startswith(starts) is inside})


def failures_by_confidence(tasks: list[Task], steps: int) -> dict[str, tuple[int, int]]:
    """Return failures and number of suggestions: for curves without a fall, and at "high"."""
    counts = {"no fall": [0, 0], "high": [0, 0]}
    for task in tasks:
        for lr, loss in curves(task, steps, 1):
            suggestion = suggest(lr, loss)
            failed = task.regret(suggestion.lr) > FAILED
            if suggestion.falls_at is None:
                counts["no fall"][0] += failed
                counts["no fall"][1] += 1
            if suggestion.confidence == "high":
                counts["high"][0] += failed
                counts["high"][1] += 1
    return {name: (failed, count) for name, (failed, count) in counts.items()}


def difference(score: Score, other: Score) -> tuple[float, float]:
    """Return the increase in mean regret from `score` to `other`, and its standard error.

    Both are over paired tasks, each with the mean of its sweeps.
    """
    pairs = [(score.regrets[name], other.regrets[name]) for name in score.regrets]
    differences = [np.mean(theirs) - np.mean(ours) for ours, theirs in pairs]
    error = np.std(differences, ddof=1) / np.sqrt(len(differences))
    return float(np.mean(differences)), float(error)


def show_kinds(tasks: list[Task]) -> None:
    """Print the table of `by_kind`."""
    found = {steps: by_kind(tasks, steps) for steps in LENGTHS}
    _title(f"{len(tasks)} tasks, mean regret by what the curve shows (tasks)")
    for kind in KINDS:
        cells = [f"{mean:.3f} ({count:5.1f})" for mean, count in (found[n][kind] for n in LENGTHS)]
        _line(kind, cells)
    _line("all", [f"({sum(count for _, count in found[n].values()):5.1f})" for n in LENGTHS])
    print()


def show_unseen(tasks: list[Task], scores: Mapping[str, Mapping[int, Score]]) -> None:
    """Print the regret of groups of unseen tasks, from the scores by rule and length."""
    ours = scores["lrwidget"]
    _title("what carries it: mean regret, share of the whole")
    found = {steps: carriers(ours[steps]) for steps in LENGTHS}
    for group in CARRIERS:
        rows = [found[n][group] for n in LENGTHS]
        _line(f"{group} ({rows[0][2]})", [f"{mean:.3f}, {share:.0%}" for mean, share, _ in rows])
    _title("by task")
    means = [np.array([np.mean(r) for r in ours[n].regrets.values()]) for n in LENGTHS]
    _line("regret of the median task", [f"{np.median(values):.3f}" for values in means])
    for most in (0.05, 0.15):
        _line(f"tasks of at most {most}", [f"{(values <= most).sum()}" for values in means])
    for title, inside in (("slow starters", True), ("the others", False)):
        parts = [kept(ours[n], SLOW, inside) for n in LENGTHS]
        cells = [f"{s.mean:.3f} / {s.p90:.2f} / {s.failures:.0%}" for s in parts]
        _line(f"{title} ({len(parts[0].regrets)})", cells)
    _title("suggestions that fail")
    failed = [failures_by_confidence(tasks, n) for n in LENGTHS]
    for title, name in (("of those with no fall on the curve", "no fall"), ('of "high"', "high")):
        _line(title, [f"{fails[name][0]} of {fails[name][1]}" for fails in failed])
    _title("how much more the others have, task by task")
    for name in RULES:
        pairs = [difference(ours[n], scores[name][n]) for n in LENGTHS]
        _line(name, [f"{mean:.3f} ± {error:.3f}" for mean, error in pairs])
    print()


def _title(text: str) -> None:
    print(f"  {text}:")


def _line(name: str, cells: list[str]) -> None:
    print(f"    {name:40}" + "".join(f"{cell:>21}" for cell in cells))
