"""Gradients that are views of one flat buffer stay so, where the optimizer keeps them."""

from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import LRRecords, TrainingTask, lr_find, refine
from tests.tasks import blobs, network

ce = nn.CrossEntropyLoss()
BATCHES = [blobs()[i : i + 32] for i in range(0, 256, 32)]


def flattened(model: nn.Module) -> torch.Tensor:
    """Let all gradients of a model be views of one tensor, which is returned."""
    parameters = list(model.parameters())
    flat = torch.zeros(sum(p.numel() for p in parameters))
    pieces = flat.split([p.numel() for p in parameters])
    for parameter, piece in zip(parameters, pieces, strict=True):
        parameter.grad = piece.view_as(parameter)
    return flat


class Clipping(torch.optim.SGD):
    """Clips the flat gradient, which it keeps."""

    def __init__(self, params: Any, lr: float, flat: torch.Tensor) -> None:
        super().__init__(params, lr=lr)
        self.flat = flat

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.flat.zero_()

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.flat.clamp_(-0.01, 0.01)
        super().step(closure)


class Reading(Clipping):
    """Steps by the flat gradient alone."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        at = 0
        for group in self.param_groups:
            for parameter in group["params"]:
                piece = self.flat[at : at + parameter.numel()]
                parameter.sub_(piece.view_as(parameter), alpha=group["lr"])
                at += parameter.numel()


def by_hand(kind: Any, lrs: list[float]) -> list[float]:
    model = network()
    optimizer = kind(model.parameters(), 0.1, flattened(model))
    losses = []
    for lr, (x, y) in zip(lrs, BATCHES, strict=False):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        loss = ce(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("kind", [Clipping, Reading])
@pytest.mark.parametrize("snapshot", ["auto", "device", "cpu"])
def test_a_sweep_is_that_of_the_loop_and_the_buffer_is_put_back(kind: Any, snapshot: Any) -> None:
    model = network()
    flat = flattened(model).fill_(0.5)
    views = [p.grad for p in model.parameters()]
    task = TrainingTask(model, kind(model.parameters(), 0.1, flat), ce, BATCHES, snapshot=snapshot)
    records = lr_find(task, start_lr=0.1, end_lr=5.0, steps=6, progress=False)
    assert records.loss.tolist() == pytest.approx(by_hand(kind, records.lr.tolist()), rel=1e-6)
    assert records.meta["ran_on"] == "model"
    assert all(p.grad is view for p, view in zip(model.parameters(), views, strict=True))
    assert (flat == 0.5).all()


def test_each_trial_begins_with_an_empty_buffer() -> None:
    model = network()
    flat = flattened(model).fill_(0.5)
    optimizer = Reading(model.parameters(), 0.1, flat)
    found: list[float] = []

    def step(batch: Any) -> torch.Tensor:
        if optimizer.param_groups[0]["lr"] != (found or [0.0])[-1]:
            found.append(optimizer.param_groups[0]["lr"])
            assert (flat == 0).all()
        loss = ce(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    evaluate = lambda batch: ce(model(batch[0]), batch[1])  # noqa: E731
    task = TrainingTask(model, optimizer, data=BATCHES, step=step, evaluate=evaluate)
    refine(task, LRRecords(), budget=180, held_out=BATCHES)
    assert len(found) >= 3
    assert (flat == 0.5).all()


def test_what_torchs_zero_grad_removes_anyway_is_swept_on_a_copy() -> None:
    model = network()
    flat = flattened(model).fill_(0.5)
    task = TrainingTask(model, torch.optim.SGD(model.parameters(), 0.1), ce, BATCHES)
    assert lr_find(task, steps=5, progress=False).meta["ran_on"] == "copy"
    assert (flat == 0.5).all()
