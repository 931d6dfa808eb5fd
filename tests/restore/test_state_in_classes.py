"""A sweep restores a module in a class attribute as it restores one in an object."""

import types
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import lr_find
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
