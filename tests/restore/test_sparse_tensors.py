"""Sparse tensors anywhere, as the adjacency of a graph, are no obstacle to a sweep."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import TrainingTask, lr_find
from tests.tasks import network

NODES = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
CLASSES = torch.arange(16) % 4
ce = nn.CrossEntropyLoss()


def adjacency() -> torch.Tensor:
    near = torch.eye(16) + torch.diag(torch.full((15,), 0.5), 1)
    return near.to_sparse()  # type: ignore[no-untyped-call, no-any-return]


class Graph(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = network()
        self.register_buffer("near", adjacency())

    def forward(self, nodes: torch.Tensor) -> torch.Tensor:
        return self.near @ self.inner(nodes)  # type: ignore[no-any-return]


class Product(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, near: torch.Tensor) -> torch.Tensor:
        return near @ self.inner(NODES)  # type: ignore[no-any-return]


def in_a_batch() -> tuple[nn.Module, Any, Callable[[Any], torch.Tensor]]:
    model = Product()
    return model, [(adjacency(), CLASSES)], lambda batch: ce(model(batch[0]), batch[1])


def in_the_model() -> tuple[nn.Module, Any, Callable[[Any], torch.Tensor]]:
    model = Graph()
    return model, [(NODES, CLASSES)], lambda batch: ce(model(batch[0]), batch[1])


def of_the_step() -> tuple[nn.Module, Any, Callable[[Any], torch.Tensor]]:
    model, near = network(), adjacency()
    return model, [(NODES, CLASSES)], lambda batch: ce(near @ model(batch[0]), batch[1])


@pytest.mark.parametrize(
    ("make", "own_step"),
    [
        *((in_a_batch, True), (in_a_batch, False)),
        *((in_the_model, True), (of_the_step, True)),
    ],
)
def test_the_curve_is_that_of_a_plain_loop(make: Callable[..., Any], own_step: bool) -> None:
    model, data, step = make()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    if own_step:
        task = TrainingTask(model, optimizer, data=data, step=step)
    else:
        task = TrainingTask(model, optimizer, ce, data)
    records = lr_find(task, steps=4, progress=False)
    for lr, loss in records.rows():
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        expected = step(data[0])
        expected.backward()
        optimizer.step()
        assert loss == expected.item()


COMPRESSED: dict[str, Callable[[Any], torch.Tensor]] = {
    "rows": lambda dense: dense.to_sparse_csr(),
    "columns": lambda dense: dense.to_sparse_csc(),
    "rows of blocks": lambda dense: dense.to_sparse_bsr((2, 2)),
    "columns of blocks": lambda dense: dense.to_sparse_bsc((2, 2)),
}


@pytest.mark.filterwarnings("ignore:Sparse .* tensor support is in beta state")
@pytest.mark.parametrize("form", COMPRESSED)
def test_a_compressed_one_that_a_model_writes_to_is_as_before(form: str) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()
            self.counts = COMPRESSED[form](torch.eye(4))

        def forward(self, nodes: torch.Tensor) -> torch.Tensor:
            self.counts.values().add_(1)
            return self.inner(nodes)  # type: ignore[no-any-return]

    model = Counting()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    task = TrainingTask(model, optimizer, ce, [(NODES, CLASSES)], snapshot="device")
    lr_find(task, steps=4, progress=False)
    assert model.counts.to_dense().tolist() == torch.eye(4).tolist()
