"""Models, scenes and counts for tests on a CUDA device; such tests are skipped where none is."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from tests.restore.scenes import SCENES, Scene

if not torch.cuda.is_available():
    pytest.skip("no CUDA device", allow_module_level=True)

DEVICE = torch.device("cuda")


def network() -> nn.Sequential:
    torch.manual_seed(1)
    layers = [nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 4)]
    return nn.Sequential(*layers)


def batches() -> list[Any]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 8, generator=generator)
    return list(zip(x.split(32), (x[:, :4].argmax(1)).split(32), strict=True))


def problem(
    make: Callable[..., torch.optim.Optimizer] = torch.optim.Adam, **settings: Any
) -> tuple[nn.Module, torch.optim.Optimizer, nn.Module, Any]:
    model = network().to(DEVICE)
    return model, make(model.parameters(), **settings), nn.CrossEntropyLoss(), batches()


def capturable(parameters: Any) -> torch.optim.Optimizer:
    lr = torch.tensor(1e-3, device=DEVICE)
    return torch.optim.Adam(parameters, lr=lr, capturable=True)


def fused(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, fused=True)


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "Adam": torch.optim.Adam,
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    "capturable": capturable,
    "fused": fused,
}


def on_the_device(it: Scene) -> Scene:
    """Move the scene's model, states and gradients to the device; its batches stay on the CPU."""
    it.model.to(DEVICE)
    if isinstance(it.loss_fn, nn.Module):
        it.loss_fn.to(DEVICE)
    it.optimizer.load_state_dict(it.optimizer.state_dict())  # moves the states
    if it.scaler is not None:
        # A scaler creates its tensors only when it first scales a loss.
        it.scaler = torch.amp.GradScaler(DEVICE.type, init_scale=2.0**10, growth_interval=2)
        it.scaler.scale(torch.zeros(1, device=DEVICE))
    return it


@pytest.fixture
def there() -> Iterator[Callable[[str], Scene]]:
    """Make scenes on the device; move their models back, since a model is compiled only once."""
    made: list[Scene] = []

    def make(name: str) -> Scene:
        made.append(on_the_device(SCENES[name]()))
        return made[-1]

    yield make
    for it in made:
        it.model.cpu()


def plain_loop(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_fn: nn.Module,
    data: Any,
    rates: Any,
) -> list[float]:
    """Train in an ordinary loop that reads each loss."""
    losses: list[float] = []
    while True:
        for x, y in data:
            if len(losses) == len(rates):
                return losses
            for group in optimizer.param_groups:
                lr = float(rates[len(losses)])
                if isinstance(group["lr"], torch.Tensor):
                    group["lr"].fill_(lr)
                else:
                    group["lr"] = lr
            optimizer.zero_grad()
            loss = loss_fn(model(x.to(DEVICE)), y.to(DEVICE))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())


def waits(run: Callable[[], object]) -> int:
    """Return how often torch synchronizes with the device in `run`."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("called a synchronizing" in str(warning.message) for warning in warned)
