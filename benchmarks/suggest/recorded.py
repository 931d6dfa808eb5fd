"""Training tasks: the result of every rate, and recorded range tests of the same task.

`recorded.json` holds 13 tasks with five sweeps of either length. `made.json` holds 50 more, made to
guard against fitting those (two sweeps of 100 steps, one of 300), and `very_slow.json` another 10
that learn nothing in the first hundreds of steps, whatever the rate. `varied.json` holds those that
`benchmarks.suggest.make` makes, three sweeps of either length; so does `unseen.json` (`--unseen`),
whose tasks were fixed when the rule was, before the first of them was run.
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


@dataclass(frozen=True, eq=False)  # a task is equal to itself alone
class Task:
    """One training task.

    Attributes:
        name: data, model, optimizer and batch size.
        family: what is left out together with it when a rule is judged: models and data of a kind.
        nothing: validation loss of a model that has learned nothing: the untrained model's, or that
            of the best constant answer, whichever is lower.
        decades: log10 of the rates that were trained at, ascending.
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
        """The share of the loss that training at the best rate takes away."""
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
    """Return the tasks of one set: "recorded", "made", "very_slow", "varied" or "unseen"."""
    path = Path(__file__).with_name(f"{name}.json")
    return [read_task(entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def read_task(entry: Mapping[str, Any]) -> Task:
    """Return a task from what the files hold of it."""
    nothing = min(entry["baseline"], entry["untrained"])
    # A run whose loss was no number at its end has learned nothing.
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
        sweeps={n: [np.array(loss) for loss in entry["sweeps"][str(n)]] for n in LENGTHS},
    )
