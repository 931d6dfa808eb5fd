"""A sweep does not copy data sets that a model's methods or a loss refer to."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrwidget import TrainingTask, lr_find
from lrwidget.backup.backup import Backup
from lrwidget.restore import copying, snapshot
from lrwidget.restore.captured import Captured
from tests.restore.endings import OPTIONS, find

INPUTS, TARGETS = torch.randn(2**16, 8), torch.randn(2**16, 2)
SAMPLES = [(torch.randn(8), torch.randn(2)) for _ in range(2000)]
MEMORY = torch.zeros(2**19)
DRAWS = np.random.PCG64(0)


class Kept:
    """A plain object that holds data."""

    def __init__(self) -> None:
        self.inputs = INPUTS


KEPT = Kept()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x)
        return out

    def train_dataloader(self) -> Any:
        return DataLoader(TensorDataset(INPUTS, KEPT.inputs)), SAMPLES


def loss_fn(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    MEMORY.add_(1)
    DRAWS.random_raw()
    return nn.functional.mse_loss(output, target)


@pytest.mark.parametrize("place", ["auto", "device"])
def test_data_is_not_copied_and_a_memory_is(monkeypatch: Any, place: Any) -> None:
    sizes: list[int] = []

    class Measured(Backup):
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            super().__init__(*arguments, **keywords)
            sizes.append(self.nbytes)

    monkeypatch.setattr(snapshot, "Backup", Measured)
    before = DRAWS.state
    task = TrainingTask(
        Net(), torch.optim.SGD, loss_fn, TensorDataset(INPUTS, TARGETS), snapshot=place
    )
    assert len(find(task)) == OPTIONS["steps"]
    assert MEMORY.nbytes <= sum(sizes) < MEMORY.nbytes + 1000
    assert not MEMORY.any()
    assert DRAWS.state == before


def test_data_that_is_trained_is_no_data() -> None:
    codes = nn.Parameter(torch.randn(2**16, 8))
    model = Net()
    model.register_parameter("codes", codes)
    before = codes.detach().clone()
    records = lr_find(
        model,
        torch.optim.Adam,
        lambda output, target: nn.functional.mse_loss(output, target) + codes.square().mean(),
        TensorDataset(codes.detach(), TARGETS),
        steps=6,
        snapshot="device",
        progress=False,
    )
    assert len(records) == 6
    assert torch.equal(codes, before)


def test_a_long_list_of_the_models_own_weights_leads_back_to_it() -> None:
    model = nn.Sequential(*(nn.Linear(1, 1) for _ in range(600)))
    weights = list(model.parameters())
    assert len(weights) > 1000
    task = TrainingTask(
        model, torch.optim.SGD, lambda output, _: output.sum() + weights[0].sum(), [torch.ones(1)]
    )
    with pytest.raises(copying.NotCopied, match="from outside"):
        copying.copy_together(Captured(task))
