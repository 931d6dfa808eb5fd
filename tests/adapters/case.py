"""For each framework, an object of a user and a way to train it in the framework's own loop."""

import atexit
import dataclasses
import gc
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lrwidget import TrainingTask
from lrwidget.arguments import task_and_options
from tests.restore.fingerprint import fingerprint
from tests.restore.plan import Data, Eventful, Loss, Plan

LR = 0.05
BATCH = 8
SAMPLES = 20


@dataclasses.dataclass
class Case:
    """A user's object of some framework.

    Attributes:
        arguments, keywords: what `lr_find` is given.
        subjects: what must be as before, for `fingerprint`.
        fired: what callbacks, loggers and checkpoints have noted.
        train: trains with the framework's own loop at these rates, one a step; gives the losses.
        rate_of_training: the rate of the first step of a training as the user would start it.
    """

    plan: Plan
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    subjects: Callable[[], dict[str, Any]]
    fired: list[str]
    train: Callable[[list[float]], list[float]]
    rate_of_training: Callable[[], float]

    def task(self) -> TrainingTask:
        """The task that `lr_find` and the widget make of it."""
        return task_and_options(*self.arguments, **self.keywords)[0]

    def fingerprint(self) -> dict[str, Any]:
        """Return all state of the case and of the process that a sweep could change."""
        return fingerprint(**self.subjects())


def model(plan: Plan) -> Eventful:
    """Return a model with buffers, random draws in forward, and a frozen layer."""
    layers = nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 2)
    )
    layers[4].bias.requires_grad_(False)
    return Eventful(layers, plan)


def data(plan: Plan) -> Data:
    """Return 20 samples that draw random numbers when they are read."""
    return Data(plan, torch.randn(SAMPLES, 4))


def noting(base: type, fired: list[str], prefixes: tuple[str, ...] = ("on_",)) -> Any:
    """Return a subclass of a callback's class that records each event."""

    def note(name: str) -> Callable[..., None]:
        return lambda *_, **__: fired.append(name)

    names = [name for name in dir(base) if name.startswith(prefixes)]
    return type(f"Noting{base.__name__}", (base,), {name: note(name) for name in names})


FRAMEWORKS = ("lightning", "transformers", "fastai", "skorch", "accelerate")


def make(framework: str, folder: Path, **options: Any) -> Case:
    """Import a framework and return its case; a sweep may write nothing to `folder`."""
    name = f"tests.adapters.{framework}_case"
    imported = name in sys.modules
    module = importlib.import_module(name)
    if not imported:
        gc.freeze()  # collections need not go through half a million objects of a framework each
        atexit.register(gc.unfreeze)
    case: Case = getattr(module, f"{framework}_case")(folder, **options)
    return case


def forget_accelerate() -> None:
    """Reset the state that the first Accelerator sets for the whole process."""
    state = importlib.import_module("accelerate.state")
    state.AcceleratorState._reset_state(reset_partial_state=True)
    state.GradientState._reset_state()


def loss_scaler() -> torch.amp.GradScaler:
    """Return a scaler on the CPU whose first scales are too large for float16, and which grows."""
    return torch.amp.GradScaler("cpu", init_scale=2.0**24, growth_interval=2)


def scale_losses_on_the_cpu(accelerator: Any) -> None:
    """Set what Accelerate sets for float16 on accelerators only."""
    accelerator.scaler, accelerator.native_amp = loss_scaler(), True


__all__ = [
    "BATCH",
    "FRAMEWORKS",
    "LR",
    "SAMPLES",
    "Case",
    "Loss",
    "Plan",
    "data",
    "forget_accelerate",
    "loss_scaler",
    "make",
    "model",
    "noting",
    "scale_losses_on_the_cpu",
]
