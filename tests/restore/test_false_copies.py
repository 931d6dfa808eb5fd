"""A sweep detects a faulty copy and runs in place instead."""

import copy
import functools
import types
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from lrwidget import TrainingTask, check_lrs
from tests.restore.endings import find
from tests.restore.fingerprint import differences, fingerprint

X = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
MSE = nn.functional.mse_loss


def network(norm: bool = False) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        middle = nn.BatchNorm1d(6) if norm else nn.Tanh()
        return nn.Sequential(nn.Linear(4, 6), middle, nn.Dropout(0.2), nn.Linear(6, 1))


class Hidden:
    """A callable that hides its function and that deepcopy returns unchanged."""

    __slots__ = ("called",)

    def __init__(self, called: Callable[..., Any]) -> None:
        self.called = called

    def __call__(self, *args: Any) -> Any:
        return self.called(*args)

    def __deepcopy__(self, memo: Any) -> "Hidden":
        return self


def with_hidden_forward(model: nn.Sequential, layer: int = 0) -> nn.Sequential:
    model[layer].forward = Hidden(model[layer].forward)
    return model


def wrapped() -> nn.Module:
    model = network()
    forward = model[0].forward

    @functools.wraps(forward)
    def as_well(x: torch.Tensor) -> torch.Tensor:
        return forward(x)

    model[0].forward = as_well
    return model


def bound_to_the_original() -> nn.Module:
    model = network()
    model[0].forward = types.MethodType(lambda layer, x: nn.Linear.forward(layer, x), model[0])
    return model


def norm_without_weights() -> nn.Module:
    model = network(norm=True)
    model[1] = nn.BatchNorm1d(6, affine=False)
    return with_hidden_forward(model, 1)


def checkpointed() -> nn.Module:
    """Return a model with weights that are in no graph until the backward pass."""
    model = network()
    model[3].forward = Hidden(functools.partial(checkpoint, model[3].forward, use_reentrant=True))
    return model


def that_trains_a_layer_by_itself() -> nn.Module:
    """Return a model with a layer whose hidden forward runs a backward pass of its own."""
    model = network()
    forward = model[0].forward

    def and_backward(x: torch.Tensor) -> torch.Tensor:
        made = forward(x)
        made.square().mean().backward()
        return made.detach()

    model[0].forward = Hidden(and_backward)
    return model


def that_changes_its_input() -> nn.Module:
    return nn.Sequential(nn.ReLU(inplace=True), *with_hidden_forward(network()))


class MadeAnew(nn.Sequential):
    def __deepcopy__(self, memo: Any) -> nn.Module:
        made = MadeAnew(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 1))
        made.load_state_dict(self.state_dict())
        return made


class ItsOwnCopy(nn.Sequential):
    def __deepcopy__(self, memo: Any) -> nn.Module:
        return self


class CopiedInPart(nn.Sequential):
    def __deepcopy__(self, memo: Any) -> nn.Module:
        return CopiedInPart(*[copy.deepcopy(layer, memo) for layer in list(self)[:-1]])


class CopiedFlat(nn.Sequential):
    def __deepcopy__(self, memo: Any) -> nn.Module:
        made = CopiedFlat()
        made._modules = {name: copy.copy(layer) for name, layer in self._modules.items()}
        return made


class CopiedWithout(nn.Module):
    """A model whose copy fails in its forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = network()
        self.scale = Lost(2.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x) * self.scale.value


class Lost:
    def __init__(self, value: float) -> None:
        self.value = value

    def __deepcopy__(self, memo: Any) -> "Lost":
        return Lost.__new__(Lost)


class UsesAGlobal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = network()[:3], nn.Linear(6, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(the_model.body(x))


the_model: Any = None


def compiled_in_part() -> nn.Module:
    model = nn.Sequential(torch.compile(network()[:3], backend="eager"), nn.Linear(6, 1))
    model(X)  # the first compilation changes a class of torch
    return model


class WithoutState(nn.Module):
    """A model whose copies begin anew in one attribute, as a class for checkpoints may have it."""

    def __init__(self, left_out: str) -> None:
        super().__init__()
        self.net, self.left_out = network(), left_out
        self.__dict__.update(self.at_first())
        self.count, self.counts["passes"], self.counter.passes = 5, [5], 5
        self.offset.fill_(3)
        self.flags.add("scaled")

    @staticmethod
    def at_first() -> dict[str, Any]:
        return {
            "count": 0,
            "counts": {"passes": [0]},
            "counter": types.SimpleNamespace(passes=0),
            "offset": torch.zeros(4),
            "flags": set(),
        }

    def __getstate__(self) -> dict[str, Any]:
        return {name: held for name, held in vars(self).items() if name != self.left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({**self.at_first(), **state})

    def forward(self, x: torch.Tensor) -> Any:
        passes = self.count + self.counts["passes"][0] + self.counter.passes + len(self.flags)
        return self.net(x - self.offset) * (1 + passes)


SCALES: dict[Any, float] = {}
WEAK_SCALES: "weakref.WeakKeyDictionary[Any, float]" = weakref.WeakKeyDictionary()


class OfEach:
    """A descriptor that keeps a value for each object, as libraries of settings have it."""

    def __init__(self) -> None:
        self.values: Any = weakref.WeakKeyDictionary()

    def __get__(self, owner: Any, kind: Any) -> float:
        found: float = self.values.get(owner, 1.0)
        return found


class InATable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = network()
        SCALES[self] = 3.0

    def forward(self, x: torch.Tensor) -> Any:
        return self.net(x) * SCALES.get(self, 1.0)


class InATableById(InATable):
    def __init__(self) -> None:
        super().__init__()
        SCALES[id(self.net)] = 2.0

    def forward(self, x: torch.Tensor) -> Any:
        return self.net(x) * SCALES.get(id(self.net), 1.0)


class InAWeakTable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = network()
        WEAK_SCALES[self] = 3.0

    def forward(self, x: torch.Tensor) -> Any:
        return self.net(x) * WEAK_SCALES.get(self, 1.0)


class Described(nn.Module):
    scale = OfEach()

    def __init__(self) -> None:
        super().__init__()
        self.net = network()
        vars(type(self))["scale"].values[self] = 3.0

    def forward(self, x: torch.Tensor) -> Any:
        return self.net(x) * self.scale


FALSE: dict[str, Callable[[], nn.Module]] = {
    "a wrapped forward": wrapped,
    "a method bound to it": bound_to_the_original,
    "a hidden forward": lambda: with_hidden_forward(network()),
    "a hidden norm without weights": norm_without_weights,
    "a hidden checkpoint": checkpointed,
    "a hidden backward pass": that_trains_a_layer_by_itself,
    "a changed input": that_changes_its_input,
    "made anew": lambda: MadeAnew(*network()),
    "a part made anew": lambda: nn.Sequential(MadeAnew(*network()), nn.Linear(1, 1)),
    "its own copy": lambda: ItsOwnCopy(*network()),
    "copied in part": lambda: CopiedInPart(*network()),
    "copied flat": lambda: CopiedFlat(*network()),
    "a copy that fails": CopiedWithout,
    "without its count": lambda: WithoutState("count"),
    "without a count in a dict": lambda: WithoutState("counts"),
    "without an object's count": lambda: WithoutState("counter"),
    "without the values of a tensor": lambda: WithoutState("offset"),
    "without the items of a set": lambda: WithoutState("flags"),
    "in a table": InATable,
    "in a table by its id": InATableById,
    "in a weak table": InAWeakTable,
    "in a descriptor": Described,
    "a global": UsesAGlobal,
    "a compiled part": compiled_in_part,
    "traced": lambda: torch.jit.trace(network(norm=True).eval(), X[:4]).train(),
}


def curve(make: Callable[[], nn.Module], snapshot: Any) -> tuple[str, bytes]:
    """Sweep the model, check that it is restored, and return where it ran and its rows."""
    torch.manual_seed(1)
    model = make()
    optimizer = torch.optim.Adam(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    batches = [(X[i : i + 4].clone(), X[i : i + 4].sum(1, keepdim=True)) for i in range(0, 16, 4)]
    before = fingerprint(model=model, optimizer=optimizer)
    records = find(TrainingTask(model, optimizer, MSE, batches, snapshot=snapshot))
    assert not differences(before, fingerprint(model=model, optimizer=optimizer))
    assert records.stop_reason == "finished"
    if records.meta["ran_on"] == "model":
        assert records.meta["why_in_place"]
    return records.meta["ran_on"], records.rows().tobytes()


@pytest.mark.parametrize("model", FALSE)
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_a_false_copy_gives_the_curve_of_the_model(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make() -> nn.Module:
        made = FALSE[model]()
        monkeypatch.setitem(globals(), "the_model", made)
        return made

    with torch.random.fork_rng(devices=[]):
        assert curve(make, "auto") == curve(make, "device")


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("a hidden forward", "its copy computes with weights of the model itself"),
        ("a hidden backward pass", "its copy leaves gradients in the model itself"),
        ("a hidden norm without weights", "its copy changes buffers of the model itself"),
    ],
)
def test_the_records_say_what_was_false_of_a_copy(model: str, why: str) -> None:
    made = FALSE[model]()
    optimizer = torch.optim.Adam(made.parameters())
    records = find(TrainingTask(made, optimizer, MSE, [(X, X[:, :1])]))
    assert records.meta["why_in_place"] == why


@pytest.mark.parametrize(("snapshot", "ran_on"), [("auto", "copy"), ("device", "model")])
@pytest.mark.parametrize("change", [torch.Tensor.double, lambda weight: weight[:3].clone()])
def test_a_gradient_that_no_longer_fits_its_weight_stays(
    change: Callable[[torch.Tensor], torch.Tensor], snapshot: Any, ran_on: str
) -> None:
    layer = nn.Linear(1, 6, bias=False)
    layer.weight.grad = gradient = torch.ones_like(layer.weight)
    layer.weight.data = change(layer.weight.data)
    x = torch.ones(2, 1, dtype=layer.weight.dtype)
    optimizer = torch.optim.SGD(layer.parameters())
    loss = lambda o, _: o.square().sum()  # noqa: E731
    records = find(TrainingTask(layer, optimizer, loss, [(x, x)], snapshot=snapshot))
    assert records.meta["ran_on"] == ran_on
    assert layer.weight.dtype is x.dtype
    assert layer.weight.grad is gradient
    assert gradient.equal(torch.ones(6, 1))


def test_a_global_that_is_only_called_like_an_attribute_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Holds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.the_model = network()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.the_model(x)

    def make() -> nn.Module:
        made = Holds()
        monkeypatch.setitem(globals(), "the_model", made)
        return made

    assert curve(make, "auto")[0] == "copy"


def test_a_false_copy_is_found_in_each_sweep_of_repeats_and_of_a_check() -> None:
    def task(snapshot: Any) -> TrainingTask:
        model = with_hidden_forward(network())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        data = [(X[:8], X[:8].sum(1, keepdim=True))]
        return TrainingTask(model, optimizer, MSE, data, val_data=data, snapshot=snapshot)

    curves = [find(task(place), repeats=2).rows() for place in ("auto", "device")]
    assert curves[0].tobytes() == curves[1].tobytes()
    with torch.random.fork_rng(devices=[]):
        found = [check_lrs(task(place), [0.01, 0.1], steps=3) for place in ("auto", "device")]
    assert found[0].frame.equals(found[1].frame)


def test_an_error_of_the_model_is_the_one_that_is_raised() -> None:
    model = nn.Sequential(nn.Linear(3, 1))
    before = fingerprint(model=model)
    task = TrainingTask(model, torch.optim.SGD, MSE, [(X[:4], X[:4, :1])])
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as raised:
        find(task)
    assert raised.value.__context__ is None
    assert not differences(before, fingerprint(model=model))
