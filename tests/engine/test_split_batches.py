"""An optimizer of Opacus only accumulates until the last part of a batch that was split."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lrwidget import TrainingTask, lr_find
from tests.nothing_left import own_folder_for_temporary_files
from tests.restore.fingerprint import differences, fingerprint
from tests.tasks import blobs, network

__all__ = ["own_folder_for_temporary_files"]

pytestmark = [pytest.mark.framework, pytest.mark.filterwarnings("ignore")]
CE = nn.CrossEntropyLoss()


def private() -> Any:
    """Return model, optimizer and a loader whose batches come in parts of 3 at most."""
    opacus = pytest.importorskip("opacus")
    from opacus.utils.batch_memory_manager import wrap_data_loader

    model = network()
    torch.manual_seed(0)
    engine = opacus.PrivacyEngine()
    model, optimizer, loader = engine.make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        data_loader=torch.utils.data.DataLoader(blobs(32), batch_size=8),
        noise_multiplier=0.5,
        max_grad_norm=1.0,
    )
    loader = wrap_data_loader(data_loader=loader, max_batch_size=3, optimizer=optimizer)
    torch.manual_seed(1)
    return model, optimizer, loader, engine


def losses_of_loop(rates: list[float]) -> list[float]:
    model, optimizer, loader, _ = private()
    rows: list[float] = []
    parts: list[float] = []
    while True:
        for x, y in loader:
            optimizer.param_groups[0]["lr"] = rates[len(rows)]
            optimizer.zero_grad()
            loss = CE(model(x), y)
            loss.backward()
            optimizer.step()
            parts.append(loss.item())
            if optimizer._is_last_step_skipped:
                continue
            rows.append(float(np.mean(parts)))
            parts.clear()
            if len(rows) == len(rates):
                return rows


@pytest.mark.parametrize("own", [False, True])
def test_the_parts_of_a_batch_are_one_row_at_one_rate(own: bool) -> None:
    model, optimizer, loader, engine = private()
    task = TrainingTask(model, optimizer, CE, loader)
    if own:
        step = lambda batch: CE(model(batch[0]), batch[1])  # noqa: E731
        task = TrainingTask(model, optimizer, data=loader, step=step)
    subjects = {"model": model, "optimizer": optimizer, "accountant": vars(engine.accountant)}
    before = fingerprint(**subjects)
    records = lr_find(task, start_lr=1e-3, end_lr=1.0, steps=10, progress=False)
    assert not differences(before, fingerprint(**subjects))
    np.testing.assert_allclose(records.loss, losses_of_loop(list(records.lr)), rtol=1e-6)
