"""Averages of a model of more than 1000 tensors are put back, however they are kept."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import TrainingTask, lr_find

MSE = nn.functional.mse_loss
BATCHES = [(torch.ones(4, 2), torch.zeros(4, 2))] * 4


class Average:
    def __init__(self, model: nn.Module, keep: Callable[[nn.Module], Any]) -> None:
        self.kept = keep(model)

    @property
    def tensors(self) -> list[torch.Tensor]:
        held = list(self.kept.values() if isinstance(self.kept, dict) else self.kept)
        return [item["of"] if isinstance(item, dict) else item for item in held]

    @torch.no_grad()
    def update(self, model: nn.Module) -> float:
        for kept, now in zip(self.tensors, model.state_dict().values(), strict=True):
            kept.mul_(0.9).add_(now, alpha=0.1)
        return float(self.tensors[0].sum())


KEPT = {
    "by name": lambda model: {name: t.clone() for name, t in model.state_dict().items()},
    "in dicts": lambda model: {p: {"of": p.detach().clone()} for p in model.parameters()},
    "in a list": lambda model: [p.detach().clone() for p in model.parameters()],
}
USED_BY = ("step", "loss", "hook", "also")


@pytest.mark.parametrize("used_by", USED_BY)
@pytest.mark.parametrize("kept", KEPT)
def test_averages_of_a_model_of_very_many_tensors_are_as_before(kept: str, used_by: str) -> None:
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(501)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    average = Average(model, KEPT[kept])
    before = [tensor.clone() for tensor in average.tensors]
    held = {"loss": MSE}
    further: dict[str, Any] = {}
    if used_by == "step":

        def step(batch: Any) -> torch.Tensor:
            loss = MSE(model(batch[0]), batch[1])
            return loss + average.update(model)

        further["step"] = step
    elif used_by == "hook":
        optimizer.register_step_post_hook(lambda *_: average.update(model))
    elif used_by == "loss":
        held["loss"] = lambda output, target: MSE(output, target) + average.update(model)
    else:
        Holder.average, Holder.model = average, model
        held["loss"] = hidden
        further["also"] = [average]
    loss_fn = None if used_by == "step" else held["loss"]

    lr_find(TrainingTask(model, optimizer, loss_fn, BATCHES, **further), steps=5, progress=False)

    assert all(map(torch.equal, average.tensors, before))


def test_averages_of_a_larger_network_beside_the_model_are_as_before() -> None:
    other = nn.Sequential(*(nn.Linear(2, 2) for _ in range(501)))
    average = Average(other, KEPT["by name"])
    before = [tensor.clone() for tensor in average.tensors]
    model = nn.Linear(2, 2)

    def step(batch: Any) -> torch.Tensor:
        loss: torch.Tensor = MSE(model(batch[0]), batch[1])
        return loss + average.update(other)

    optimizer = torch.optim.SGD(model.parameters())
    task = TrainingTask(model, optimizer, data=BATCHES, step=step)
    lr_find(task, steps=5, progress=False)

    assert all(map(torch.equal, average.tensors, before))


class Holder:
    average: Any = None
    model: Any = None


def hidden(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """A loss that reaches an average by a name which only running it tells."""
    held = vars(__import__("importlib").import_module(__name__))["Hol" + "der"]
    return MSE(output, target) + float(held.average.update(held.model))
