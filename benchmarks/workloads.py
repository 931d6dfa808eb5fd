"""The two networks whose sweeps are timed, and their data."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

START_LR, END_LR = 1e-6, 1e-2  # the loss does not explode within this range
BATCH_SIZE = 32


class Problem(NamedTuple):
    """The arguments of a finder."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss_fn: nn.Module
    data: Iterable[Any]


class Workload(NamedTuple):
    """A network with batches from a loader or from a list."""

    name: str
    network: Callable[[], nn.Module]
    from_loader: bool = True

    def problem(self) -> Problem:
        """Return the same new network and optimizer each time, with the handwritten digits."""
        torch.manual_seed(1703)
        model = self.network()
        optimizer = torch.optim.Adam(model.parameters())
        loader = DataLoader(digits(), batch_size=BATCH_SIZE, shuffle=True)
        data = loader if self.from_loader else list(loader)
        return Problem(model, optimizer, nn.CrossEntropyLoss(), data)


def digits() -> TensorDataset:
    """Return scikit-learn's 1,797 digits: images (1, 8, 8) from 0 to 1, and labels."""
    source = load_digits()
    images = torch.tensor(source.images, dtype=torch.float32).unsqueeze(1) / 16
    return TensorDataset(images, torch.tensor(source.target))


def mlp() -> nn.Module:
    """Return a small network: 85,000 parameters, less than 1 ms per step on one core."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 256),
        nn.ReLU(),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Linear(256, 10),
    )


def lenet() -> nn.Module:
    """Return the network of the examples: 53,000 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.1),
        nn.Flatten(),
        nn.Linear(256, 128),
        nn.Dropout(0.1),
        nn.Linear(128, 10),
    )


MLP = Workload("MLP", mlp)
LENET = Workload("LeNet", lenet)
# Without a loader, only the engine's own cost remains.
MLP_READY = Workload("MLP, ready batches", mlp, from_loader=False)
LENET_READY = Workload("LeNet, ready batches", lenet, from_loader=False)
