"""What Lightning's Fabric has set up goes in as model, optimizer, loss and loader."""

from typing import Any

import pytest
import torch
from lightning.fabric import Fabric
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler

from lrwidget import TrainingTask, lr_find
from tests.tasks import blobs, network

OPTIONS: dict[str, Any] = {"start_lr": 1e-4, "end_lr": 1e-1, "steps": 12, "progress": False}
LOSS = nn.CrossEntropyLoss()


def set_up(**options: Any) -> tuple[Fabric, Any, Any, Any]:
    fabric = Fabric(accelerator="cpu", devices=1, **options)
    model = network()
    prepared = fabric.setup(model, torch.optim.Adam(model.parameters(), lr=1e-3))
    # As Fabric makes it in several processes, where it counts the epochs for the sampler.
    sampler = DistributedSampler(blobs(), num_replicas=2, rank=0)
    return fabric, *prepared, fabric.setup_dataloaders(DataLoader(blobs(), 16, sampler=sampler))


def test_its_loader_goes_on_with_the_same_epoch() -> None:
    orders = []
    for swept in (False, True):
        _, model, optimizer, loader = set_up()
        next(iter(loader))
        if swept:
            lr_find(model, optimizer, LOSS, loader, **OPTIONS)
        orders.append([targets.tolist() for _, targets in loader])
    assert orders[0] == orders[1]


@pytest.mark.parametrize("own", [False, True])
def test_where_it_must_do_the_backward_pass_a_note_says_how(own: bool) -> None:
    fabric, model, optimizer, loader = set_up(precision="bf16-mixed")

    def loss_only(batch: Any) -> torch.Tensor:
        return LOSS(model(batch[0]), batch[1])

    def step(batch: Any) -> torch.Tensor:
        optimizer.zero_grad()
        loss = loss_only(batch)
        fabric.backward(loss)
        optimizer.step()
        return loss

    task = TrainingTask(model, optimizer, data=loader, step=loss_only) if own else model
    rest = [] if own else [optimizer, LOSS, loader]
    with pytest.raises(RuntimeError, match=r"fabric\.backward") as raised:
        lr_find(task, *rest, **OPTIONS)
    assert "step=step" in raised.value.__notes__[0]
    records = lr_find(TrainingTask(model, optimizer, data=loader, step=step), **OPTIONS)
    assert records.stop_reason == "finished"
