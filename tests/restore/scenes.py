"""Scenes are models in every common state, each with its optimizer and loader."""

import copy
import dataclasses
import functools
import random
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from lrwidget import TrainingTask
from tests.restore.fingerprint import fingerprint
from tests.restore.plan import Data, Eventful, Loss, Metric, Plan


@dataclasses.dataclass
class Scene:
    """A user's objects and the plan that they follow."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loader: DataLoader[Any]
    loss_fn: Any
    plan: Plan
    scheduler: Any = None
    scaler: Any = None

    def task(self, **options: Any) -> TrainingTask:
        """Return a task with a metric on held-out batches."""
        options.setdefault("scaler", self.scaler)
        return TrainingTask(
            self.model,
            self.optimizer,
            self.loss_fn,
            self.loader,
            val_data=self.loader,
            metric=Metric(self.plan),
            val_batches=1,
            val_every=2,
            **options,
        )

    def fingerprint(self) -> dict[str, Any]:
        """Return the fingerprint of the scene's objects and of the process."""
        return fingerprint(
            model=self.model,
            optimizer=self.optimizer,
            loader=self.loader,
            loss_fn=self.loss_fn,
            scheduler=self.scheduler,
            scaler=self.scaler,
        )

    def train(self, steps: int) -> list[float]:
        """Run a plain training loop and return its losses."""
        losses: list[float] = []
        while True:
            for x, y in self.loader:
                if len(losses) == steps:
                    return losses
                self.optimizer.zero_grad()
                loss = self.loss_fn(self.model(x), y)
                if self.scaler is None:
                    loss.backward()
                    self.optimizer.step()
                else:
                    self.scaler.scale(loss).backward()
                    self.scaler.step(self.optimizer)
                    self.scaler.update()
                if self.scheduler is not None:
                    self.scheduler.step()
                losses.append(loss.item())


SGD, Adam = torch.optim.SGD, torch.optim.Adam


def scene(
    model: nn.Module,
    make: Callable[..., torch.optim.Optimizer] = SGD,
    *,
    parameters: Iterable[Any] | None = None,
    inputs: torch.Tensor | None = None,
    workers: int = 0,
    **settings: Any,
) -> Scene:
    """Return a scene of `model` with seeded random generators."""
    torch.manual_seed(3)
    random.seed(4)
    np.random.seed(5)  # noqa: NPY002 - the global generator is the subject
    plan = Plan()
    model = Eventful(model, plan)
    settings.setdefault("lr", 0.01)
    optimizer = make(model.parameters() if parameters is None else parameters, **settings)
    data = Data(plan, torch.randn(20, 4) if inputs is None else inputs)
    shuffled = torch.Generator().manual_seed(6)
    loader = DataLoader(data, batch_size=8, shuffle=True, generator=shuffled, num_workers=workers)
    return Scene(model, optimizer, loader, Loss(plan), plan)


def fresh() -> Scene:
    """Return a new model with a new optimizer."""
    return scene(_mlp(), SGD, momentum=0.9)


def batchnorm_dropout() -> Scene:
    """Return a model whose forward pass changes buffers and draws random numbers."""
    middle = [nn.BatchNorm1d(6), nn.Dropout(0.3)]
    return scene(nn.Sequential(nn.Linear(4, 6), *middle, nn.Linear(6, 2)), Adam)


def warm_adam() -> Scene:
    """Return a model in mid-training, with Adam's states, gradients and two param groups."""
    model = _mlp()
    groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.1}]
    made = scene(model, Adam, parameters=groups, amsgrad=True)
    made.train(4)
    assert model[0].weight.grad is not None
    return made


def partly_optimized() -> Scene:
    """Return a model of which one part has no optimizer but accumulates gradients."""
    model = _mlp()
    made = scene(model, SGD, parameters=model[2].parameters(), momentum=0.9)
    made.train(2)
    assert model[0].weight.grad is not None
    return made


def scheduled() -> Scene:
    """Return a model in the middle of a schedule that also changes the momentum."""
    made = scene(_mlp(), SGD, momentum=0.9)
    made.scheduler = torch.optim.lr_scheduler.OneCycleLR(made.optimizer, 0.05, total_steps=40)
    made.train(5)
    return made


def scheduled_unused() -> Scene:
    """Return a scheduler whose optimizer has not stepped yet."""
    made = scene(_mlp(), SGD, momentum=0.9)
    made.scheduler = torch.optim.lr_scheduler.StepLR(made.optimizer, 3)
    return made


def tied() -> Scene:
    """Return a model whose layers share one weight."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Linear(4, 2))
    model[2].weight = model[0].weight
    made = scene(model, Adam)
    made.train(2)
    return made


def frozen() -> Scene:
    """Return a model with a frozen layer and a frozen batch norm below trained ones."""
    model = nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 2)
    )
    model[0].requires_grad_(False)
    model[1].requires_grad_(False).eval()
    trainable = [p for p in model.parameters() if p.requires_grad]
    return scene(model, Adam, parameters=trainable)


def evaluated() -> Scene:
    """Return a model that a validation pass left in eval mode."""
    made = batchnorm_dropout()
    made.train(2)
    made.model.eval()
    return made


def parametrized() -> Scene:
    """Return a model with weight and spectral norm as parametrizations."""
    first = nn.utils.parametrizations.weight_norm(nn.Linear(4, 6))
    second = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 2))
    made = scene(nn.Sequential(first, nn.ReLU(), second), Adam)
    made.train(2)
    return made


def weight_norm() -> Scene:
    """Return a model with the old weight norm, whose hook stores a tensor with a graph."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it is deprecated but still in use
        first = nn.utils.weight_norm(nn.Linear(4, 6))
    made = scene(nn.Sequential(first, nn.ReLU(), nn.Linear(6, 2)), Adam)
    made.train(2)
    return made


def channels_last() -> Scene:
    """Return a model whose weights have channels-last strides."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 2), nn.AdaptiveAvgPool2d(1)
    )
    model = nn.Sequential(model, nn.Flatten()).to(memory_format=torch.channels_last)
    inputs = torch.randn(20, 3, 5, 5).to(memory_format=torch.channels_last)
    made = scene(model, SGD, momentum=0.9, inputs=inputs)
    made.train(2)
    return made


def bfloat16() -> Scene:
    """Return a model whose parameters are all bfloat16."""
    made = scene(_mlp().bfloat16(), Adam, inputs=torch.randn(20, 4).bfloat16())
    made.train(2)
    return made


def shared_storage() -> Scene:
    """Return a model whose weights are views of one flat tensor and whose norms share a buffer."""
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    flat = torch.randn(40)
    first.weight = nn.Parameter(flat[:16].view(4, 4))
    second.weight = nn.Parameter(flat[20:36].view(4, 4).t())
    norms = nn.BatchNorm1d(4), nn.BatchNorm1d(4)
    norms[1].running_mean = norms[0].running_mean
    model = nn.Sequential(first, norms[0], second, norms[1], nn.Linear(4, 2))
    made = scene(model, Adam)
    made.train(2)
    return made


def compiled() -> Scene:
    """Return a compiled model."""
    model, state = _compiled_once()
    model._orig_mod.load_state_dict(state)
    model.train().zero_grad()
    made = scene(model, SGD, momentum=0.9)
    made.train(1)
    return made


@functools.cache
def _compiled_once() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    original = _mlp()
    return torch.compile(original, backend="eager"), copy.deepcopy(original.state_dict())


def scaled() -> Scene:
    """Return a model with a GradScaler whose scale has already changed."""
    made = scene(_mlp(), SGD, momentum=0.9)
    made.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=2)
    made.train(3)
    return made


def hooked() -> Scene:
    """Return a model with user hooks on the model, a weight and the optimizer."""
    made = scene(_mlp(), SGD, momentum=0.9)
    made.model.register_forward_hook(lambda module, args, output: output * 1.0)
    made.model.model[0].weight.register_hook(lambda grad: grad * 0.5)
    made.optimizer.register_step_pre_hook(lambda optimizer, args, kwargs: None)
    made.train(2)
    return made


def loss_with_weights() -> Scene:
    """Return a model whose loss function is trained too, such as a proxy loss."""
    made = scene(_mlp(), Adam)

    class Weighted(nn.Module):
        def __init__(self, plan: Plan) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2))
            self.plan = plan

        def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            self.plan.reached("loss")
            return ((output - target) ** 2 * self.weight).mean() * self.plan.factor

    made.loss_fn = Weighted(made.plan)
    made.optimizer.add_param_group({"params": made.loss_fn.parameters()})
    made.train(2)
    return made


def _mlp() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))


SCENES: dict[str, Callable[[], Scene]] = {
    make.__name__: make
    for make in (
        fresh,
        batchnorm_dropout,
        warm_adam,
        partly_optimized,
        scheduled,
        scheduled_unused,
        tied,
        frozen,
        evaluated,
        parametrized,
        weight_norm,
        channels_last,
        bfloat16,
        shared_storage,
        compiled,
        scaled,
        hooked,
        loss_with_weights,
    )
}

# Scenes whose model cannot be swept as a copy.
IN_PLACE = ("weight_norm", "shared_storage", "compiled", "hooked")
