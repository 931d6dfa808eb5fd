"""Batches that are read once and measured on again and again stay as they were."""

from collections import UserDict
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lrwidget import TrainingTask, lr_find, refine
from tests.tasks import blobs

X, Y = blobs().tensors
LOSS = nn.CrossEntropyLoss()
PLACES = pytest.mark.parametrize("snapshot", ["auto", "device"])
# So low that the validation loss is the same at all of them.
OPTIONS: dict[str, Any] = {"start_lr": 1e-12, "end_lr": 1e-11, "steps": 7, "progress": False}


class Scaling(nn.Linear):
    """Normalizes its inputs in place."""

    def __init__(self, *, in_place: bool = True) -> None:
        torch.manual_seed(0)
        super().__init__(8, 4)
        self.in_place = in_place

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.sub_(1).div_(3) if self.in_place else (x - 1) / 3
        return super().forward(x)


class Encoding(UserDict):  # type: ignore[type-arg]
    def to(self, device: Any) -> "Encoding":
        self.data = {name: value.to(device) for name, value in self.data.items()}
        return self


class Taking(nn.Module):
    """Computes its own loss, and takes the labels out of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Scaling()

    def forward(self, batch: Any) -> torch.Tensor:
        return LOSS(self.inner(batch["x"]), batch.pop("labels"))


def parts(size: int = 32) -> list[Any]:
    return [(X[i : i + size].clone(), Y[i : i + size].clone()) for i in range(0, 256, size)]


def fresh() -> Any:
    """Yield new batches without end."""
    while True:
        yield from parts()


def measured(model: nn.Module, val_data: Any, **options: Any) -> list[float]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    options.setdefault("loss_fn", LOSS)
    options.setdefault("data", fresh())
    task = TrainingTask(model, optimizer, val_data=val_data, val_every=2, **options)
    return list(lr_find(task, **OPTIONS).frame.val_loss.dropna())


@PLACES
@pytest.mark.parametrize("form", [list, tuple])
def test_a_model_that_writes_to_its_inputs(form: type, snapshot: Any) -> None:
    val_data = [form(pair) for pair in parts()[:2]]
    losses = measured(Scaling(), val_data, snapshot=snapshot)
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-6)
    assert losses == pytest.approx(measured(Scaling(in_place=False), parts()[:2]), rel=1e-6)
    assert torch.equal(val_data[1][0], X[32:64])


def test_a_model_that_takes_its_labels_out_of_the_batch() -> None:
    def encoded() -> Any:
        return ({"x": x, "labels": y} for x, y in fresh())

    pairs = parts()[:2]
    val_data = [Encoding(x=x, labels=y) for x, y in pairs]
    losses = measured(Taking(), val_data, data=encoded(), loss_fn=None)
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-6)
    assert all(set(batch) == {"x", "labels"} for batch in val_data)


def test_an_evaluate_of_its_own_that_writes_to_arrays() -> None:
    model = Scaling(in_place=False)
    val_data = [{"x": x.numpy().copy(), "y": y} for x, y in parts()[:2]]

    def evaluate(batch: Any) -> torch.Tensor:
        batch["x"] *= 2
        return LOSS(model(torch.from_numpy(batch["x"])), batch["y"])

    losses = measured(model, val_data, evaluate=evaluate)
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-6)
    assert np.array_equal(val_data[0]["x"], X[:32].numpy())


def test_batches_that_nothing_writes_to_are_copied_only_once() -> None:
    places: list[int] = []

    class Watched(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not self.training:
                places.append(x.data_ptr())
            return super().forward(x)

    val_data = parts()[:2]
    measured(Watched(8, 4), val_data, val_batches=2)
    own = [x.data_ptr() for x, _ in val_data]
    assert places[2:] == own * 3
    assert not set(places[:2]) & set(own)


def test_trials_are_judged_by_the_same_samples() -> None:
    def losses(in_place: bool) -> Any:
        model = Scaling(in_place=in_place)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        data = torch.utils.data.DataLoader(blobs(), batch_size=32)
        torch.manual_seed(0)
        result = refine(TrainingTask(model, optimizer, LOSS, data), budget=400)
        return [result.untrained, *result.summary.held_out_loss]

    assert losses(True) == pytest.approx(losses(False), rel=1e-6)
