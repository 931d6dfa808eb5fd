"""An optimizer that no gradient reaches is refused: its curve would say nothing about rates."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from lrwidget import TrainingTask, check_lrs, lr_find

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
BATCHES = [(x, x.sum(1, keepdim=True)) for x in X.split(8)]
OPTIONS: dict[str, Any] = {"steps": 6, "start_lr": 1e-4, "end_lr": 1e-1, "progress": False}


def two_layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))


def layer_replaced_after_the_optimizer() -> TrainingTask:
    model = two_layers()
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters())
    model[1] = nn.Linear(4, 1)
    return TrainingTask(model, optimizer, mse_loss, BATCHES)


def layer_that_the_loss_does_not_use() -> TrainingTask:
    model = two_layers()
    model.unused = nn.Linear(4, 4)
    model.forward = lambda x: model[1](model[0](x))
    return TrainingTask(model, torch.optim.Adam(model.unused.parameters()), mse_loss, BATCHES)


def loss_made_anew() -> TrainingTask:
    def loss_fn(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return torch.tensor(mse_loss(output, target).item(), requires_grad=True)

    model = two_layers()
    return TrainingTask(model, torch.optim.SGD(model.parameters()), loss_fn, BATCHES)


def step_with_the_loss_alone() -> TrainingTask:
    model = two_layers()
    other = torch.optim.SGD(model[0].parameters())

    def step(batch: Any) -> torch.Tensor:
        return mse_loss(model[1](batch[0]), batch[1])

    return TrainingTask(model, other, data=BATCHES, step=step)


def step_that_does_all() -> TrainingTask:
    model = two_layers()
    other = torch.optim.SGD(model[0].parameters())

    def step(batch: Any) -> torch.Tensor:
        other.zero_grad()
        loss = mse_loss(model[1](batch[0]), batch[1])
        loss.backward()
        other.step()
        return loss

    return TrainingTask(model, other, data=BATCHES, step=step)


@pytest.mark.parametrize(
    "make",
    [
        layer_that_the_loss_does_not_use,
        layer_replaced_after_the_optimizer,
        loss_made_anew,
        step_with_the_loss_alone,
        step_that_does_all,
    ],
)
def test_it_is_refused_in_words(make: Callable[[], TrainingTask]) -> None:
    with pytest.raises(ValueError, match=r"no gradient has reached (SGD|Adam) in 3 steps"):
        lr_find(make(), **OPTIONS)
    with pytest.raises(ValueError, match="make it of the parameters with which the loss"):
        check_lrs(make(), [1e-3, 1e-2], steps=5)


def swept(task: TrainingTask) -> list[float]:
    records = lr_find(task, **OPTIONS)
    assert len(records) == OPTIONS["steps"]
    losses: list[float] = records.loss.tolist()
    return losses


def test_first_batches_without_a_gradient_are_none_of_it() -> None:
    class Skips(nn.Sequential):
        passes = 0

        def forward(self, x: torch.Tensor) -> Any:
            self.passes += 1
            constant = torch.zeros(len(x), 1, requires_grad=True)
            return super().forward(x) if self.passes > 2 else constant

    model = Skips(*two_layers())
    optimizer = torch.optim.SGD(model.parameters())
    losses = swept(TrainingTask(model, optimizer, mse_loss, BATCHES, snapshot="device"))
    rates = [1e-4 * 1e3 ** (i / 6) for i in range(1, 7)]
    for loss, lr, (x, y) in zip(losses, rates, [*BATCHES, *BATCHES], strict=False):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        plain = mse_loss(model(x), y)
        plain.backward()
        optimizer.step()
        assert plain.item() == loss


def test_updates_in_the_backward_pass_are_none_of_it() -> None:
    model = two_layers()
    optimizer = torch.optim.SGD(model.parameters())

    def update(parameter: torch.Tensor) -> None:
        parameter.data.sub_(optimizer.param_groups[0]["lr"] * parameter.grad)
        parameter.grad = None

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(update)
    swept(TrainingTask(model, optimizer, mse_loss, BATCHES))


def test_optimizers_that_step_in_the_backward_pass_are_swept_if_named() -> None:
    def make(model: nn.Module) -> list[torch.optim.Optimizer]:
        of_each = {p: torch.optim.SGD([p], lr=0.1) for p in model.parameters()}

        def update(parameter: torch.Tensor) -> None:
            of_each[parameter].step()
            of_each[parameter].zero_grad()

        for parameter in model.parameters():
            parameter.register_post_accumulate_grad_hook(update)
        return list(of_each.values())

    model = two_layers()
    first, *others = make(model)
    with pytest.raises(ValueError, match=r"step 4 other optimizers .* others='follow'"):
        swept(TrainingTask(model, torch.optim.SGD(model.parameters()), mse_loss, BATCHES))
    task = TrainingTask(
        model, first, mse_loss, BATCHES, other_optimizers=others, others="follow", snapshot="cpu"
    )
    losses = swept(task)
    plain = two_layers()
    plain.load_state_dict(model.state_dict())
    usual = TrainingTask(plain, torch.optim.SGD(plain.parameters()), mse_loss, BATCHES)
    assert swept(usual) == losses
