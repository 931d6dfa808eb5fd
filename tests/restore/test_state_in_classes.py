"""A sweep restores a module in a class attribute as it restores one in an object."""

import types
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import LRRecords, TrainingTask, check_lrs, lr_find, refine
from tests.tasks import problem


class Counting(nn.Module):
    """Cross entropy with a running sum of the outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("met", torch.zeros(4))
        self.calls = 0

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.met += output.detach().mean(0)
        return nn.functional.cross_entropy(output, target)


class Loss:
    criterion = Counting()

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> Any:
        return self.criterion(output, target)


held = types.ModuleType("losses_of_a_user")
held.criterion = Loss.criterion
exec("def compute(output, target): return criterion(output, target)", vars(held))
LOSSES = {
    "object": Loss(),
    "method": Loss().__call__,
    "class that a function names": lambda output, target: Loss.criterion(output, target),
    "module that a function names": lambda output, target: held.criterion(output, target),
    "function of a module": lambda output, target: held.compute(output, target),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("snapshot", ["auto", "device"])
def test_a_loss_module_in_a_class_is_as_before(loss: Any, snapshot: str) -> None:
    model, optimizer, _, loader = problem()
    lr_find(model, optimizer, loss, loader, steps=3, snapshot=snapshot, progress=False)
    assert Loss.criterion.calls == 0
    assert not Loss.criterion.met.any()


class Centred(nn.Module):
    """Subtracts a running mean that all of its objects share."""

    mean = torch.zeros(4)
    sums: dict[str, torch.Tensor] = {"all": torch.zeros(4)}  # noqa: RUF012 - as users write it

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.model(x)
        self.mean.mul_(0.9).add_(output.detach().mean(0))
        self.sums["all"].add_(output.detach().sum(0))
        return output - self.mean


@pytest.mark.parametrize("snapshot", ["auto", "device"])
def test_tensors_of_a_class_of_the_model_are_as_before(snapshot: Any) -> None:
    model, _, loss_fn, loader = problem()
    centred = Centred(model)
    task = TrainingTask(
        centred, torch.optim.SGD(centred.parameters(), 0.1), loss_fn, loader, snapshot=snapshot
    )
    assert len(lr_find(task, steps=3, progress=False)) == 3
    assert not Centred.mean.any()
    assert not Centred.sums["all"].any()
    first, second = check_lrs(task, [1e-3, 1.0000001e-3], steps=5).trials
    assert first.loss == pytest.approx(second.loss, rel=1e-5)
    refine(task, LRRecords(), 300)
    assert not Centred.mean.any()
