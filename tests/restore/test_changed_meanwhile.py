"""Another cell may set what a step uses while the sweep runs in the background."""

import itertools
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import TrainingTask, check_lrs, lr_find
from tests.tasks import network

BATCHES = [(torch.randn(8, 8), torch.arange(8) % 4)] * 8


@pytest.fixture
def switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("switching_often")
def test_keys_and_attributes_that_come_and_go_end_no_sweep() -> None:
    model, notes, config = network(), {"calls": 0}, SimpleNamespace(calls=0)

    def step(batch: Any) -> torch.Tensor:
        notes["calls"] += 1
        config.calls += 1
        inputs, targets = batch
        return nn.functional.cross_entropy(model(inputs), targets)

    def change() -> None:
        for number in itertools.count():
            if ended.is_set():
                return
            notes[f"other {number % 500}"] = number
            setattr(config, f"other {number % 500}", number)
            for space in (notes, vars(config)):
                space.pop(f"other {7 * number % 500}", None)

    ended = threading.Event()
    other = threading.Thread(target=change)
    other.start()
    try:
        task = TrainingTask(model, torch.optim.SGD, data=BATCHES, step=step)
        for _ in range(5):
            lr_find(task, steps=5, progress=False)
            check_lrs(task, [1e-3, 1e-2], 3)
    finally:
        ended.set()
        other.join()
    assert notes["calls"] == config.calls == 0
