"""A sweep uses a copy unless the copy could reach the original model."""

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import TrainingTask
from tests.restore.endings import find
from tests.restore.fingerprint import differences, fingerprint

X = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
BATCHES = [(X[i : i + 4], X[i : i + 4].sum(1, keepdim=True)) for i in range(0, 16, 4)]
MSE = nn.functional.mse_loss
WEIGHTS = torch.ones(1)
outside: nn.Module = nn.Linear(1, 1)


def network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))


def ran_on(model: nn.Module, loss_fn: Any = MSE, **options: Any) -> str:
    """Sweep the model, check that it is restored, and return where the sweep ran."""
    optimizer = torch.optim.Adam(model.parameters())
    task = TrainingTask(model, optimizer, loss_fn, BATCHES, **options)
    before = fingerprint(model=model, optimizer=optimizer)
    records = find(task)
    assert not differences(before, fingerprint(model=model, optimizer=optimizer))
    assert records.stop_reason == "finished"
    where: str = records.meta["ran_on"]
    return where


def penalty(model: nn.Module) -> torch.Tensor:
    return sum((p**2).sum() for p in model.parameters())  # type: ignore[return-value]


def through_a_global(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return MSE(output, target) + penalty(outside)


def over_a_weight(weight: torch.Tensor) -> Any:
    return lambda o, t: MSE(o, t) + weight.sum()


def over_a_part(part: nn.Module) -> Any:
    return lambda o, t: MSE(o, t) + penalty(part)


class Regularised:
    """A loss with the model as an attribute, which is copied with it."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return MSE(output, target) + penalty(self.model)


LOSSES: dict[str, tuple[Callable[[nn.Module], Any], str]] = {
    "a function": (lambda model: MSE, "copy"),
    "a module": (lambda model: nn.MSELoss(), "copy"),
    "a partial": (lambda model: functools.partial(MSE, reduction="mean"), "copy"),
    "weights of classes": (
        lambda model: lambda o, t, w=WEIGHTS: (w * (o - t) ** 2).mean(),
        "copy",
    ),
    "an object with the model": (Regularised, "copy"),
    "a closure over the model": (lambda model: lambda o, t: MSE(o, t) + penalty(model), "model"),
    "a default": (lambda model: lambda o, t, m=model: MSE(o, t) + penalty(m), "model"),
    "a partial with the model": (
        lambda model: functools.partial(lambda m, o, t: MSE(o, t) + penalty(m), model),
        "model",
    ),
    "a closure over a weight": (
        lambda model: over_a_weight(model[0].weight),
        "model",
    ),
    "a closure over a part": (
        lambda model: over_a_part(model[2]),
        "model",
    ),
    "a global": (lambda model: through_a_global, "model"),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_function_that_uses_the_model_changes_nothing(
    loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network()
    monkeypatch.setitem(globals(), "outside", model)
    make, where = LOSSES[loss]
    assert ran_on(model, make(model)) == where


def changed(change: Callable[[nn.Sequential], object]) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        model = network()
        change(model)
        return model

    return make


class KeepsResults(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.result = super().forward(x)
        return self.result


def used() -> nn.Module:
    model = KeepsResults(*network())
    model(X)
    return model


class Draws(nn.Sequential):
    """A model that draws noise from its own generator."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.generator = torch.Generator().manual_seed(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x + 0.1 * torch.randn(x.shape, generator=self.generator))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.GRU(4, 5, batch_first=True)
        self.out = nn.Linear(5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.layers(x[:, None])[0][:, 0])


class Unregistered(nn.Module):
    """A model with layers in a plain list; the optimizer has only the parameters of `head`."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.BatchNorm1d(4)]
        self.head = nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers[0](x))


class Locked(nn.Sequential):
    """A model that refuses to be copied."""

    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("cannot be copied")


class CopiedByItself(nn.Sequential):
    """A model with a tensor, of which a part has no value, that its class copies itself."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.limits = torch.tensor([0.0, float("nan")])

    def __deepcopy__(self, memo: Any) -> Any:
        made = CopiedByItself(*copy.deepcopy(list(self), memo))
        made.limits = self.limits.clone()
        return made


MODELS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "plain": (network, "copy"),
    "that keeps a result with a graph": (used, "copy"),
    "with a generator of its own": (lambda: Draws(*network()), "copy"),
    "recurrent": (Recurrent, "copy"),
    "with layers in a list": (Unregistered, "copy"),
    "with a mark on a weight": (changed(lambda m: setattr(m[0].weight, "decay", 0)), "copy"),
    "that copies itself": (lambda: CopiedByItself(*network()), "copy"),
    "that cannot be copied": (lambda: Locked(*network()), "model"),
    "with a hook": (changed(lambda m: m.register_forward_hook(lambda *_: None)), "model"),
    "with a hook on a weight": (
        changed(lambda m: m[0].weight.register_hook(lambda grad: grad * 2)),
        "model",
    ),
    "with a hook after a gradient": (
        changed(lambda m: m[0].weight.register_post_accumulate_grad_hook(lambda p: None)),
        "model",
    ),
    "with a view of a weight": (
        changed(lambda m: setattr(m, "alias", m[0].weight.detach()[:2])),
        "model",
    ),
}


@pytest.mark.parametrize("snapshot", ["auto", "device", "disk"])
@pytest.mark.parametrize("model", MODELS)
def test_a_model(model: str, snapshot: Any) -> None:
    make, where = MODELS[model]
    torch.manual_seed(0)
    assert ran_on(make(), snapshot=snapshot) == (where if snapshot == "auto" else "model")


def test_marks_on_weights_are_on_the_copy_too() -> None:
    marks: list[int] = []

    class Reads(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            marks.append(self[0].weight.decay)
            return super().forward(x)

    model = Reads(*network())
    model[0].weight.decay = 7
    assert ran_on(model) == "copy"
    assert marks == [7] * 12


def test_a_lazy_model_is_refused_and_not_harmed() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.LazyLinear(1))
    model[0].weight.grad = torch.ones(4, 4)
    gradient = model[0].weight.grad
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
    with pytest.raises(ValueError, match="lazy parameters"):
        find(TrainingTask(model, optimizer, MSE, BATCHES, snapshot="device"))
    assert model[0].weight.grad is gradient


def test_a_buffer_that_got_a_graph_in_mid_sweep() -> None:
    """The user's mistake fails the second step; that error is raised, and all is restored."""

    class Careless(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = super().forward(x)
            self.average.mul_(0.9).add_(out.mean())
            return out + self.average

    model = Careless(*network())
    model.register_buffer("average", torch.zeros(()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = fingerprint(model=model, optimizer=optimizer)
    with pytest.raises(RuntimeError, match=r"backward through the graph a second time|inplace"):
        find(TrainingTask(model, optimizer, MSE, BATCHES, snapshot="device"))
    assert not differences(before, fingerprint(model=model, optimizer=optimizer))


@pytest.mark.parametrize("snapshot", ["auto", "device", "disk"])
def test_parts_of_a_weight_that_a_step_has_changed_since(snapshot: Any) -> None:
    """A model that keeps `weight.chunk(2)`: torch refuses to say whether such a view is a leaf."""

    class Split(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.first, self.second = self.weight.chunk(2)
            return nn.functional.linear(x, self.first) + nn.functional.linear(x, self.second)

    model = Split(4, 2)
    MSE(model(X), X.sum(1, keepdim=True)).backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    with pytest.raises(RuntimeError, match="multiple views"):
        _ = model.first.is_leaf
    before = model.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    records = find(TrainingTask(model, optimizer, MSE, BATCHES, snapshot=snapshot))
    assert records.stop_reason == "finished"
    assert torch.equal(model.weight, before)
    assert model.first.data_ptr() == model.weight.data_ptr()


@pytest.mark.full
def test_a_model_compiled_with_inductor() -> None:
    model = network()
    compiled = torch.compile(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    compiled(X[:4]).sum().backward()
    before = fingerprint(model=compiled, optimizer=optimizer)
    records = find(TrainingTask(compiled, optimizer, MSE, BATCHES))
    assert records.meta["ran_on"] == "model"
    assert records.stop_reason == "finished"
    assert not differences(before, fingerprint(model=compiled, optimizer=optimizer))
    # The compiled code still uses the model's weights.
    assert torch.allclose(compiled(X[:4]), model(X[:4]))


@pytest.mark.parametrize("scheduler", [False, True], ids=["", "with a scheduler"])
@pytest.mark.parametrize("name", ["step", "zero_grad", "add_param_group"])
def test_a_method_replaced_on_the_optimizer_takes_part(name: str, scheduler: bool) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    own, calls = getattr(optimizer, name), list[Any]()

    @functools.wraps(own.__func__)
    def replaced(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(self)
        return own(*args, **kwargs)

    setattr(optimizer, name, replaced.__get__(optimizer))
    if scheduler:
        torch.optim.lr_scheduler.StepLR(optimizer, 5)
    records = find(TrainingTask(model, optimizer, MSE, BATCHES))
    assert records.meta["ran_on"] == "model"
    assert name == "add_param_group" or set(map(id, calls)) == {id(optimizer)}
    assert getattr(optimizer, name).__wrapped__ in (own.__func__, replaced)


def test_a_scheduler_needs_no_sweep_in_place() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.optim.lr_scheduler.StepLR(optimizer, 5)
    torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    assert find(TrainingTask(model, optimizer, MSE, BATCHES)).meta["ran_on"] == "copy"


class Plain(torch.optim.Optimizer):
    """Sets what older states have not, as optimizers that are written after torch's do."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # which adds a setting
        for group in self.param_groups:
            group.setdefault("lr", 0.1)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.add_(parameter.grad, alpha=-group["lr"])


def test_an_optimizer_that_sets_its_state_itself_needs_no_sweep_in_place() -> None:
    model = network()
    optimizer = Plain(model.parameters(), lr=0.1)
    before = fingerprint(model=model, optimizer=optimizer)
    records = find(TrainingTask(model, optimizer, MSE, BATCHES))
    assert records.meta["ran_on"] == "copy"
    assert not differences(before, fingerprint(model=model, optimizer=optimizer))
    sgd = find(TrainingTask(model, torch.optim.SGD(model.parameters(), lr=0.1), MSE, BATCHES))
    assert records.loss.tolist() == sgd.loss.tolist()


def test_paged_state_of_an_optimizer_is_swept_in_place() -> None:
    """A copy of it would be in ordinary memory, which the kernels of bitsandbytes cannot read."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    MSE(model(X), X.sum(1, keepdim=True)).backward()
    optimizer.step()
    for state in optimizer.state.values():
        state["momentum_buffer"].is_paged = True
    before = fingerprint(model=model, optimizer=optimizer)
    records = find(TrainingTask(model, optimizer, MSE, BATCHES))
    assert "paged" in records.meta["why_in_place"]
    assert not differences(before, fingerprint(model=model, optimizer=optimizer))
