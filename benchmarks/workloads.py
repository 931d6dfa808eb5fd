"""The networks whose sweeps are timed, and their data."""

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
    """A network and its batches; `steps` is how many steps a timed sweep takes."""

    name: str
    network: Callable[[], nn.Module]
    batches: Callable[[], Iterable[Any]]
    steps: int = 500

    def problem(self) -> Problem:
        """Return the same new network, optimizer and batches each time."""
        torch.manual_seed(1703)
        model = self.network()
        optimizer = torch.optim.Adam(model.parameters())
        return Problem(model, optimizer, nn.CrossEntropyLoss(), self.batches())


def digits_loader() -> DataLoader[Any]:
    """Return a shuffling loader of the handwritten digits."""
    return DataLoader(digits(), batch_size=BATCH_SIZE, shuffle=True)


def digits_ready() -> list[Any]:
    """Return one pass of `digits_loader`. Without a loader, only the engine's own cost remains."""
    return list(digits_loader())


def images_loader() -> DataLoader[Any]:
    """Return a loader with two worker processes: 1,600 random images (3, 64, 64), 16 a batch."""
    data = TensorDataset(torch.randn(1600, 3, 64, 64), torch.randint(10, (1600,)))
    return DataLoader(data, batch_size=16, shuffle=True, num_workers=2)


def tokens_loader() -> DataLoader[Any]:
    """Return a shuffling loader of 1,600 random sequences of 64 tokens, 16 a batch."""
    data = TensorDataset(torch.randint(1000, (1600, 64)), torch.randint(10, (1600,)))
    return DataLoader(data, batch_size=16, shuffle=True)


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


def resnet18() -> nn.Module:
    """Return torchvision's ResNet-18 for 10 classes: 11 million parameters."""
    from torchvision.models import resnet18

    network: nn.Module = resnet18(num_classes=10)
    return network


class Transformer(nn.Module):
    """Four encoder layers of width 128 that classify sequences: 900,000 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(1000, 128)
        layer = nn.TransformerEncoderLayer(128, nhead=4, dim_feedforward=512, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers=4)
        self.head = nn.Linear(128, 10)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the logits of the classes, (batch, 10)."""
        logits: torch.Tensor = self.head(self.encoder(self.embedding(tokens)).mean(1))
        return logits


MLP = Workload("MLP", mlp, digits_loader)
LENET = Workload("LeNet", lenet, digits_loader)
MLP_READY = Workload("MLP, ready batches", mlp, digits_ready)
LENET_READY = Workload("LeNet, ready batches", lenet, digits_ready)
RESNET = Workload("ResNet-18, a loader with two workers", resnet18, images_loader, steps=100)
TRANSFORMER = Workload("transformer of four layers", Transformer, tokens_loader, steps=100)
