"""A sweep restores the objects in `also` with the model, however it ends and wherever it runs."""

import collections
import random
import types
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from lrwidget import LRFinderWidget, TrainingTask, lr_find
from lrwidget.engine.check import check_lrs
from tests.restore.endings import ENDINGS, OPTIONS, PATIENCE, find
from tests.restore.fingerprint import differences, fingerprint
from tests.restore.plan import Data, Eventful, Loss, Metric, Plan

BATCHES = [(torch.randn(4, 3), torch.randn(4, 2)) for _ in range(5)]


class Shadow:
    """A moving average of a model's weights that is not a module, as in many libraries."""

    def __init__(self, model: nn.Module, keeps_model: bool = False) -> None:
        self.weights = [p.detach().clone() for p in model.parameters()]
        self.by_name = {name: p.detach().clone() for name, p in model.named_parameters()}
        self.updates = 0
        self.model = model if keeps_model else None

    def update(self, model: nn.Module) -> None:
        self.updates += 1
        for mine, (name, its) in zip(self.weights, model.named_parameters(), strict=True):
            mine.lerp_(its.detach(), 0.1)
            self.by_name[name] = mine.clone()


class Memory:
    """An object with every type that a replay memory may contain."""

    __slots__ = ("array", "best", "generator", "history", "newest", "raw", "rng", "seen", "unset")

    def __init__(self) -> None:
        self.history: collections.deque[Any] = collections.deque([0.0], maxlen=7)
        self.array = np.zeros((3, 4), order="F")
        self.rng = np.random.default_rng(0)
        self.generator = torch.Generator().manual_seed(0)
        self.seen = {"first": [1], "more": {"set": {1}}}
        self.newest: list[Any] = [self]
        self.raw = bytearray(b"abc")
        self.best = float("nan")

    def update(self, model: nn.Module) -> None:
        self.history.append(next(model.parameters()).detach().sum())
        self.array += self.rng.standard_normal((3, 4))
        torch.randn(2, generator=self.generator)
        self.seen["first"].append(2)  # type: ignore[attr-defined]
        self.seen["more"]["set"].add(len(self.history))  # type: ignore[index, call-overload]
        self.newest = []
        self.raw[0] += 1
        self.best = 1.0
        self.unset = True


class Opaque:
    """An object whose state is in a closure and reachable only through its methods."""

    def __init__(self) -> None:
        held = [0.0]
        self._add = lambda: held.append(held[-1] + 1)
        self._get = lambda: held
        self._at = iter(range(10**9))

    def update(self, _model: nn.Module) -> None:
        self._add()

    def state_dict(self) -> dict[str, Any]:
        return {"held": self._get()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._get()[:] = state["held"]


def _follower(model: nn.Module) -> tuple[Any, Callable[[], Any], Callable[[], Any]]:
    """Return a second model that is trained already, with its own optimizer and scheduler."""
    other = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(other.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)

    def train() -> None:
        other(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()
        scheduler.step()

    train()  # leaves gradients
    kept = {"other": other, "optimizer": optimizer, "scheduler": scheduler}
    return [other, scheduler], train, lambda: fingerprint(**kept)


Kind = Callable[[nn.Module], tuple[Any, Callable[[], Any], Callable[[], Any]]]


def _averaged(model: nn.Module) -> tuple[Any, Callable[[], Any], Callable[[], Any]]:
    ema = AveragedModel(model)
    return [ema], lambda: ema.update_parameters(model), lambda: fingerprint(ema=ema)


def _shadow(model: nn.Module) -> tuple[Any, Callable[[], Any], Callable[[], Any]]:
    ema = Shadow(model)
    held = SimpleNamespace()
    return [ema], lambda: ema.update(model), lambda: fingerprint(ema=_as(held, vars(ema)))


def _as(namespace: SimpleNamespace, attributes: dict[str, Any]) -> SimpleNamespace:
    vars(namespace).update(attributes)
    return namespace


def _memory(model: nn.Module) -> tuple[Any, Callable[[], Any], Callable[[], Any]]:
    memory = Memory()
    held = SimpleNamespace()
    names = Memory.__slots__

    def state() -> Any:
        values = {name: getattr(memory, name) for name in names if hasattr(memory, name)}
        generator = memory.generator.get_state().tolist(), str(memory.rng.bit_generator.state)
        more = values["seen"]["more"]["set"].copy(), bytes(memory.raw)
        return fingerprint(memory=_as(held, values)) | {"more": (generator, more)}

    return [memory], lambda: memory.update(model), state


def _opaque(model: nn.Module) -> tuple[Any, Callable[[], Any], Callable[[], Any]]:
    opaque = Opaque()
    state = lambda: {"held": list(opaque.state_dict()["held"])}  # noqa: E731
    return [opaque], lambda: opaque.update(model), state


def _plain(_model: nn.Module) -> tuple[Any, Callable[[], Any], Callable[[], Any]]:
    tensor, array, numbers = torch.zeros(3), np.zeros(3), [1, 2]
    by_name: dict[str, Any] = {"loss": [0.5]}
    rng, generator = random.Random(0), np.random.Generator(np.random.SFC64(1))

    def update() -> None:
        tensor.add_(1)
        array[1] += 1
        numbers.append(3)
        by_name["loss"].append(rng.random() + generator.random())
        by_name["new"] = 1

    def state() -> dict[str, Any]:
        drawn = rng.getstate(), str(generator.bit_generator.state)
        held = tensor.tolist(), array.tolist(), list(numbers), repr(by_name)
        return {"held": held, "drawn": drawn}

    return (tensor, array, numbers, by_name, rng, generator), update, state


KINDS: dict[str, Kind] = {
    "an averaged model": _averaged,
    "an average that is an object": _shadow,
    "a memory with slots": _memory,
    "an object with a state_dict": _opaque,
    "tensors, arrays, lists, generators": _plain,
    "a model with optimizer and scheduler": _follower,
}


def in_a_task(kind: str, **options: Any) -> tuple[TrainingTask, Plan, Callable[[], Any]]:
    """Return a task whose step also updates the object in `also`."""
    plan = Plan()
    model = Eventful(nn.Linear(3, 2), plan)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loss_fn = Loss(plan)
    also, update, state = KINDS[kind](model)

    def step(batch: Any) -> torch.Tensor:
        loss = loss_fn(model(batch[0]), batch[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        update()
        return loss

    data = Data(plan, torch.randn(20, 3, generator=torch.Generator().manual_seed(0)))
    loader = DataLoader(data, batch_size=4)
    held_out = {"val_data": loader, "val_batches": 1, "val_every": 2}
    options = {**held_out, "metric": Metric(plan), **options}
    task = TrainingTask(model, optimizer, loss_fn, loader, step=step, also=also, **options)
    return task, plan, state


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", ["an averaged model", "a memory with slots"])
def test_it_is_as_before_however_the_sweep_ends(kind: str, ending: str) -> None:
    task, plan, state = in_a_task(kind)
    before = state()
    ENDINGS[ending](task, plan)
    assert differences(before, state()) == []


@pytest.mark.parametrize("snapshot", ["auto", "disk"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_object_of_any_kind_is_as_before(kind: str, snapshot: str) -> None:
    task, _, state = in_a_task(kind, snapshot=snapshot)
    before = state()
    find(task)
    assert differences(before, state()) == []
    assert task.step is not None
    task.step(next(iter(task.data)))
    assert differences(before, state()) != []


@pytest.mark.parametrize(
    "kind", ["an object with a state_dict", "tensors, arrays, lists, generators"]
)
def test_lists_numbers_and_hidden_state_are_put_back_only_where_they_are_named(kind: str) -> None:
    task, _, state = in_a_task(kind)
    before = state()
    task.also = ()
    find(task)
    assert differences(before, state()) != []


def test_lr_find_and_a_check_take_it() -> None:
    model = nn.Linear(3, 2)
    ema = AveragedModel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    optimizer.register_step_post_hook(lambda *_: ema.update_parameters(model))
    before = fingerprint(ema=ema)
    mse = nn.functional.mse_loss
    lr_find(model, optimizer, mse, BATCHES, also=[ema], progress=False, **OPTIONS)
    check_lrs(TrainingTask(model, optimizer, mse, BATCHES, also=[ema]), [1e-3, 1e-2], 4)
    assert differences(before, fingerprint(ema=ema)) == []


def test_the_widget_takes_it_and_a_start_another() -> None:
    model = nn.Linear(3, 2)
    first: list[int] = []
    second: list[int] = []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    optimizer.register_step_post_hook(lambda *_: (first.append(1), second.append(1)))
    mse = nn.functional.mse_loss
    w = LRFinderWidget(model, optimizer, mse, BATCHES, also=[first], **OPTIONS)
    try:
        w.start()
        w.wait(PATIENCE)
        assert (len(first), len(second)) == (0, 12)
        w.start(also=[first, second])
        w.wait(PATIENCE)
        assert (len(first), len(second)) == (0, 12)
    finally:
        w.close()


SEEN: list[float] = []


class Counting(nn.Module):
    """A model that appends to a global list, even from a copy."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        SEEN.append(float(x.sum()))
        out: torch.Tensor = self.linear(x)
        return out


@pytest.fixture
def seen() -> Iterator[list[float]]:
    SEEN.clear()
    yield SEEN
    SEEN.clear()


def test_it_is_put_back_where_a_copy_is_swept(seen: list[float]) -> None:
    model = Counting()
    task = TrainingTask(model, torch.optim.SGD, nn.functional.mse_loss, BATCHES, also=[seen])
    records = find(task)
    assert records.meta["ran_on"] == "copy"
    assert seen == []


class WithTeacher(nn.Module):
    """A loss that uses a moving average and updates it from the average's model."""

    def __init__(self, ema: Shadow) -> None:
        super().__init__()
        self.ema = ema

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.ema.update(self.ema.model or nn.Linear(3, 2))
        return (output - target).square().mean() + sum(w.mean() for w in self.ema.weights)


@pytest.mark.parametrize("shares", ["the model", "the optimizer", "the loss", "nothing"])
def test_what_shares_something_with_the_model_is_swept_in_place(shares: str) -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    ema = Shadow(model, keeps_model=shares == "the model")
    loss_fn = WithTeacher(ema) if shares == "the loss" else nn.functional.mse_loss
    also: list[Any] = [ema]
    if shares == "the optimizer":
        also = [torch.optim.lr_scheduler.StepLR(optimizer, 2)]
    held = SimpleNamespace()
    before = fingerprint(ema=_as(held, vars(ema)), model=model)
    records = find(TrainingTask(model, optimizer, loss_fn, BATCHES, also=also))
    assert records.meta["ran_on"] == ("copy" if shares == "nothing" else "model")
    assert differences(before, fingerprint(ema=_as(held, vars(ema)), model=model)) == []


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "no list": (
        lambda: AveragedModel(nn.Linear(1, 1)),
        r"also is an AveragedModel; .*also=\[ema\]",
    ),
    "a text": (lambda: "ema", "also is a str; expected a list"),
    "None": (lambda: None, "also is a NoneType; expected a list"),
    "None inside": (lambda: [None], r"also\[0\] is None, a NoneType, in which there is nothing"),
    "a number": (lambda: [[1], 3], r"also\[1\] is 3, an int"),
    "a text inside": (lambda: ["ema"], r"also\[0\] is 'ema', a str"),
    "a class": (lambda: [AveragedModel], r"also\[0\] is a type"),
    "a function": (lambda: [lambda: None], r"also\[0\] is a function"),
    "an iterator": (lambda: [iter([1])], r"also\[0\] is a list_iterator"),
    "an empty object": (lambda: [object()], r"also\[0\] is an object"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_put_back_is_refused_in_words(wrong: str) -> None:
    make, words = WRONG[wrong]
    model = nn.Linear(3, 2)
    with pytest.raises(TypeError, match=words):
        lr_find(model, torch.optim.SGD, nn.functional.mse_loss, BATCHES, also=make())


def test_the_items_of_a_long_memory_are_not_copied() -> None:
    model = nn.Linear(3, 2)
    held = [torch.zeros(1) for _ in range(2000)]
    memory = list(held)

    def step(batch: Any) -> torch.Tensor:
        memory.append(batch[0])
        memory[0] = batch[1]
        memory[1].add_(1)
        return nn.functional.mse_loss(model(batch[0]), batch[1])

    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    find(TrainingTask(model, optimizer, data=BATCHES, step=step, also=[memory]))
    assert all(now is before for now, before in zip(memory, held, strict=True))
    assert held[1].item() == 12


@pytest.mark.framework
@pytest.mark.parametrize("version", ["ModelEmaV2", "ModelEmaV3"])
def test_averages_of_timm(version: str) -> None:
    timm = pytest.importorskip("timm.utils.model_ema")
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    ema = getattr(timm, version)(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def step(batch: Any) -> torch.Tensor:
        ema.update(model)
        return nn.functional.mse_loss(model(batch[0]), batch[1])

    before = fingerprint(ema=ema)
    find(TrainingTask(model, optimizer, data=BATCHES, step=step, also=[ema]))
    assert differences(before, fingerprint(ema=ema)) == []


GLOBAL_RNG = np.random.default_rng(4)
REGISTERED: dict[str, Any] = {}


class Noise:
    """Draws from a generator of its class, from a global one, and by a method that it is given."""

    of_class = np.random.default_rng(5)

    def __init__(self, more: Any) -> None:
        self.more = more

    def __call__(self) -> float:
        return float(self.of_class.random() + GLOBAL_RNG.random()) + float(self.more())


def test_generators_that_only_its_methods_use_are_put_back_too() -> None:
    inner = np.random.default_rng(6)
    noise = Noise(types.MethodType(lambda _: inner.random(), SimpleNamespace()))
    REGISTERED["noise"] = noise
    generators = [inner, Noise.of_class, GLOBAL_RNG]

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        # By its name, so that nothing else leads to it.
        return (output - target).square().mean() + globals()["REGISTERED"]["noise"]()

    model = nn.Linear(3, 2)
    before = fingerprint(generators=generators)
    find(TrainingTask(model, torch.optim.SGD, loss, BATCHES, also=[noise]))
    assert differences(before, fingerprint(generators=generators)) == []
    noise()
    assert len(differences(before, fingerprint(generators=generators))) == 3
