"""Models whose `train` and `eval` do more than set flags are switched as a usual loop does."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import TrainingTask, lr_find
from tests.restore.fingerprint import differences, fingerprint
from tests.tasks import blobs, network

OPTIONS: dict[str, Any] = {"start_lr": 1e-3, "end_lr": 1.0, "steps": 12, "progress": False}
PLACES = pytest.mark.parametrize("snapshot", ["auto", "device"])
LOSS = nn.CrossEntropyLoss()


def batches() -> list[Any]:
    x, y = blobs().tensors
    return [(x[i : i + 32], y[i : i + 32]) for i in range(0, 256, 32)]


def keep_frozen(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eval()
            module.weight.requires_grad = False


class Frozen(nn.Sequential):
    """Keeps its norms in eval mode, as detection models do."""

    def train(self, mode: bool = True) -> "Frozen":
        super().train(mode)
        keep_frozen(self)
        return self


class AllArguments(nn.Sequential):
    def train(self, *args: Any, **kwargs: Any) -> "AllArguments":
        super().train(*args, **kwargs)
        keep_frozen(self)
        return self


def of_its_class() -> nn.Module:
    return Frozen(*network(normalised=True))


def of_all_arguments() -> nn.Module:
    return AllArguments(*network(normalised=True))


def in_a_part() -> nn.Module:
    inner = list(network(normalised=True))
    return nn.Sequential(nn.Sequential(Frozen(*inner[:3])), *inner[3:])


def on_the_object() -> nn.Module:
    model = network(normalised=True)

    def train(mode: bool = True) -> nn.Module:
        nn.Module.train(model, mode)
        keep_frozen(model)
        return model

    model.train = train  # type: ignore[method-assign]
    return model


def looped(model: nn.Module, rates: Any, validate: int = 0) -> list[float]:
    """Train in a usual loop; with `validate`, measure every so many steps in eval mode."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data, losses = batches(), []
    torch.manual_seed(0)
    model.train()
    for number, lr in enumerate(rates):
        if validate and number % validate == 0:
            model.eval()
            with torch.no_grad():
                model(data[0][0])
            model.train()
        x, y = data[number % len(data)]
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        loss = LOSS(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def swept(model: nn.Module, **options: Any) -> Any:
    """Sweep, and check that the model is as before."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    task = TrainingTask(model, optimizer, LOSS, batches(), **options)
    before = fingerprint(model=model, optimizer=optimizer)
    records = lr_find(task, seed=0, **OPTIONS)
    assert not differences(before, fingerprint(model=model, optimizer=optimizer))
    return records


@PLACES
@pytest.mark.parametrize("make", [of_its_class, of_all_arguments, in_a_part, on_the_object])
def test_a_train_of_its_own_is_called_first(make: Callable[[], nn.Module], snapshot: Any) -> None:
    records = swept(make(), snapshot=snapshot)
    assert list(records.loss) == looped(make(), records.lr)


@PLACES
def test_what_the_user_has_put_in_eval_mode_stays_in_it(snapshot: Any) -> None:
    modes: list[list[bool]] = []

    class Watched(Frozen):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            modes.append([module.training for module in self])
            return super().forward(x)

    model = Watched(*network(normalised=True))
    model[2].eval()  # dropout
    swept(model, snapshot=snapshot, val_data=batches()[:1], val_every=4)
    training = [one for one in modes if any(one)]
    assert len(training) >= 12
    assert all(one == [True, False, False, True, True] for one in training)


def test_a_method_train_that_trains_is_not_called() -> None:
    class Fits(nn.Sequential):
        def train(self, data: Any = None, epochs: int = 3) -> "Fits":  # type: ignore[override]
            raise AssertionError("called")

    plain = network()
    plain.train = False  # type: ignore[assignment, method-assign]
    assert len(swept(plain)) == 12
    assert len(swept(Fits(*network()))) == 12
    assert len(swept(nn.Sequential(Fits(*network())))) == 12
