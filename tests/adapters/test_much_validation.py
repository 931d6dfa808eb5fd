"""Of a framework's validation data that is large, and often sorted, some from everywhere counts."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lrwidget import LRRecords, refine


class Sorted(Dataset[Any]):
    """1200 samples in order of their first number, which is between 0 and 1."""

    def __len__(self) -> int:
        return 1200

    def __getitem__(self, index: int) -> Any:
        return torch.full((3,), index / 1200), torch.zeros(1)


def lightning_module() -> Any:
    import lightning.pytorch as pl

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(3, 1)

        def training_step(self, batch: Any, index: int) -> Any:
            return nn.functional.mse_loss(self.net(batch[0]), batch[1])

        def validation_step(self, batch: Any, index: int) -> Any:
            return self.training_step(batch, index)

        def train_dataloader(self) -> Any:
            return DataLoader(Sorted(), 32, shuffle=True)

        def val_dataloader(self) -> Any:
            return DataLoader(Sorted(), 32)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.01)

    return Module()


def learner(folder: Path) -> Any:
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader as Loader
    from fastai.learner import Learner

    loaders = Loader(Sorted(), bs=32, shuffle=True), Loader(Sorted(), bs=32)
    return Learner(DataLoaders(*loaders, path=folder), nn.Linear(3, 1), loss_func=nn.MSELoss())


@pytest.mark.parametrize("framework", ["lightning", "fastai"])
def test_the_first_batches_do_not_stand_for_all(
    tmp_path: Path, framework: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrwidget.curve.search.SHORT_LENGTH", 3)
    seen: list[float] = []

    class Watched(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not self.training:
                seen.extend(x[:, 0].tolist())
            return super().forward(x)

    one = lightning_module() if framework == "lightning" else learner(tmp_path)
    (one.net if framework == "lightning" else one.model).__class__ = Watched
    result = refine(one, LRRecords(), 10)
    assert result.held_out.startswith("512 of 1200 samples of ")
    first = seen[:512]
    assert len(set(first)) == 512
    assert all(sum(a <= x < a + 0.25 for x in first) > 90 for a in (0, 0.25, 0.5, 0.75))
