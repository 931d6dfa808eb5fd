"""Long trainings of small models, with a constant rate and with two decaying schedules."""

import math
from collections.abc import Callable
from functools import cache
from functools import partial as p

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

from benchmarks.suggest.make import data, models, unseen_models
from benchmarks.suggest.make.data import Split, regression, split
from benchmarks.suggest.make.recipes import binary, classify, itself, squares
from benchmarks.suggest.make.train import Recipe, Replicas

ADAPTIVE = ("adam", "adamw", "rmsprop", "adagrad", "nadam", "lion")
SPACING, COUNT = 0.4, 10
SEEDS = [0, 1]


def one_cycle(share: float) -> float:
    """Return the share of the highest rate: as torch's OneCycleLR by default."""
    if share < 0.3:
        return 1 / 25 + (1 - 1 / 25) * (1 - math.cos(math.pi * share / 0.3)) / 2
    return (1 + math.cos(math.pi * (share - 0.3) / 0.7)) / 2


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda _share: 1.0,
    "cosine": lambda share: (1 + math.cos(math.pi * share)) / 2,
    "one-cycle": one_cycle,
}


@cache
def taught(size: int = 20_000, features: int = 12) -> Split:
    """Return a function that a random network computes, with little noise."""
    rng = np.random.default_rng(50)
    x = rng.normal(size=(size, features))
    hidden = np.tanh(x @ rng.normal(size=(features, 24)) / 2)
    y = data.standard(hidden @ rng.normal(size=24)) + 0.1 * rng.normal(size=size)
    return split(x, y[:, None])


@cache
def next_letter(length: int = 8, size: int = 40_000) -> Split:
    """Return windows of English text and the letter that follows."""
    (x, y), (held_x, held_y) = data.text(length, size)
    return (x, y[:, -1]), (held_x, held_y[:, -1])


def blurred(model: Callable[..., Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Classify with noise on the inputs, drawn anew in each step."""
    return F.cross_entropy(model(x + 0.5 * torch.randn_like(x)), y)


mlp = models.mlp
# fmt: off
LONG = [
    Recipe("digits_blurred_adam_b32", "digits", data.digits, p(mlp, 64, 20, 10),
        blurred, "adam", 32, 5_000),
    Recipe("classes_noisy_sgdm_b32", "noisy", p(data.classes, 20, 4, 0.2, 2_000),
        p(mlp, 20, 24, 24, 4), classify, "sgdm", 32, 5_000),
    Recipe("tags_adamw_b32", "tags", p(data.tags, 6_000), p(mlp, 16, 32, 8),
        binary, "adamw", 32, 5_000, 0.05),
    Recipe("friedman1_rmsprop_b32", "regress", p(regression, "friedman1", 0.2, 8_000),
        p(mlp, 10, 24, 24, 1), squares, "rmsprop", 32, 5_000),
    Recipe("taught_sgdm_b32", "taught", taught, p(mlp, 12, 32, 1, act="tanh"),
        squares, "sgdm", 32, 10_000),
    Recipe("board_nesterov_b32", "plane", p(data.rings, "board", size=8_000),
        p(mlp, 2, 24, 24, 2, act="tanh"), classify, "nesterov", 32, 10_000),
    Recipe("letters_window_adam_b32", "text", next_letter,
        p(unseen_models.Window, 27, 8, 4, 24), classify, "adam", 32, 10_000),
    Recipe("codes_nesterov_b32", "codes", data.digits, p(mlp, 64, 12, 64, act="tanh"),
        itself, "nesterov", 32, 10_000),
    Recipe("factors_sgd_b64", "factors", p(data.ratings, 80, 60, 20_000), models.Factors,
        squares, "sgd", 64, 20_000),
    Recipe("parity_adam_b32", "parity", p(data.parity, 14, 4, 8_000), p(mlp, 14, 32, 2),
        classify, "adam", 32, 20_000),
]
# fmt: on


def rates(recipe: Recipe) -> list[float]:
    """Return the rates of the truth: ten, up to 0.3 or, if not adaptive, to 3."""
    top = -0.5 if recipe.optimizer in ADAPTIVE else 0.5
    return [10 ** (top - SPACING * k) for k in range(COUNT - 1, -1, -1)]


def long_response(recipe: Recipe) -> dict[str, list[list[float]]]:
    """Return the validation losses by schedule: after training at every rate, one for each seed."""
    columns = rates(recipe)
    replicas = Replicas(recipe, SEEDS, len(columns) * len(SCHEDULES))
    highest = torch.tensor(columns).repeat(len(SCHEDULES) * len(SEEDS))
    for step in range(recipe.steps):
        shares = [schedule(step / recipe.steps) for schedule in SCHEDULES.values()]
        factor = torch.tensor(shares).repeat_interleave(len(columns)).repeat(len(SEEDS))
        replicas.step(highest * factor)
    table = torch.tensor(replicas.held_losses()).view(len(SEEDS), len(SCHEDULES), len(columns))
    return {name: table[:, i].T.tolist() for i, name in enumerate(SCHEDULES)}
