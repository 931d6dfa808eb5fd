"""The Python source of a swept optimizer constructs the same optimizer."""

import json
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import TrainingTask
from lrwidget.engine.meta import meta_of
from lrwidget.engine.optimizer_code import optimizer_code
from lrwidget.task.options import SweepOptions
from tests.tasks import problem


def meta(make: Any, **settings: Any) -> dict[str, Any]:
    """Return the meta of a sweep of the optimizer, as read from a file."""
    return json.loads(json.dumps(meta_of(TrainingTask(*problem(make, **settings)), SweepOptions())))


@pytest.mark.parametrize(
    ("make", "settings", "momentum"),
    [
        (torch.optim.SGD, {}, None),
        (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}, "momentum"),
        (torch.optim.Adam, {}, "betas"),
        (torch.optim.AdamW, {"betas": (0.8, 0.95), "weight_decay": 0.1}, "betas"),
        (torch.optim.Adagrad, {"lr_decay": 0.1}, None),
        (torch.optim.RMSprop, {"momentum": 0.5, "centered": True}, "momentum"),
    ],
)
def test_what_is_written_makes_the_same_optimizer(
    make: Any, settings: dict[str, Any], momentum: str | None
) -> None:
    found = optimizer_code(meta(make, **settings))
    assert found is not None
    assert found["momentum"] == momentum
    weights = [nn.Parameter(torch.ones(1))]
    again = eval(
        f"{found['name']}(weights, lr=1e-3, {found['arguments']})",
        {"torch": torch, "weights": weights},
    )
    assert again.defaults == make(weights, lr=1e-3, **settings).defaults
    # Arguments at their defaults are left out.
    assert found["arguments"].count("=") == len(settings)


def test_an_optimizer_of_another_library_has_none() -> None:
    class Adam(torch.optim.Adam):
        pass

    assert optimizer_code(meta(Adam)) is None
    assert optimizer_code({}) is None
    assert optimizer_code({"optimizer": "Adam", "optimizer_class": "os.system"}) is None
    assert optimizer_code({"optimizer_class": "torch.optim.lr_scheduler"}) is None
    assert optimizer_code({"optimizer_class": "torch.optim.Adam", "optimizer_settings": 5}) is None
