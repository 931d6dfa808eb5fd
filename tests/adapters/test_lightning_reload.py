"""Loaders that Lightning loads anew after some epochs are loaded anew in a sweep."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from lrwidget import check_lrs, lr_find, refine
from tests.adapters.test_lightning_schedulers import trainer
from tests.adapters.test_lightning_steps import SWEEP, Keeper, Passing

pytestmark = pytest.mark.framework


class Curriculum(Passing):
    """Has a larger batch in each epoch, and shuffles with a generator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.order = torch.Generator().manual_seed(2)
        self.loaded: list[int] = []

    def train_dataloader(self) -> Any:
        self.loaded.append(self.current_epoch)
        x = torch.randn(20, 4, generator=torch.Generator().manual_seed(1))
        return DataLoader(
            TensorDataset(x, x.sum(1, keepdim=True)),
            batch_size=6 + self.current_epoch,
            shuffle=True,
            generator=self.order,
        )


def reloading(folder: Path, every: int, *callbacks: Any) -> Any:
    options = {"reload_dataloaders_every_n_epochs": every, "callbacks": list(callbacks)}
    return trainer(folder, max_epochs=50, **options)


@pytest.mark.parametrize("every", [1, 2])
def test_losses_are_those_of_a_fit_and_the_generator_is_as_before(
    every: int, tmp_path: Path
) -> None:
    module = Curriculum()
    order = module.order.get_state()
    records = lr_find(module, trainer=reloading(tmp_path, every), **SWEEP | {"steps": 14})
    assert torch.equal(module.order.get_state(), order)
    own = Curriculum()
    keeper = Keeper(list(records.lr), 1)
    reloading(tmp_path, every, keeper).fit(own)
    assert list(records.loss) == keeper.rows
    assert own.loaded[:2] == [0, every]


def test_each_repeat_and_each_trial_begins_with_the_loader_of_the_first_epoch(
    tmp_path: Path,
) -> None:
    sizes: list[int] = []

    class Noting(Curriculum):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            sizes.append(len(batch[0]))
            return super().training_step(batch, batch_idx)

    lr_find(Noting(), trainer=reloading(tmp_path, 1), repeats=2, **SWEEP)
    assert sizes == [6, 6, 6, 2, 7, 7, 6, 8] * 2
    sizes.clear()
    check_lrs(Noting(), [1e-3, 1e-2], trainer=reloading(tmp_path, 1), steps=8)
    assert len(sizes) > 8
    assert max(sizes) == 6


def test_held_out_samples_stay_out_of_later_epochs(tmp_path: Path) -> None:
    seen: list[float] = []

    class Noting(Curriculum):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if self.training and torch.is_grad_enabled():
                seen.extend(batch[0][:, 0].tolist())
            return super().training_step(batch, batch_idx)

    module = Noting()
    given = reloading(tmp_path, 1)
    records = lr_find(module, trainer=given, **SWEEP)
    x = module.train_dataloader().dataset.tensors[0]
    seen.clear()
    refine(module, records, trainer=given, planned_steps=30, budget=400, held_out=[0, 1])
    assert seen
    assert not {float(x[0, 0]), float(x[1, 0])} & set(seen)
