"""What the hooks at the beginning of Lightning's `fit` do is done in a sweep, and undone after."""

import argparse
import copy
import random
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from lrwidget import lr_find, refine
from lrwidget.adapters.lightning import LightningTask
from tests.adapters.test_lightning_steps import SWEEP, Keeper, trainer
from tests.restore.fingerprint import differences, fingerprint

pytestmark = pytest.mark.framework

X = torch.randn(20, 4, generator=torch.Generator().manual_seed(1))
STARTS = {"epochs": 0}


class Ordered(Dataset[Any]):
    """Samples in an order that a module may change."""

    def __init__(self) -> None:
        self.order = list(range(len(X)))

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> Any:
        x = X[self.order[index]]
        return x, x.sum(0, keepdim=True)


class Memory:
    """Some inputs, in an object that is no module."""

    def __init__(self) -> None:
        self.inputs: list[torch.Tensor] = []


class Module(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 1))
        self.memory = Memory()
        self.config = argparse.Namespace(lr=0.1, seen=[])
        torch.manual_seed(4)
        random.seed(4)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        return nn.functional.mse_loss(self.net(x), y)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class FillsMemory(Module):
    def on_fit_start(self) -> None:
        self.memory.inputs += [torch.randn(4) for _ in range(3)]

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.memory.inputs.append(batch[0][0])
        old = random.choice(self.memory.inputs)
        return super().training_step(batch, batch_idx) + self.net(old.expand(2, 4)).mean()


class WritesConfig(Module):
    def setup(self, stage: str) -> None:
        self.config.seen.append(stage)

    def configure_optimizers(self) -> Any:
        self.config.lr = 0.2
        return super().configure_optimizers()


class SetsWeights(Module):
    def on_fit_start(self) -> None:
        nn.init.normal_(self.net[0].weight)

    def on_train_start(self) -> None:
        nn.init.normal_(self.net[3].weight)
        self.net[1].running_mean.fill_(0.5)


class DrawsNoise(Module):
    def on_train_start(self) -> None:
        self.noise = torch.randn(1, 4)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        return super().training_step((x + self.noise, y), batch_idx)


class Shuffles(Module):
    def on_train_epoch_start(self) -> None:
        random.shuffle(self.trainer.train_dataloader.dataset.order)


class Counts(Module):
    def on_train_epoch_start(self) -> None:
        STARTS["epochs"] += 1

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step(batch, batch_idx) * STARTS["epochs"]


class Averages(Module):
    """Begins an average of the weights where there is none yet, and freezes a layer."""

    def on_train_start(self) -> None:
        if not hasattr(self, "average"):
            self.average = copy.deepcopy(self.net).requires_grad_(False)
        self.net[0].requires_grad_(False)
        self.net[1].eval()

    def on_train_batch_end(self, *_: Any) -> None:
        for kept, now in zip(self.average.parameters(), self.net.parameters(), strict=True):
            kept.lerp_(now.detach(), 0.5)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step(batch, batch_idx) + self.average(batch[0]).square().mean()


MODULES = (FillsMemory, WritesConfig, SetsWeights, DrawsNoise, Shuffles, Counts, Averages)


def state(module: Any, data: Any) -> dict[str, Any]:
    return fingerprint(
        module=module,
        memory=vars(module.memory),
        config=vars(module.config),
        order=data.dataset.order,
        starts=STARTS,
    )


def loader() -> Any:
    return DataLoader(Ordered(), batch_size=4)


@pytest.mark.parametrize("kind", MODULES)
def test_losses_are_those_of_a_fit_and_all_is_as_before(kind: Any) -> None:
    STARTS["epochs"] = 0
    module, data = kind(), loader()
    before = state(module, data)
    records = lr_find(module, trainer=trainer(), data=data, **SWEEP)
    assert differences(before, state(module, data)) == []
    keeper = Keeper(list(records.lr), 1)
    trainer(1, keeper).fit(kind(), loader())
    assert list(records.loss) == keeper.rows


@pytest.mark.parametrize("kind", [Shuffles, Averages])
def test_trials_begin_as_a_fit_and_all_is_as_before(kind: Any) -> None:
    module, data = kind(), loader()
    held_out = DataLoader(TensorDataset(X, X.sum(1, keepdim=True)), batch_size=10)
    before = state(module, data)
    task = LightningTask(module, trainer(), data)
    records = lr_find(task, **SWEEP)
    found = refine(task, records, budget=190, held_out=held_out)
    assert differences(before, state(module, data)) == []
    first = found.frame[found.frame.step == 1].dropna(subset=["loss"])
    assert len(first) >= 3
    assert first.loss.nunique() == 1


def test_what_a_datamodule_holds_is_as_before() -> None:
    class Noted(pl.LightningDataModule):
        def __init__(self) -> None:
            super().__init__()
            self.calls: dict[str, int] = {}
            self.memory = Memory()

        def setup(self, stage: str) -> None:
            self.calls["setup"] = 1
            self.memory.inputs.append(X[0])

        def train_dataloader(self) -> Any:
            return loader()

        def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            self.calls["batches"] = self.calls.get("batches", 0) + 1
            x, y = batch
            return x * (1 + 0.1 * self.calls["batches"]), y

    module, datamodule = Module(), Noted()
    before = fingerprint(
        module=module, calls=datamodule.calls, held=vars(datamodule.memory), of=vars(datamodule)
    )
    records = lr_find(module, trainer=trainer(), datamodule=datamodule, repeats=2, **SWEEP)
    after = fingerprint(
        module=module, calls=datamodule.calls, held=vars(datamodule.memory), of=vars(datamodule)
    )
    assert differences(before, after) == []
    first = records.loss.reshape(2, -1)
    assert first[0].tolist() == first[1].tolist()


class LoadsItself(Module):
    """Has a loader of its own, which shuffles with a generator of its own in a worker."""

    def __init__(self, workers: int = 0) -> None:
        super().__init__()
        self.order = torch.Generator().manual_seed(2)
        self.workers = workers
        self.data: Any = TensorDataset(X, X.sum(1, keepdim=True))

    def train_dataloader(self) -> Any:
        return DataLoader(
            self.data,
            batch_size=4,
            shuffle=True,
            generator=self.order,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
        )


class AsksInSetup(LoadsItself):
    def setup(self, stage: str) -> None:
        self.trainer.fit_loop.setup_data()
        self.batches = self.trainer.num_training_batches

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step(batch, batch_idx) / self.batches


class AsksForScheduler(LoadsItself):
    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        self.trainer.fit_loop.setup_data()
        steps = 50 * len(self.trainer.train_dataloader)
        return [optimizer], [torch.optim.lr_scheduler.LinearLR(optimizer, total_iters=steps)]


class SplitsAtTheStart(LoadsItself):
    def on_fit_start(self) -> None:
        self.data, _ = torch.utils.data.random_split(self.data, [16, 4])


@pytest.mark.parametrize("kind", [AsksInSetup, AsksForScheduler, SplitsAtTheStart])
@pytest.mark.parametrize("workers", [0, 1])
def test_loaders_are_requested_where_fit_does_or_a_hook_asks(kind: Any, workers: int) -> None:
    module = kind(workers)
    before = fingerprint(module=module)
    records = lr_find(module, trainer=trainer(), **SWEEP)
    assert differences(before, fingerprint(module=module)) == []
    own, keeper = kind(workers), Keeper(list(records.lr), 1)
    trainer(1, keeper).fit(own)
    assert list(records.loss) == keeper.rows
