"""Make the tasks that are not in a file yet: `python -m benchmarks.suggest.make FILE [--small]`.

It takes about an hour on one core, the unseen ones (`--unseen`) half of it, the long trainings
(`--long`, of `long.json`, without sweeps) a quarter of it, and those of little data (`--small`) two
minutes. A task whose best rate is hardly better than the untrained model is left out. What is made
depends on the versions of PyTorch and numpy, and on the data that Python and the packages ship.
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.suggest.make.long import SCHEDULES, long_response, rates
from benchmarks.suggest.make.sets import RECIPES_OF
from benchmarks.suggest.make.train import Recipe, response, sweeps, untrained
from benchmarks.suggest.recorded import LENGTHS, ladder, read_task

RATES = [10 ** (1 - 0.35 * k) for k in range(16, -1, -1)]
SEEDS = [0, 1, 2]
SWEEPS = 3
LEAST_GAIN = 0.05


def make(recipe: Recipe) -> dict[str, Any]:
    """Return one task in the format of the files."""
    return described(recipe, recipe.name) | {
        "lr": [short(lr) for lr in RATES],
        "val_loss": [[short(loss) for loss in row] for row in response(recipe, RATES, SEEDS)],
        "sweeps": {
            str(n): [
                [short(loss) for loss in row]
                for row in sweeps(recipe, ladder(n).tolist(), [100 + n + i for i in range(SWEEPS)])
            ]
            for n in LENGTHS
        },
    }


def make_long(recipe: Recipe) -> list[dict[str, Any]]:
    """Return one task for each schedule, in the format of the files but without sweeps."""
    return [
        described(recipe, f"{recipe.name}_{schedule}")
        | {
            "schedule": schedule,
            "lr": [short(lr) for lr in rates(recipe)],
            "val_loss": [[short(loss) for loss in row] for row in table],
            "sweeps": {},
        }
        for schedule, table in long_response(recipe).items()
    ]


def described(recipe: Recipe, name: str) -> dict[str, Any]:
    fresh = untrained(recipe, [0, 1, 2, 3, 4])
    constant = baseline(recipe)
    return {
        "name": name,
        "family": recipe.family,
        "optimizer": recipe.optimizer,
        "batch_size": recipe.batch,
        "steps": recipe.steps,
        "baseline": short(fresh if constant is None else constant, 5),
        "untrained": short(fresh, 5),
    }


def baseline(recipe: Recipe) -> float | None:
    """Return the validation loss of the best constant answer, if the loss has one."""
    train, held = recipe.data()
    kind = recipe.loss.__name__
    if kind in ("classify", "tokens"):
        seen = torch.bincount(train[1].flatten(), minlength=int(held[1].max()) + 1)
        shares = seen.clamp(min=1) / train[1].numel()  # a class may occur only in the held-out data
        return float(-shares[held[1].flatten()].log().mean())
    if kind == "squares":
        return float((held[1] - train[1].mean()).square().mean())
    return None


def short(value: float, digits: int = 4) -> float | None:
    """Return a number of few digits, None for one that is not finite."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def save(tasks: Sequence[dict[str, Any]], path: Path) -> None:
    lines = (json.dumps(task, separators=(",", ":")) for task in tasks)
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    for kind in RECIPES_OF:
        parser.add_argument(f"--{kind}", action="store_true", help=f"those of {kind}.json")
    options = parser.parse_args()
    path = options.file
    tasks = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    there = {task["name"] for task in tasks}
    torch.set_num_threads(1)
    chosen = next((kind for kind in RECIPES_OF if getattr(options, kind)), "varied")
    for recipe in RECIPES_OF[chosen]:
        names = [f"{recipe.name}_{way}" for way in SCHEDULES] if options.long else [recipe.name]
        if there.isdisjoint(names):
            began = time.monotonic()
            torch.set_flush_denormal(True)  # computing with denormals is slow
            try:
                made = make_long(recipe) if options.long else [make(recipe)]
            finally:
                torch.set_flush_denormal(False)
            took = time.monotonic() - began
            for task in made:
                gain = read_task(task).gain
                if gain >= LEAST_GAIN:
                    tasks.append(task)
                    save(sorted(tasks, key=lambda task: task["name"]), path)
                kept = "" if gain >= LEAST_GAIN else "  left out"
                print(f"{task['name']:40}{took:6.0f} s, gains {gain:.3f}{kept}", flush=True)


if __name__ == "__main__":
    main()
