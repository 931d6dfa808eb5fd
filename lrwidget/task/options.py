"""The options of a sweep, validated when they are created."""

import dataclasses
import math
import numbers
from typing import Literal, get_args

from lrwidget.text.articles import a_kind
from lrwidget.text.numbers import rate_in_words
from lrwidget.validation import HIGHEST_RATE, is_rate, number, whole_number

Spacing = Literal["log", "linear"]

# Torch's generators take 64 bits; repeats and ranks add to the seed.
HIGHEST_SEED = 2**64 - 2**32


@dataclasses.dataclass(frozen=True, slots=True)
class SweepOptions:
    """How a task is swept: the range of learning rates, its density, and when to end.

    Args:
        start_lr: lower end of the range (a rate, > 0). The first step runs one step above it.
        end_lr: upper end of the range (a rate, > start_lr). The last step runs exactly at it.
        steps: optimizer steps in one sweep, at least 2.
        spacing: "log" (equal ratios between steps) or "linear" (equal differences).
        stop_at_divergence: end the sweep when the loss explodes. A non-finite loss always ends it.
        repeats: number of sweeps to run from the same state, each with another seed.
        seed: seeds the random generators of torch, numpy, python and the loader for the sweep; None
            continues from their present state. They are restored afterwards in both cases.

    Raises:
        TypeError: an option of the wrong type.
        ValueError: an option out of its range.
    """

    start_lr: float = 1e-7
    end_lr: float = 10.0
    steps: int = 100
    spacing: Spacing = "log"
    stop_at_divergence: bool = True
    repeats: int = 1
    seed: int | None = None

    def __post_init__(self) -> None:
        for name in ("start_lr", "end_lr"):
            rate = getattr(self, name)
            if isinstance(rate, bool) or not isinstance(rate, numbers.Real):
                raise TypeError(
                    f"{name} is {rate!r}, {a_kind(rate)}; expected a number such as 1e-6"
                )
            if not is_rate(number(rate)):
                raise ValueError(
                    f"{name} is {rate!r}; expected a positive, finite learning rate such as 1e-6, "
                    f"{rate_in_words(HIGHEST_RATE)} at most"
                )
            object.__setattr__(self, name, float(rate))
        start, end = (rate_in_words(rate, 6) for rate in (self.start_lr, self.end_lr))
        if self.start_lr >= self.end_lr:
            raise ValueError(
                f"start_lr is {start} and end_lr is {end}; expected start_lr < end_lr: the range "
                "test raises the rate"
            )
        if self.spacing == "log" and math.isinf(self.end_lr / self.start_lr):
            raise ValueError(
                f"start_lr is {start} and end_lr is {end}, whose ratio is more than a number can "
                "hold; raise start_lr"
            )
        for name, least in (("steps", 2), ("repeats", 1)):
            count = whole_number(name, getattr(self, name), least)
            object.__setattr__(self, name, count)
        if self.spacing not in get_args(Spacing):
            raise ValueError(f"spacing is {self.spacing!r}; expected 'log' or 'linear'")
        if not isinstance(self.stop_at_divergence, bool):
            raise TypeError(
                f"stop_at_divergence is {self.stop_at_divergence!r}; expected True or False"
            )
        if self.seed is not None:
            object.__setattr__(self, "seed", whole_number("seed", self.seed, 0, HIGHEST_SEED))


SWEEP_OPTIONS = tuple(SweepOptions.__dataclass_fields__)
