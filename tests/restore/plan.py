"""A plan makes something happen at a chosen call in the middle of a sweep."""

import collections
import math
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import nn


class BoomError(Exception):
    """An exception of the user's code."""


class Plan:
    """A plan counts the calls of each place and runs an action at the chosen call.

    The places are "forward", "backward", "loader", "loss" and "metric". `factor` scales the loss.
    A copied model shares its plan with the original.
    """

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.actions: dict[str, tuple[int, Callable[[], Any]]] = {}
        self.factor = 1.0

    def at(self, place: str, call: int, action: Callable[[], Any]) -> None:
        """Run `action` at the `call`-th call of `place` from now on, counted from 1."""
        self.actions[place] = (self.counts[place] + call, action)

    def reached(self, place: str) -> None:
        """Count a call of `place` and run the action that is due."""
        self.counts[place] += 1
        call, action = self.actions.get(place, (0, None))
        if action is not None and self.counts[place] == call:
            action()

    def fail(self) -> None:
        """Raise the user's exception."""
        raise BoomError

    def explode(self) -> None:
        """Multiply the losses by a million from now on."""
        self.factor = 1e6

    def spoil(self) -> None:
        """Make losses and gradients NaN from now on."""
        self.factor = math.nan

    def __deepcopy__(self, memo: Any) -> Self:
        return self


class _InBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, plan: Plan) -> torch.Tensor:
        ctx.plan = plan
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        ctx.plan.reached("backward")
        return grads[0], None


class Eventful(nn.Module):
    """A model that calls its plan in the middle of its forward and backward passes.

    Like users' models, it also has plain attributes: a counter, a list and a tensor.
    """

    def __init__(self, model: nn.Module, plan: Plan) -> None:
        super().__init__()
        self.model = model
        self.plan = plan
        self.calls = 0
        self.last = torch.zeros(1)
        self.seen: list[int] = []
        self.loss_of_last_call: Any = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.plan.reached("forward")
        self.calls += 1
        self.seen.append(len(x))
        self.last += 1
        self.loss_of_last_call = out = self.model(x)
        return _InBackward.apply(out, self.plan)


class Loss:
    """The mean squared error, scaled by the plan's factor."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.plan.reached("loss")
        return nn.functional.mse_loss(output.float(), target) * self.plan.factor


class Metric:
    """The mean absolute error."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> float:
        self.plan.reached("metric")
        return float((output.float() - target).abs().mean())


class Data(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """A small regression data set; every item draws noise, as augmentations do."""

    def __init__(self, plan: Plan, inputs: torch.Tensor) -> None:
        self.plan = plan
        self.inputs = inputs
        self.targets = inputs.flatten(1).sum(1, keepdim=True).repeat(1, 2).float()

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.plan.reached("loader")
        noise = torch.randn(()) * 0.01
        return self.inputs[index] + noise.to(self.inputs.dtype), self.targets[index]
