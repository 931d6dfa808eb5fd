"""Models whose `train` and `eval` do more than set flags are switched as a usual loop does."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import TrainingTask, lr_find, refine
from tests.nothing_left import own_folder_for_temporary_files
from tests.restore.fingerprint import differences, fingerprint
from tests.tasks import blobs, network

__all__ = ["own_folder_for_temporary_files"]

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


class Merging(nn.Linear):
    """A low-rank layer that merges its product into the weight in eval mode."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.a = nn.Parameter(torch.randn(4, inputs) * 0.1)
        self.b = nn.Parameter(torch.randn(outputs, 4) * 0.1)
        self.weight.requires_grad = False
        self.merged = False

    def train(self, mode: bool = True) -> "Merging":
        super().train(mode)
        if mode == self.merged:
            product = self.b @ self.a
            self.weight.data += -product if mode else product
            self.merged = not mode
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output = super().forward(x)
        return output if self.merged else output + x @ self.a.T @ self.b.T


class Averaged(nn.Sequential):
    """Has averaged weights in eval mode: put in by `eval`, taken out by `train`."""

    mean: Any = None
    kept: Any = None

    def eval(self) -> "Averaged":
        if self.training and self.mean is not None:
            self.kept = [p.detach().clone() for p in self.parameters()]
            self._put_in(self.mean)
        return super().train(mode=False)

    def train(self, mode: bool = True) -> "Averaged":
        if mode and self.kept is not None:
            self._put_in(self.kept)
            self.kept = None
        return super().train(mode)

    def _put_in(self, values: Any) -> None:
        for parameter, value in zip(self.parameters(), values, strict=True):
            parameter.data.copy_(value)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            now = [p.detach().clone() for p in self.parameters()]
            old = self.mean or now
            self.mean = [0.9 * a + 0.1 * b for a, b in zip(old, now, strict=True)]
        return super().forward(x)


def merging() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Sequential(Merging(8, 16)), nn.ReLU(), Merging(16, 4))


def averaged() -> nn.Module:
    return Averaged(*network())


def part_averaged() -> nn.Module:
    layers = list(network())
    return nn.Sequential(Averaged(*layers[:1]), *layers[1:])


def merging_on_the_object() -> nn.Module:
    model = network()
    own: dict[str, Any] = {"merged": False}
    extra = torch.full_like(model[0].weight, 0.05)

    def train(mode: bool = True) -> nn.Module:
        nn.Module.train(model, mode)
        if mode == own["merged"]:
            model[0].weight.data += -extra if mode else extra
            own["merged"] = not mode
        return model

    model.train = train  # type: ignore[method-assign]
    return model


@PLACES
@pytest.mark.parametrize("make", [merging, averaged, part_averaged, merging_on_the_object])
def test_after_validation_it_goes_back_by_train(
    make: Callable[[], nn.Module], snapshot: Any
) -> None:
    records = swept(make(), snapshot=snapshot, val_data=batches()[:1], val_every=3)
    assert list(records.loss) == looped(make(), records.lr, validate=3)


def test_what_was_in_eval_mode_is_so_after_validation_too() -> None:
    states: list[tuple[bool, bool]] = []

    class Watched(Merging):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if torch.is_grad_enabled():
                states.append((self.training, self.merged))
            return super().forward(x)

    model = nn.Sequential(nn.Linear(8, 8), Watched(8, 4))
    model[1].eval()
    swept(model, val_data=batches()[:1], val_every=3)
    assert states == [(False, True)] * 12


@PLACES
def test_a_part_is_switched_once_though_what_it_is_in_is_in_eval_mode(snapshot: Any) -> None:
    switched: list[bool] = []

    class Noting(nn.Linear):
        def train(self, mode: bool = True) -> "Noting":
            switched.append(mode)
            return super().train(mode)

    model = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.Dropout(), Noting(8, 4)))
    model[1].eval()
    model[1][1].train()
    switched.clear()
    swept(model, snapshot=snapshot, val_data=batches()[:1], val_every=4)
    assert switched == [True, *([False, True] * 3)]


@pytest.mark.parametrize("make", [merging, averaged, part_averaged])
def test_trials_go_on_from_what_was_trained(make: Callable[[], nn.Module]) -> None:
    model = make()
    swapped: list[bool] = []

    def watch(module: nn.Module, _: Any) -> None:
        parts = [m for m in module.modules() if isinstance(m, Merging | Averaged)]
        if module.training:
            swapped.extend(bool(vars(m).get("merged") or vars(m).get("kept")) for m in parts)

    model.register_forward_pre_hook(watch)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    before = fingerprint(model=model, optimizer=optimizer)
    result = refine(TrainingTask(model, optimizer, LOSS, batches()), budget=400)
    assert len(result.trials) >= 3
    assert swapped
    assert not any(swapped)
    assert not differences(before, fingerprint(model=model, optimizer=optimizer))
