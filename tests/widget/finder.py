"""Widgets over a tiny training, and a gate with which a test controls the steps."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from lrwidget.widget.widget import LRFinderWidget
from tests.widget.fakepage import FakeComm

ENDED = {"finished", "diverged", "stopped", "failed"}


class Gate:
    """A loss function that waits for permission and can fail or return chosen losses."""

    def __init__(self) -> None:
        self.passes = threading.Semaphore(0)
        self.error: Exception | None = None
        self.losses: Callable[[int], float] | None = None
        self.calls = 0
        self.threads: set[threading.Thread] = set()

    def let(self, steps: int) -> None:
        """Allow this number of further steps."""
        self.passes.release(steps)

    def open(self) -> None:
        """Allow all further steps."""
        self.let(1_000_000)

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.threads.add(threading.current_thread())
        self.passes.acquire()
        self.calls += 1
        if self.error is not None:
            raise self.error
        loss = nn.functional.cross_entropy(output, target)
        if self.losses is not None:
            loss = 0.0 * loss + self.losses(self.calls)
        return loss

    def __deepcopy__(self, memo: Any) -> Gate:
        return self


def training() -> dict[str, Any]:
    """Return model, optimizer, loss and data of a training with a bathtub curve."""
    torch.manual_seed(0)
    inputs = torch.randn(256, 4)
    targets = (inputs.sum(1) > 0).long()
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    return {
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        "loss_fn": nn.CrossEntropyLoss(),
        "data": torch.utils.data.TensorDataset(inputs, targets),
    }


def finder(**changes: Any) -> LRFinderWidget:
    """Return a widget over `training()`."""
    options = {"start_lr": 1e-5, "end_lr": 1.0, "steps": 20, "seed": 0}
    return LRFinderWidget(**(training() | options | changes))


def comm_of(widget: LRFinderWidget) -> FakeComm:
    """Return the widget's fake comm."""
    comm = widget.comm
    assert isinstance(comm, FakeComm)
    return comm


def until(happened: Callable[[], object], seconds: float = 60) -> None:
    """Wait until the condition holds; fail after the timeout."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.002)


class OutOfLuckError(Exception):
    """An error that the user's code raises."""


def everything(task: dict[str, Any]) -> Any:
    """Return all state that a sweep must restore, in a form that compares bit for bit."""
    model, optimizer = task["model"], task["optimizer"]
    return (
        {name: value.numpy().tobytes() for name, value in model.state_dict().items()},
        [copy.deepcopy(group["lr"]) for group in optimizer.param_groups],
        {
            number: {key: torch.as_tensor(value).numpy().tobytes() for key, value in state.items()}
            for number, state in optimizer.state_dict()["state"].items()
        },
        [module.training for module in model.modules()],
        [p.grad is None for p in model.parameters()],
        torch.get_rng_state().numpy().tobytes(),
    )
