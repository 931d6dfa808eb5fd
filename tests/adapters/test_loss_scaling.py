"""Through the adapters: float16 with a loss scaler, whose state is bit for bit as before.

torch scales losses on the CPU as well. The frameworks do not: Lightning takes bfloat16 there,
Accelerate and with it Transformers make no scaler, fastai's is for CUDA. So each is given one,
where it keeps its own. skorch has no precision of its own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.adapters.case import Case, loss_scaler, make, scale_losses_on_the_cpu
from tests.restore.endings import STEPS, find
from tests.restore.fingerprint import differences, fingerprint


def lightning(folder: Path) -> tuple[Case, Any]:
    from lightning.pytorch.plugins import MixedPrecision

    scaler = loss_scaler()
    plugin = MixedPrecision("16-mixed", "cpu", scaler)
    return make("lightning", folder, plugins=[plugin]), scaler


def transformers(folder: Path) -> tuple[Case, Any]:
    case = make("transformers", folder, fp16=True)
    accelerator = case.arguments[0].accelerator
    scale_losses_on_the_cpu(accelerator)
    return case, accelerator.scaler


def accelerate(folder: Path) -> tuple[Case, Any]:
    case = make("accelerate", folder, mixed_precision="fp16")
    return case, case.arguments[1].scaler


def fastai(folder: Path) -> tuple[Case, None]:
    """Make a Learner, which has a scaler only during a fit."""
    from fastai.callback.fp16 import MixedPrecision

    class OnTheCpu(MixedPrecision):
        def before_fit(self) -> None:
            super().before_fit()
            self.autocast = torch.autocast("cpu", dtype=torch.float16)
            self.learn.scaler = loss_scaler()

        def after_cancel_fit(self) -> None:
            """The case ends its own training before a batch, where fastai leaves autocast on."""
            self.autocast.__exit__(None, None, None)

    return make("fastai", folder, callbacks=lambda: [OnTheCpu()]), None


@contextmanager
def noted_scales(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Record the scale after each update of any scaler in the block."""
    scales: list[float] = []
    update = torch.amp.GradScaler.update

    def noting(self: Any, *arguments: Any) -> None:
        update(self, *arguments)
        scales.append(self.get_scale())

    with monkeypatch.context() as spied:
        spied.setattr(torch.amp.GradScaler, "update", noting)
        yield scales


@pytest.mark.parametrize("make_scaled", [lightning, transformers, accelerate, fastai])
def test_a_loss_scaler_works_in_the_sweep_and_is_as_before(
    make_scaled: Callable[[Path], tuple[Case, Any]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, scaler = make_scaled(folder)
    if scaler is not None:  # the state after a training
        scaler.scale(torch.ones(1))
        scaler._growth_tracker.fill_(1)
    task = case.task()
    own = SimpleNamespace(scaler=scaler)
    before = fingerprint(**case.subjects(), own=own)
    with noted_scales(monkeypatch) as scales:
        records = find(task)
    assert differences(before, fingerprint(**case.subjects(), own=own)) == []
    assert records.meta["skipped_by_scaler"]
    assert scales[0] == 2.0**23
    if make_scaled is fastai:
        # Clipping gradients that are summed over batches, it finds infinite ones at every scale
        # from the second step on, in its own training as well.
        assert records.stop_reason == "non-finite"
        with noted_scales(monkeypatch) as trained:
            make_scaled(folder)[0].train([records.lr[0]] * len(scales))
        assert scales == trained
    else:
        assert records.stop_reason == "finished"
        assert len(records) == STEPS
        assert scales[-1] > min(scales)  # it grew again
