"""Training tasks with the result of every rate and recorded range tests.

`recorded.json` has 13 tasks with five sweeps of either length. `made.json` has 50 more, made to
prevent overfitting to the first (two sweeps of 100 steps, one of 300). `very_slow.json` has 10 that
learn nothing in the first few hundred steps at any rate. `varied.json` has the tasks that
`benchmarks.suggest.make` makes, with three sweeps of either length. So do
`unseen.json` (`--unseen`), whose tasks were fixed together with the rule, before any of them was
run, and `fresh.json` (`--fresh`), whose tasks were fixed when the former had been looked at often.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LENGTHS = (100, 300)
START_LR, END_LR = 1e-7, 10.0


@dataclass(frozen=True, eq=False)  # compares by identity
class Task:
    """One training task.

    Attributes:
        name: data, model, optimizer and batch size.
        family: tasks with similar models and data, which are left out together when a rule is
            scored.
        nothing: validation loss without training: of the untrained model or of the best constant
            answer, whichever is lower.
        decades: log10 of the rates of the trainings, ascending.
        response: validation loss after training at each of them, mean over seeds, at most
            `nothing`.
        sweeps: raw losses of the range tests by their number of steps, each up to its first loss
            that is not finite.
    """

    name: str
    family: str
    nothing: float
    decades: Array
    response: Array
    sweeps: dict[int, list[Array]]

    @property
    def gain(self) -> float:
        """The share by which training at the best rate reduces the loss."""
        return float(1 - self.response.min() / self.nothing)

    def regret(self, lr: float | None) -> float:
        """Return 0 for the best rate, 1 for None or a rate no better than not training."""
        if lr is None or not np.isfinite(lr) or lr <= 0:
            return 1.0
        best = self.response.min()
        reached = np.interp(np.log10(lr), self.decades, self.response)
        return float(np.clip((reached - best) / (self.nothing - best), 0, 1))


def ladder(steps: int) -> Array:
    """Return the rates of the recorded range tests, shape (steps,)."""
    return np.asarray(START_LR * (END_LR / START_LR) ** (np.arange(1, steps + 1) / steps))


def load_tasks(name: str) -> list[Task]:
    """Return the tasks of one set: "recorded", "made", "very_slow", "varied" or another."""
    path = Path(__file__).with_name(f"{name}.json")
    return [read_task(entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def read_task(entry: Mapping[str, Any]) -> Task:
    """Return the task of an entry in a file."""
    nothing = min(entry["baseline"], entry["untrained"])
    # A final loss that is not a number counts as no learning.
    response = [
        np.mean([nothing if loss is None else min(loss, nothing) for loss in losses])
        for losses in entry["val_loss"]
    ]
    return Task(
        name=entry["name"],
        family=entry["family"],
        nothing=nothing,
        decades=np.log10(entry["lr"]),
        response=np.array(response),
        sweeps={
            int(n): [np.array(loss) for loss in losses] for n, losses in entry["sweeps"].items()
        },
    )
