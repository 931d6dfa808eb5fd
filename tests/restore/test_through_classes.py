"""What a step reaches through methods, classes, modules and hooks is put back as what it names."""

import functools
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lrwidget import LRRecords, TrainingTask, check_lrs, lr_find, refine
from lrwidget.restore.warned_of import warnings_of
from tests.tasks import blobs, network

ce = nn.CrossEntropyLoss()
x, y = blobs().tensors
BATCHES = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 256, 16)]

calls = 0
bank = torch.zeros(1)
teacher = nn.Linear(1, 1).requires_grad_(False)
other = nn.Linear(1, 1)
held = {"calls": 0}
settings = types.ModuleType("settings_of_a_user")


class Counts:
    """Changes what only its methods name."""

    total = 0

    def __call__(self) -> None:
        global calls
        calls += 1
        held["calls"] += 1
        bank.add_(1)
        teacher.weight.mul_(0.9)
        Counts.total += 1

    def show(self) -> Any:
        return other.weight

    @property
    def read(self) -> None:
        self()

    @functools.cached_property
    def once(self) -> None:
        self()

    @staticmethod
    def still() -> None:
        counts()

    @classmethod
    def of_class(cls) -> None:
        cls.total += 1


class Config:
    steps = 0
    average = torch.zeros(1)
    rates = {"beta": 1.0}  # noqa: RUF012 - as users write it
    counts = Counts()


class Behind:
    """An object that holds another."""

    def __init__(self, other: Any) -> None:
        self.other = other

    def __call__(self) -> None:
        self.other()


class Beside(nn.Module):
    def forward(self) -> None:
        counts()


counts, beside, behind = Counts(), Beside(), Behind(Behind(Behind(Behind(Counts()))))


def sets_a_class() -> None:
    Config.steps += 1
    Config.average.add_(1)
    Config.rates["beta"] *= 0.9


def sets_a_module() -> None:
    settings.steps += 1
    settings.new = 1


def local_class() -> Callable[[], None]:
    def do() -> None:
        Local.steps += 1
        Local.average.add_(1)

    return do


class Local:
    steps = 0
    average = torch.zeros(1)


CHANGES: dict[str, Callable[[], Any]] = {
    "an object's method": lambda: counts(),
    "a property": lambda: counts.read,
    "a property that is kept": lambda: Counts().once,
    "a static method": lambda: Counts.still(),
    "a class method": lambda: Counts.of_class(),
    "an object made in the step": lambda: Counts()(),
    "an object in a class": lambda: Config.counts(),
    "an object behind four others": lambda: behind(),
    "a module beside the model": lambda: beside(),
    "a class": sets_a_class,
    "a class in a closure": local_class(),
    "a module": sets_a_module,
}


def state() -> Any:
    return [
        *(calls, dict(held), bank.item(), teacher.weight.item(), Counts.total),
        *(Config.steps, Config.average.item(), dict(Config.rates), vars(settings).get("new")),
        *(Local.steps, Local.average.item(), settings.steps),
    ]


def note(seen: list[Any]) -> None:
    """Note the state, without a name by which a step that calls this would reach it."""
    seen.append(globals()["sta" + "te"]())


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    global calls
    yield
    calls = held["calls"] = Counts.total = Config.steps = Local.steps = 0
    for tensor in (bank, Config.average, Local.average):
        tensor.zero_()
    Config.rates["beta"] = 1.0


settings.steps = 0  # type: ignore[attr-defined]


def in_step(change: Callable[[], Any], seen: list[Any]) -> TrainingTask:
    model = network()

    def step(batch: Any) -> Any:
        note(seen)
        change()
        return ce(model(batch[0]), batch[1])

    evaluate = lambda batch: ce(model(batch[0]), batch[1])  # noqa: E731
    return TrainingTask(model, torch.optim.SGD, data=BATCHES, step=step, evaluate=evaluate)


def in_loss(change: Callable[[], Any], seen: list[Any]) -> TrainingTask:
    model = network()

    def loss_fn(output: torch.Tensor, target: torch.Tensor) -> Any:
        if model.training:
            note(seen)
        change()
        return ce(output, target)

    return TrainingTask(model, torch.optim.SGD, loss_fn, BATCHES, snapshot="device")


class Held(nn.Module):
    """A model that holds an object whose class does the change."""

    def __init__(self, change: Callable[[], Any], seen: list[Any]) -> None:
        super().__init__()
        self.net = network()

        class Inner:
            def __call__(self, training: bool) -> None:
                if training:
                    note(seen)
                change()

        self.inner = [Inner()]

    def forward(self, inputs: torch.Tensor) -> Any:
        self.inner[0](self.training)
        return self.net(inputs)


def in_model(change: Callable[[], Any], seen: list[Any]) -> TrainingTask:
    return TrainingTask(Held(change, seen), torch.optim.SGD, ce, BATCHES)


def in_hook_of_model(change: Callable[[], Any], seen: list[Any]) -> TrainingTask:
    model = network()

    class Hook:
        def __call__(self, module: nn.Module, *_: Any) -> None:
            if module.training:
                note(seen)
            change()

    model.register_forward_hook(Hook())
    return TrainingTask(model, torch.optim.SGD, ce, BATCHES)


def in_hook_of_weight(change: Callable[[], Any], seen: list[Any]) -> TrainingTask:
    model = network()

    def hook(_: Any) -> None:
        note(seen)
        change()

    model[0].weight.register_hook(hook)
    return TrainingTask(model, torch.optim.SGD, ce, BATCHES)


def in_hook_after_gradient(change: Callable[[], Any], seen: list[Any]) -> TrainingTask:
    model = network()

    def hook(_: Any) -> None:
        note(seen)
        change()

    model[0].bias.register_post_accumulate_grad_hook(hook)
    return TrainingTask(model, torch.optim.SGD, ce, BATCHES)


def in_hook_of_optimizer(change: Callable[[], Any], seen: list[Any]) -> TrainingTask:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def hook(*_: Any) -> None:
        note(seen)
        change()

    optimizer.register_step_post_hook(hook)
    return TrainingTask(model, optimizer, ce, BATCHES)


def in_collation(change: Callable[[], Any], seen: list[Any]) -> TrainingTask:
    def collated(samples: list[Any]) -> Any:
        note(seen)
        change()
        return torch.utils.data.default_collate(samples)

    return TrainingTask(
        network(), torch.optim.SGD, ce, DataLoader(blobs(), 16, collate_fn=collated)
    )


PLACES = {
    made.__name__: made
    for made in (
        *(in_step, in_loss, in_model, in_hook_of_model, in_hook_of_weight),
        *(in_hook_after_gradient, in_hook_of_optimizer),
    )
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_it_is_as_before_and_each_trial_begins_so(place: Any, change: Any) -> None:
    seen: list[Any] = []
    task, before = place(change, seen), state()
    lr_find(task, steps=4, progress=False)
    assert seen[0] == before != seen[3]
    assert state() == before
    seen.clear()
    check_lrs(task, [1e-3, 2e-3], 3)
    assert state() == seen[0] == seen[3] == before
    result = refine(task, LRRecords(), budget=180)
    assert state() == before
    assert seen.count(before) >= 2 + len(result.trials)


@pytest.mark.parametrize("change", [counts, sets_a_class, sets_a_module])
def test_so_is_what_a_collation_changes_but_for_models(change: Any) -> None:
    besides = lambda it: [*it[:3], *it[4:]]  # noqa: E731 - without the weight of the teacher
    seen: list[Any] = []
    task, before = in_collation(change, seen), state()
    lr_find(task, steps=4, progress=False)
    assert besides(seen[3]) != besides(seen[0]) == besides(before) == besides(state())
    seen.clear()
    check_lrs(task, [1e-3, 2e-3], 4)
    assert besides(seen[0]) == besides(before) == besides(state())


class Drawn(Dataset[Any]):
    drawn = 0

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Any:
        Drawn.drawn += 1
        return x[index] * min(1.0, Drawn.drawn / 100), y[index]


def test_so_is_what_the_class_of_a_data_set_counts() -> None:
    task = TrainingTask(network(), torch.optim.SGD, ce, DataLoader(Drawn(), 16))
    first, second = check_lrs(task, [1e-30, 2e-30], 4).trials
    assert first.loss.tolist() == second.loss.tolist()
    assert Drawn.drawn == 0


def test_an_average_of_the_weights_that_a_hook_of_the_optimizer_keeps_is_as_before() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    average = [parameter.detach().clone() for parameter in model.parameters()]

    def update(*_: Any) -> None:
        for mean, parameter in zip(average, model.parameters(), strict=True):
            mean.lerp_(parameter.detach(), 0.1)

    optimizer.register_step_post_hook(update)
    before = [mean.clone() for mean in average]
    lr_find(model, optimizer, ce, BATCHES, steps=4, progress=False)
    assert all(map(torch.equal, average, before))


def test_no_warning_is_of_weights_that_only_methods_name() -> None:
    def loss_fn(output: torch.Tensor, target: torch.Tensor) -> Any:
        counts()
        return ce(output, target)

    assert warnings_of(TrainingTask(network(), torch.optim.SGD, loss_fn, BATCHES)) == ""


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])  # the latter is Debian's
def test_classes_of_installed_packages_are_left_alone(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = types.ModuleType("package")
    package.__file__ = f"/lib/{folder}/package.py"
    exec("class Registry:\n    used = 0", vars(package))
    monkeypatch.setitem(sys.modules, "package", package)

    registry = package.Registry

    def use() -> None:
        registry.used += 1

    lr_find(in_step(use, []), steps=4, progress=False)
    assert registry.used == 4


class Singleton(type):
    """A metaclass that keeps the one instance of each of its classes."""

    made: dict[type, Any] = {}  # noqa: RUF012 - shared by all of them

    def __call__(cls) -> Any:
        if cls not in Singleton.made:
            Singleton.made[cls] = super().__call__()
        return Singleton.made[cls]


@pytest.mark.parametrize("made_before", [True, False])
def test_what_a_singleton_counts_is_as_before(made_before: bool) -> None:
    class Progress(metaclass=Singleton):
        def __init__(self) -> None:
            self.steps = 0

    if made_before:
        Progress().steps = 5
    model, before = network(), dict(Singleton.made)

    def step(batch: Any) -> torch.Tensor:
        Progress().steps += 1
        loss: torch.Tensor = ce(model(batch[0]), batch[1]) / Progress().steps
        return loss

    task = TrainingTask(model, torch.optim.SGD, data=BATCHES, step=step)
    lr_find(task, steps=4, progress=False)
    assert Singleton.made == before
    assert not made_before or Progress().steps == 5
    first, second = check_lrs(task, [1e-30, 2e-30], 4).trials
    assert first.loss.tolist() == second.loss.tolist()
