"""Data sets of Ray as data of a sweep."""

from __future__ import annotations

from typing import Any

import pytest
import ray
import ray.data
import torch
from torch import nn

from lrwidget import TrainingTask, lr_find
from tests.ray.cluster import Nodes
from tests.tasks import blobs, network

OPTIONS: dict[str, Any] = {"start_lr": 1e-4, "end_lr": 1e-1, "steps": 4, "progress": False}


@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")
def test_a_data_set_is_told_how_to_give_its_batches(nodes: Nodes) -> None:
    nodes.add(num_cpus=1)
    x, y = blobs(32).tensors
    data = ray.data.from_items([{"x": a.numpy(), "y": int(b)} for a, b in zip(x, y, strict=True)])
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return nn.functional.cross_entropy(model(batch["x"]), batch["y"])

    for given in (data, data.iterator()):
        with pytest.raises(TypeError, match=r"data=data\.iter_torch_batches\(batch_size=32\)"):
            TrainingTask(model, optimizer, data=given, step=step)
    batches = data.iter_torch_batches(batch_size=16)
    records = lr_find(TrainingTask(model, optimizer, data=batches, step=step), **OPTIONS)
    assert records.stop_reason == "finished"
