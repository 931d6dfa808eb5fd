"""Of a frozen model something beside it is trained: an image, a temperature, adapters in hooks."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import TrainingTask, lr_find, refine
from tests.restore.fingerprint import differences, fingerprint

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True)
BATCHES = [(X[i : i + 8], Y[i : i + 8]) for i in range(0, 64, 8)]
MSE = nn.MSELoss()
RANGE: dict[str, Any] = {"start_lr": 1e-4, "end_lr": 0.1, "steps": 10}


def frozen() -> nn.Sequential:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 1))
    return network.requires_grad_(False)


def image() -> TrainingTask:
    model, shift = frozen(), torch.zeros(4, requires_grad=True)
    optimizer = torch.optim.Adam([shift], lr=0.1)
    step = lambda batch: MSE(model(batch[0] + shift), batch[1])  # noqa: E731
    return TrainingTask(model, optimizer, data=BATCHES, step=step, evaluate=step)


def temperature() -> TrainingTask:
    scale = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([scale], lr=0.1, momentum=0.9)
    return TrainingTask(frozen(), optimizer, lambda out, y: MSE(out / scale, y), BATCHES)


def adapter_in_a_hook() -> TrainingTask:
    model, adapter = frozen(), nn.Parameter(torch.zeros(4, 6))
    model[0].register_forward_hook(lambda _, given, out: out + given[0] @ adapter)
    return TrainingTask(model, torch.optim.Adam([adapter], lr=0.1), MSE, BATCHES)


def plain_loop(task: TrainingTask) -> list[float]:
    def loss_of(batch: Any) -> Any:
        if task.step is not None:
            return task.step(batch)
        assert task.loss_fn is not None
        return task.loss_fn(task.model(batch[0]), batch[1])

    losses = []
    for i in range(10):
        lr = 1e-4 * (0.1 / 1e-4) ** ((i + 1) / 10) if i < 9 else 0.1
        task.optimizer.param_groups[0]["lr"] = lr
        task.optimizer.zero_grad()
        loss = loss_of(BATCHES[i % 8])
        loss.backward()
        task.optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.usefixtures("own_folder_for_temporary_files")
@pytest.mark.parametrize("make", [image, temperature, adapter_in_a_hook])
def test_it_is_swept_as_a_plain_loop_would_and_put_back(make: Callable[[], TrainingTask]) -> None:
    task = make()
    before = fingerprint(model=task.model, optimizer=task.optimizer)
    records = lr_find(task, **RANGE, stop_at_divergence=False, progress=False)
    assert differences(before, fingerprint(model=task.model, optimizer=task.optimizer)) == []
    refine(task, records, budget=300)
    assert differences(before, fingerprint(model=task.model, optimizer=task.optimizer)) == []
    assert records.loss.tolist() == plain_loop(make())
