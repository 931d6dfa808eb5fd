"""Hooks that neither the model nor its parameters show belong to training too."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

from lrwidget import TrainingTask
from tests.restore.endings import find
from tests.restore.fingerprint import differences, fingerprint

X = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
BATCHES = [(X[i : i + 4], X[i : i + 4].sum(1, keepdim=True)) for i in range(0, 16, 4)]
MSE = nn.functional.mse_loss

# What a hook keeps, and what removes it.
Hooked = tuple[Any, Callable[[], object]]


def decay_after_any_optimizer(model: nn.Module) -> Hooked:
    def decay(*_: Any) -> None:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.9)

    return None, register_optimizer_step_post_hook(decay).remove


def scale_in_any_module(model: nn.Module) -> Hooked:
    scale = torch.ones(1)

    def grow(module: nn.Module, args: Any, output: torch.Tensor) -> Any:
        scale.mul_(1.1)
        return output * scale.item() if isinstance(module, nn.Linear) else None

    return scale, register_module_forward_hook(grow).remove


def clip(parameter: Any) -> None:
    parameter.grad.clamp_(-0.1, 0.1)


def clip_where_gradients_accumulate(model: nn.Module) -> Hooked:
    nodes: list[Any] = []
    for parameter in model.parameters():
        # The way to run an optimizer in the backward pass before torch 2.1.
        node = parameter.view_as(parameter).grad_fn.next_functions[0][0]  # type: ignore[union-attr]
        assert node is not None
        node.register_hook(lambda *_, p=parameter: clip(p))
        nodes.append(node)
    return None, nodes.clear


@pytest.mark.parametrize("snapshot", ["auto", "device"])
@pytest.mark.parametrize(
    "hook",
    [decay_after_any_optimizer, scale_in_any_module, clip_where_gradients_accumulate],
)
def test_a_sweep_runs_them_and_puts_all_back(
    hook: Callable[[nn.Module], Hooked], snapshot: Any
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    kept, remove = hook(model)
    try:
        before = fingerprint(model=model, optimizer=optimizer, kept=kept)
        records = find(TrainingTask(model, optimizer, MSE, BATCHES, snapshot=snapshot))
        assert not differences(before, fingerprint(model=model, optimizer=optimizer, kept=kept))
        for i, (lr, loss) in enumerate(records.rows()):
            optimizer.param_groups[0]["lr"] = lr
            optimizer.zero_grad()
            expected = MSE(model(BATCHES[i % 4][0]), BATCHES[i % 4][1])
            expected.backward()
            optimizer.step()
            assert loss == expected.item()
    finally:
        remove()


def test_a_loss_that_is_still_held_is_no_reason_to_sweep_in_place() -> None:
    model = nn.Linear(4, 1)
    loss = MSE(model(X), X[:, :1])
    records = find(TrainingTask(model, torch.optim.SGD, MSE, BATCHES))
    assert records.meta["ran_on"] == "copy"
    loss.backward()
