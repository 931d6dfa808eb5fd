"""Losses on held-out data are means over samples, whatever their batches."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrwidget import LRRecords, TrainingTask, check_lrs, refine
from lrwidget.engine.sample_mean import weights_of
from tests.restore.endings import find
from tests.tasks import blobs, problem


def held_out(model: nn.Module, samples: int = 33) -> tuple[TensorDataset, float]:
    """Return data whose last sample has a large loss, and the mean loss over it."""
    x = torch.randn(samples, 8)
    x[-1] *= 30
    y = torch.arange(samples) % 4
    model.eval()
    with torch.no_grad():
        loss = float(nn.functional.cross_entropy(model(x), y))
    model.train()
    return TensorDataset(x, y), loss


def test_a_small_last_batch_does_not_weigh_as_much_as_the_others() -> None:
    model, optimizer, loss_fn, loader = problem()
    data, expected = held_out(model)
    val_data = DataLoader(data, 32)
    task = TrainingTask(model, optimizer, loss_fn, loader, val_data=val_data, val_every=2)
    assert find(task).frame.val_loss[0] == pytest.approx(expected, rel=1e-5)
    assert refine(task, LRRecords(), 300).untrained == pytest.approx(expected, rel=1e-5)
    frame = check_lrs(task, [1e-3], steps=3).frame
    assert frame.val_loss[0] == pytest.approx(expected, rel=1e-5)


def test_a_metric_is_weighted_too() -> None:
    model, optimizer, loss_fn, loader = problem()
    data, _ = held_out(model)

    def share(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (output.argmax(1) == target).float().mean()

    task = TrainingTask(
        model, optimizer, loss_fn, loader, val_data=DataLoader(data, 32), metric=share
    )
    model.eval()
    with torch.no_grad():
        expected = float(share(model(data.tensors[0]), data.tensors[1]))
    model.train()
    assert find(task, steps=2).frame.metric[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("batches", "loss_fn", "weights"),
    [
        ([torch.ones(4, 2), torch.ones(4, 2)], None, None),
        ([torch.ones(4, 2), torch.ones(1, 2)], None, [4, 1]),
        ([(torch.ones(4, 2), torch.ones(4)), (torch.ones(3, 2), torch.ones(3))], None, [4, 3]),
        ([{"x": torch.ones(2)}, {"x": torch.ones(5)}], None, [2, 5]),
        ([torch.ones(4, 2), object()], None, None),
        ([torch.ones(4, 2), torch.ones(1, 2)], nn.MSELoss(reduction="sum"), None),
    ],
)
def test_weights(batches: list[object], loss_fn: object, weights: list[int] | None) -> None:
    assert weights_of(batches, loss_fn) == weights


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (
            lambda output, target: {"accuracy": 0.5},
            r"metric returned a mapping .*expected a number",
        ),
        (lambda output, target: output.argmax(1) == target, "metric returned a Tensor; expected a"),
        (lambda output, target: None, "metric returned None; expected a number"),
    ],
)
def test_a_metric_that_is_no_number_is_named(metric: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        find(TrainingTask(*problem(), val_data=blobs(), metric=metric))


def test_a_metric_that_fails_is_told_with_what_it_was_called() -> None:
    def fails(output: Any, target: Any) -> float:
        raise ValueError("continuous-multioutput and multiclass targets")

    with pytest.raises(ValueError, match="continuous") as raised:
        find(TrainingTask(*problem(), val_data=blobs(), metric=fails))
    words = "the output a tensor float32 (32, 4) and the target a tensor int64 (32,)"
    assert words in raised.value.__notes__[0]
