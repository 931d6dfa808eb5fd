"""Schedulers of a LightningModule are there to be read and stepped; the sweep sets the rates."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import BaseFinetuning
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, TensorDataset

from lrwidget import LRRecords, check_lrs, lr_find, refine
from tests.restore.fingerprint import differences, fingerprint

pytestmark = pytest.mark.framework

torch.manual_seed(5)
X = torch.randn(32, 4)
SWEEP: dict[str, Any] = {"start_lr": 1e-3, "end_lr": 1e-1, "steps": 12, "progress": False}

SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "cosine": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 100),
    "one cycle, shorter than the sweep": lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=6),
    "warm-up": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.01), lr_scheduler.ExponentialLR(o, 0.5)], [3]
    ),
    "chained": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o, 0.1), lr_scheduler.ExponentialLR(o, 0.5)]
    ),
}


class Step(NamedTuple):
    """The rate and momentum that a step was taken with, and the rate that the scheduler told."""

    lr: float
    told: float
    momentum: float


NOTED: list[Step] = []  # not in the module, which is put back


@pytest.fixture(autouse=True)
def short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    NOTED.clear()
    monkeypatch.setattr("lrwidget.curve.search.SHORT_LENGTH", 3)


class Scheduled(pl.LightningModule):
    """Steps its scheduler itself in manual optimization, and otherwise reads it."""

    def __init__(self, kind: str, by_hand: bool = False) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Linear(4, 1)
        self.kind = kind
        self.automatic_optimization = not by_hand

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        x, y = batch
        loss = nn.functional.mse_loss(self.net(x), y)
        scheduler: Any = self.lr_schedulers()
        if not self.automatic_optimization:
            optimizer: Any = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            scheduler.step()  # before the optimizer, which must not see it
            optimizer.step()
        group = self.trainer.optimizers[0].param_groups[0]
        NOTED.append(Step(group["lr"], scheduler.get_last_lr()[0], group["momentum"]))
        assert self.trainer.lr_scheduler_configs[0].scheduler is scheduler
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), 0.01, momentum=0.8)
        scheduler = SCHEDULERS[self.kind](optimizer)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    def train_dataloader(self) -> Any:
        return DataLoader(TensorDataset(X, X.sum(1, keepdim=True)), 8)


def trainer(folder: Path, **given: Any) -> Any:
    return pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **given,
    )


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("kind", SCHEDULERS)
def test_a_scheduler_may_be_read_and_stepped_and_does_not_set_the_rate(
    kind: str, by_hand: bool, folder: Path
) -> None:
    one = Scheduled(kind, by_hand)
    before = fingerprint(module=one)
    records = lr_find(one, trainer=trainer(folder), **SWEEP)
    # A sweep may read a step more than it records.
    assert [step.lr for step in NOTED][: len(records)] == pytest.approx(list(records.lr), rel=1e-6)
    assert len({step.momentum for step in NOTED}) == 1
    assert differences(before, fingerprint(module=one)) == []


def test_a_scheduler_that_is_stepped_tells_what_it_would_in_training(folder: Path) -> None:
    trainer(folder, max_epochs=3).fit(Scheduled("warm-up", by_hand=True))
    expected = [step.told for step in NOTED]
    NOTED.clear()
    lr_find(Scheduled("warm-up", by_hand=True), trainer=trainer(folder), **SWEEP)
    assert [step.told for step in NOTED][:12] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("by_hand", [False, True])
def test_trials_and_checks_have_schedulers_too(by_hand: bool, folder: Path) -> None:
    class Judged(Scheduled):
        def validation_step(self, batch: Any, index: int) -> Any:
            return nn.functional.mse_loss(self.net(batch[0]), batch[1])

    one = Judged("one cycle, shorter than the sweep", by_hand)
    assert refine(one, LRRecords(), 10, trainer=trainer(folder)).stop_reason == "finished"
    assert check_lrs(one, [1e-3, 1e-2], 3, trainer=trainer(folder)).best in (1e-3, 1e-2)


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_scheduler_of_the_users_own_is_as_before(by_hand: bool, folder: Path) -> None:
    class Own(Scheduled):
        def __init__(self) -> None:
            super().__init__("cosine", by_hand)
            self.optimizer = torch.optim.SGD(self.parameters(), 0.01)
            self.scheduler = lr_scheduler.ReduceLROnPlateau(self.optimizer, patience=0)

        def training_step(self, batch: Any, index: int) -> Any:
            self.scheduler.step(float(index))
            assert self.lr_schedulers() is self.scheduler
            loss = nn.functional.mse_loss(self.net(batch[0]), batch[1])
            if by_hand:
                optimizer: Any = self.optimizers()
                optimizer.zero_grad()
                self.manual_backward(loss)
                optimizer.step()
            return loss

        def configure_optimizers(self) -> Any:
            scheduler = {"scheduler": self.scheduler, "monitor": "loss"}
            return {"optimizer": self.optimizer, "lr_scheduler": scheduler}

    one = Own()
    state, rate = dict(one.scheduler.state_dict()), one.optimizer.param_groups[0]["lr"]
    lr_find(one, trainer=trainer(folder), **SWEEP)
    assert one.scheduler.state_dict() == state
    assert one.optimizer.param_groups[0]["lr"] == rate
    assert "step" not in vars(one.scheduler)


def test_a_callback_that_freezes_layers_is_warned_of(folder: Path) -> None:
    class Freezes(BaseFinetuning):
        def freeze_before_training(self, pl_module: Any) -> None:
            self.freeze(pl_module.net)

        def finetune_function(self, *_: Any) -> None:
            pass

    with pytest.warns(UserWarning, match=r"Freezes of the Trainer takes no part.*requires_grad"):
        lr_find(Scheduled("cosine"), trainer=trainer(folder, callbacks=[Freezes()]), **SWEEP)
