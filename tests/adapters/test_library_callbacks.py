"""Callbacks by which sentence-transformers and trl train: they take part in a sweep."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers.sparse_encoder.callbacks.splade_callbacks import (
    SpladeRegularizerWeightSchedulerCallback,
)
from sentence_transformers.sparse_encoder.losses import SpladeLoss
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments

from lrwidget import lr_find
from tests.adapters.case import forget_accelerate
from tests.adapters.test_loss_parameters import SETTINGS, STEPS, SWEEP, Body, Rates
from tests.restore.fingerprint import differences, fingerprint

pytestmark = pytest.mark.framework


class SyncRefModelCallback(TrainerCallback):
    """Moves the reference towards the model, as trl's callback of this name."""

    def __init__(self, reference: nn.Module) -> None:
        self.reference = reference

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step % 2 == 0:
            both = zip(self.reference.parameters(), kwargs["model"].parameters(), strict=True)
            for of_reference, of_model in both:
                of_reference.data.mul_(0.4).add_(of_model.data, alpha=0.6)


class Penalty(SpladeLoss):
    """Has the weights that sentence-transformers' scheduler raises, and no encoder."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.query_regularizer_weight = None
        self.document_regularizer_weight = 0.7


class Steps(Trainer):
    """Compares model and reference, with a penalty, and keeps the losses."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any
    ) -> torch.Tensor:
        output = model(inputs["x"])
        with torch.no_grad():
            expected = self.ref_model(inputs["x"])
        penalty = self.loss.document_regularizer_weight * output.square().mean()
        return (output - expected - inputs["labels"][:, None]).square().mean() + penalty

    def training_step(self, model: Any, inputs: Any, items: Any = None) -> torch.Tensor:
        loss = super().training_step(model, inputs, items)
        if hasattr(self, "noted"):
            self.noted.append((self.state.global_step, loss))
        return loss


def synchronised(trainer: Trainer) -> TrainerCallback:
    return SyncRefModelCallback(trainer.ref_model)


def synchronised_alone(trainer: Any) -> TrainerCallback:
    """Return a callback that holds the reference, which the Trainer only calls."""
    callback = SyncRefModelCallback(trainer.ref_model)
    trainer.ref_model = trainer.ref_model.forward
    return callback


def scheduled(trainer: Trainer) -> TrainerCallback:
    return SpladeRegularizerWeightSchedulerCallback(trainer.loss, warmup_ratio=0.9)


def made(folder: Path, kind: Any, **settings: Any) -> Any:
    forget_accelerate()
    torch.manual_seed(3)
    items = [{"x": row, "labels": row.sum()} for row in torch.randn(32, 4)]
    arguments = TrainingArguments(
        output_dir=str(folder),
        remove_unused_columns=False,
        **{**SETTINGS, "max_steps": STEPS, **settings},
    )
    trainer = Steps(Body(), arguments, train_dataset=items)
    trainer.ref_model, trainer.loss = Body().requires_grad_(False), Penalty()
    trainer.add_callback(kind(trainer))
    torch.manual_seed(5)
    return trainer


def losses_of_steps(trainer: Any, rates: list[float]) -> list[float]:
    trainer.noted = []
    trainer.add_callback(Rates(rates))
    trainer.train()
    steps: list[list[torch.Tensor]] = [[] for _ in rates]
    for step, loss in trainer.noted:
        steps[step].append(loss.detach())
    return [float(torch.stack(losses).sum()) for losses in steps]


@pytest.mark.parametrize("kind", [synchronised, scheduled])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_losses_are_those_of_a_training(tmp_path: Path, kind: Any, accumulate: int) -> None:
    settings = {"gradient_accumulation_steps": accumulate}
    records = lr_find(made(tmp_path, kind, **settings), **SWEEP)
    rates = [float(rate) for rate in records.lr]
    assert list(records.loss) == losses_of_steps(made(tmp_path, kind, **settings), rates)


@pytest.mark.parametrize("kind", [synchronised, synchronised_alone, scheduled])
def test_each_sweep_begins_anew_and_all_is_put_back(tmp_path: Path, kind: Any) -> None:
    trainer = made(tmp_path, kind)
    trainer.train_dataset = trainer.train_dataset[:1] * 32  # no order of them is another
    own = trainer.callback_handler.callbacks[-1]
    reference = getattr(own, "reference", trainer.ref_model)
    subjects = {"model": trainer.model, "reference": reference, "loss": trainer.loss}
    subjects["callback"] = vars(own)
    before = fingerprint(**subjects)
    records = lr_find(trainer, repeats=2, **SWEEP)
    assert differences(before, fingerprint(**subjects)) == []
    first, second = np.split(records.loss, 2)
    assert list(first) == list(second)
