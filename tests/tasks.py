"""Small training tasks that the tests share."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def blobs(samples: int = 256, features: int = 8, classes: int = 4) -> TensorDataset:
    """Return points around one centre per class, the same ones each time."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(samples) % classes
    centres = 2 * torch.randn(classes, features, generator=generator)
    return TensorDataset(
        centres[labels] + torch.randn(samples, features, generator=generator), labels
    )


def network(*, normalised: bool = False) -> nn.Sequential:
    """Return a small classifier of `blobs`, with the same weights each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        middle: list[nn.Module] = [nn.BatchNorm1d(16), nn.Dropout(0.1)] if normalised else []
        return nn.Sequential(nn.Linear(8, 16), *middle, nn.ReLU(), nn.Linear(16, 4))


def problem(
    make: Callable[..., torch.optim.Optimizer] = torch.optim.SGD, **settings: Any
) -> tuple[nn.Sequential, torch.optim.Optimizer, nn.Module, DataLoader]:
    """Return the four arguments of a sweep: model, optimizer, loss function and loader."""
    model = network()
    settings.setdefault("lr", 0.1)
    loader = DataLoader(blobs(), batch_size=32, shuffle=True)
    return model, make(model.parameters(), **settings), nn.CrossEntropyLoss(), loader
