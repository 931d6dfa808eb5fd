"""A made task as a user would describe it to lrwidget: one model, one loader, one optimizer."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.suggest.make.train import DECOUPLED, UPDATES, Recipe
from lrwidget import TrainingTask

# Those of `UPDATES` that torch has with the same formula.
TORCH: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {}),
    "sgdm": (torch.optim.SGD, {"momentum": 0.9}),
    "nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
    "adamax": (torch.optim.Adamax, {}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "rmspropm": (torch.optim.RMSprop, {"momentum": 0.9}),
    "adagrad": (torch.optim.Adagrad, {}),
}


class Update(torch.optim.Optimizer):
    """An optimizer that applies one of `UPDATES`."""

    def __init__(
        self, params: Iterable[nn.Parameter], name: str, lr: float, weight_decay: float = 0.0
    ) -> None:
        self.name = name
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Make one step; a closure is not called."""
        for group in self.param_groups:
            lr, decay = torch.tensor(group["lr"]), group["weight_decay"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state, value, grad = self.state[p], p.detach(), p.grad
                if self.name in DECOUPLED:
                    value = value * (1 - lr * decay)
                else:
                    grad = grad + decay * value
                state["count"] = state.get("count", 0) + 1
                p.copy_(UPDATES[self.name](value, grad, lr, state, state["count"]))


def task_of(recipe: Recipe, seed: int) -> TrainingTask:
    """Return the training of a recipe with the model of a seed; torch's generator is seeded too."""
    train, _ = recipe.data()
    torch.manual_seed(1000 + seed)
    model = recipe.model()
    options = {"lr": 0.01, "weight_decay": recipe.decay}
    if recipe.optimizer in TORCH:
        make, more = TORCH[recipe.optimizer]
        optimizer = make(model.parameters(), **options, **more)
    else:
        optimizer = Update(model.parameters(), recipe.optimizer, **options)

    def step(batch: list[Tensor]) -> Tensor:
        return recipe.loss(model, *batch)

    # As in the trainings of the truth, only whole batches.
    loader = DataLoader(TensorDataset(*train), recipe.batch, shuffle=True, drop_last=True)
    return TrainingTask(model, optimizer, data=loader, step=step)
