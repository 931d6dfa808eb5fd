"""A model whose parts are in different modes is swept as it stands, as a usual loop trains it."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import TrainingTask, lr_find, refine
from tests.tasks import blobs

x, y = blobs().tensors
BATCHES = [(x[i : i + 32], y[i : i + 32]) for i in range(0, 256, 32)]
LOSS = nn.CrossEntropyLoss()
OPTIONS: dict[str, Any] = {"start_lr": 1e-3, "end_lr": 1.0, "steps": 8, "progress": False}


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(16, 4))

    def forward(self, inputs: torch.Tensor) -> Any:
        return self.head(self.body(inputs))


def all_but_the_head(model: Classifier) -> None:
    model.eval()
    model.head.train()


def only_the_body(model: Classifier) -> None:
    model.body.eval()


def all_but_head_and_norm(model: Classifier) -> None:
    model.eval()
    model.head.train()
    model.body[1].train()


def made(put: Callable[[Classifier], Any]) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = Classifier()
    put(model)
    return model


def modes(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


def optimizer_of(model: Classifier, *, head: bool = False) -> torch.optim.Optimizer:
    return torch.optim.SGD((model.head if head else model).parameters(), lr=0.1)


def looped(model: Classifier, rates: Any) -> list[float]:
    optimizer, losses = optimizer_of(model), []
    torch.manual_seed(0)
    for lr, (inputs, target) in zip(rates, BATCHES, strict=True):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        loss = LOSS(model(inputs), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.filterwarnings("ignore:the model is in eval mode")
@pytest.mark.parametrize("snapshot", ["auto", "device"])
@pytest.mark.parametrize("put", [all_but_the_head, only_the_body, all_but_head_and_norm])
def test_it_trains_as_a_loop_that_leaves_the_modes(
    put: Callable[[Classifier], Any], snapshot: Any
) -> None:
    model = made(put)
    before = modes(model)
    task = TrainingTask(
        *(model, optimizer_of(model), LOSS, BATCHES),
        val_data=BATCHES[:2],
        val_every=3,
        snapshot=snapshot,
    )
    torch.manual_seed(0)
    records = lr_find(task, **OPTIONS)
    assert records.loss.tolist() == looped(made(put), records.lr)
    assert modes(model) == before
    refine(task, records, budget=300)
    assert modes(model) == before


def test_a_warning_names_what_is_not_in_eval_mode() -> None:
    model = made(all_but_head_and_norm)
    told = r"only these are not: body\.1, head\. It is swept as it stands"
    with pytest.warns(UserWarning, match=told):
        lr_find(model, optimizer_of(model), LOSS, BATCHES, **OPTIONS)


@pytest.mark.parametrize("put", [nn.Module.eval, nn.Module.train, only_the_body])
def test_there_is_none_for_a_model_in_training_mode_or_wholly_in_eval_mode(
    put: Any,
) -> None:
    model = made(put)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lr_find(model, optimizer_of(model), LOSS, BATCHES, **OPTIONS)


def test_there_is_none_where_what_is_in_eval_mode_is_not_trained() -> None:
    model, other = made(all_but_the_head), made(all_but_the_head)
    other.body.requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lr_find(model, optimizer_of(model, head=True), LOSS, BATCHES, **OPTIONS)
        lr_find(other, optimizer_of(other), LOSS, BATCHES, **OPTIONS)
