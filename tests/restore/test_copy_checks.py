"""What a copy would part from its other users is swept in place; the rest is swept on a copy."""

import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler, TensorDataset

from lrwidget import TrainingTask, check_lrs, refine
from tests.restore.endings import find
from tests.restore.fingerprint import differences, fingerprint

Parts = tuple[nn.Module, torch.optim.Optimizer, Any, DataLoader[Any]]


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(64, 8, generator=generator)
    return x, x[:, :3].argmax(1)


def parts(model: nn.Module, loss_fn: Any = None, data: Any = None, **loading: Any) -> Parts:
    data = TensorDataset(*samples()) if data is None else data
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    if "sampler" not in loading:
        loading["shuffle"] = True
    return model, optimizer, loss_fn or nn.CrossEntropyLoss(), DataLoader(data, 16, **loading)


class Net(nn.Module):
    """Changes what it is given in each forward pass of training."""

    def __init__(self, used: Any = None, change: Callable[[Any, Any], Any] | None = None) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)
        self.register_buffer("counts", torch.ones(3))
        self.used, self.change = used, change

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.change is not None:
            x = x + self.change(self, x)
        output: torch.Tensor = self.layer(x)
        if self.training:
            self.counts.add_(torch.bincount(output.argmax(1), minlength=3))
        return output


class Samples(Dataset[Any]):
    """Changes each sample by what it is given."""

    def __init__(self, used: Any, change: Callable[[Any, torch.Tensor], torch.Tensor]) -> None:
        self.x, self.y = samples()
        self.used, self.change = used, change

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Any:
        return self.change(self.used, self.x[index]), self.y[index]


class Hardest(Sampler[int]):
    """Begins with the samples of the largest present loss."""

    def __init__(self, model: nn.Module) -> None:
        self.model, (self.x, self.y) = model, samples()

    def __len__(self) -> int:
        return len(self.x)

    def __iter__(self) -> Iterator[int]:
        with torch.no_grad():
            loss = nn.functional.cross_entropy(self.model(self.x), self.y, reduction="none")
        yield from loss.argsort(descending=True).tolist()


class Projected(torch.optim.SGD):
    """Calls a function after each step."""

    def __init__(self, params: Any, lr: float, project: Callable[[], None]) -> None:
        super().__init__(params, lr=lr)
        self.project = project

    def step(self, closure: Any = None) -> Any:
        super().step(closure)
        self.project()


def cross_entropy(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(output, target)


# -- what both use ---------------------------------------------------------------------------------


def generator_of_model_and_data() -> Parts:
    rng = np.random.default_rng(3)
    model = Net(rng, lambda net, x: torch.from_numpy(net.used.standard_normal(x.shape)).float())
    return parts(model, data=Samples(rng, lambda rng, x: x * float(rng.uniform(0.5, 1.5))))


def generator_of_model_and_loader() -> Parts:
    own = torch.Generator().manual_seed(3)
    model = Net(own, lambda net, x: torch.randn(x.shape, generator=net.used))
    return parts(model, generator=own)


def sampler_with_the_model() -> Parts:
    model = Net()
    return parts(model, sampler=Hardest(model))


def collate_with_the_model() -> Parts:
    model = Net()

    def collate(batch: list[Any]) -> Any:
        x = torch.stack([x for x, _ in batch])
        with torch.no_grad():
            return x, model(x).argmax(1)

    return parts(model, collate_fn=collate)


def table_that_the_model_writes() -> Parts:
    table = torch.zeros(8)

    def write(net: Net, x: torch.Tensor) -> float:
        net.used.add_(x.detach().mean(0))
        return 0.0

    return parts(Net(table, write), data=Samples(table, lambda table, x: x + table))


def settings_that_the_model_writes() -> Parts:
    settings = types.SimpleNamespace(beta=0.0)

    def count(net: Net, x: torch.Tensor) -> float:
        net.used.beta += 0.05
        return 0.0

    return parts(Net(settings, count), lambda o, t: cross_entropy(o, t) * (1 + settings.beta))


def settings_that_the_data_writes() -> Parts:
    settings = {"level": 0.0}

    def count(settings: dict[str, float], x: torch.Tensor) -> torch.Tensor:
        settings["level"] += 0.01
        return x

    return parts(Net(settings, lambda net, x: net.used["level"]), data=Samples(settings, count))


def loss_with_a_view_of_a_weight() -> Parts:
    model = Net()
    weight = model.layer.weight.detach()
    return parts(model, lambda o, t: cross_entropy(o, t) + weight.norm())


def loss_with_an_array_of_a_weight() -> Parts:
    model = Net()
    weight = model.layer.weight.detach().numpy()
    return parts(model, lambda o, t: cross_entropy(o, t) + float(np.abs(weight).sum()))


def loss_with_a_buffer() -> Parts:
    model = Net()
    counts = model.counts
    return parts(model, lambda o, t: nn.functional.cross_entropy(o, t, weight=1 / counts))


def loss_that_writes_a_buffer() -> Parts:
    model = Net()
    counts = model.counts

    def loss_fn(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        counts.add_(torch.bincount(target, minlength=3))
        return cross_entropy(output - (counts / counts.sum()).log(), target)

    return parts(model, loss_fn)


def optimizer_with_a_function() -> Parts:
    model = Net()

    def project() -> None:
        with torch.no_grad():
            for p in model.parameters():
                p.clamp_(-0.2, 0.2)

    _, _, loss_fn, loader = parts(model)
    return model, Projected(model.parameters(), 0.1, project), loss_fn, loader


def optimizer_that_keeps_the_values() -> Parts:
    class Keeping(torch.optim.SGD):
        def __init__(self, params: Any, lr: float) -> None:
            super().__init__(params, lr=lr)
            self.pairs = [(p, p.data) for p in self.param_groups[0]["params"]]

        def step(self, closure: Any = None) -> Any:
            for parameter, value in self.pairs:
                value.sub_(self.param_groups[0]["lr"] * parameter.grad)

    model = Net()
    _, _, loss_fn, loader = parts(model)
    return model, Keeping(model.parameters(), 0.1), loss_fn, loader


def optimizer_by_id() -> Parts:
    class ById(torch.optim.SGD):
        def __init__(self, params: Any, lr: float) -> None:
            super().__init__(params, lr=lr)
            self.matrices = {id(p) for p in self.param_groups[0]["params"] if p.ndim == 2}

        def step(self, closure: Any = None) -> Any:
            for p in self.param_groups[0]["params"]:
                if id(p) in self.matrices:
                    p.grad.mul_(3)
            return super().step(closure)

    model = Net()
    _, _, loss_fn, loader = parts(model)
    return model, ById(model.parameters(), 0.1), loss_fn, loader


def values_kept_in_a_list() -> Parts:
    def clamp(net: Net, x: torch.Tensor) -> float:
        for value in net.used:
            value.clamp_(-0.2, 0.2)
        return 0.0

    model = Net(None, clamp)
    model.used = [p.data for p in model.parameters()]
    return parts(model)


def scales_by_module() -> Parts:
    def scale(net: Net, x: torch.Tensor) -> torch.Tensor:
        return x * net.used.get(net.layer, 0.0)

    model = Net(None, scale)
    model.used = weakref.WeakKeyDictionary({model.layer: 2.0})
    return parts(model)


def weak_reference_to_the_parent() -> Parts:
    def of_parent(net: Any, x: torch.Tensor) -> float:
        parent = net.used()
        parent.passes += 1
        return float(parent.passes)

    model = nn.Sequential(Net(None, of_parent), nn.Identity())
    model.passes = 0
    model[0].used = weakref.ref(model)
    return parts(model)


def class_that_drops_state() -> Parts:
    class Mean:
        def __init__(self) -> None:
            self.value = 5.0

        def __getstate__(self) -> dict[str, float]:
            return {"value": 0.0}

    return parts(Net(Mean(), lambda net, x: net.used.value))


def class_that_reseeds() -> Parts:
    class Noise:
        def __init__(self) -> None:
            self.rng = np.random.default_rng(5)

        def __setstate__(self, state: dict[str, Any]) -> None:
            self.rng = np.random.default_rng(0)

    model = Net(Noise(), lambda net, x: float(net.used.rng.normal()))
    return parts(model)


IN_PLACE: list[Callable[[], Parts]] = [
    generator_of_model_and_data,
    generator_of_model_and_loader,
    sampler_with_the_model,
    collate_with_the_model,
    table_that_the_model_writes,
    settings_that_the_model_writes,
    settings_that_the_data_writes,
    loss_with_a_view_of_a_weight,
    loss_with_an_array_of_a_weight,
    loss_with_a_buffer,
    loss_that_writes_a_buffer,
    optimizer_with_a_function,
    optimizer_that_keeps_the_values,
    optimizer_by_id,
    values_kept_in_a_list,
    scales_by_module,
    weak_reference_to_the_parent,
    class_that_drops_state,
    class_that_reseeds,
]


def made(make: Callable[[], Parts]) -> Parts:
    torch.manual_seed(0)
    return make()


def trained(make: Callable[[], Parts], rates: list[float]) -> list[float]:
    """Return the losses of an ordinary loop."""
    model, optimizer, loss_fn, loader = made(make)
    losses: list[float] = []
    while True:
        for x, y in loader:
            optimizer.param_groups[0]["lr"] = rates[len(losses)]
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if len(losses) == len(rates):
                return losses


def state_of(it: Parts) -> dict[str, Any]:
    model, optimizer, loss_fn, loader = it
    return fingerprint(model=model, optimizer=optimizer, loss_fn=loss_fn, loader=vars(loader))


@pytest.mark.parametrize("make", IN_PLACE, ids=lambda make: make.__name__)
def test_what_others_use_too_is_swept_in_place(make: Callable[[], Parts]) -> None:
    it = made(make)
    before = state_of(it)
    records = find(TrainingTask(*it))
    assert records.meta["ran_on"] == "model"
    assert differences(before, state_of(it)) == []
    assert records.loss.tolist() == trained(make, records.lr.tolist())


@pytest.mark.parametrize("make", IN_PLACE, ids=lambda make: make.__name__)
def test_a_check_and_a_refinement_leave_it_as_before(make: Callable[[], Parts]) -> None:
    it = made(make)
    before = state_of(it)
    first, second = check_lrs(TrainingTask(*it), [1e-3, 1.001e-3], steps=3).trials
    assert first.loss[0] == second.loss[0]
    assert differences(before, state_of(it)) == []
    refine(TrainingTask(*it), budget=300)
    assert differences(before, state_of(it)) == []


# -- what may be copied ----------------------------------------------------------------------------


def settings_that_nobody_writes() -> Parts:
    settings = types.SimpleNamespace(scale=2.0, names=["a", "b"], best=float("nan"))
    model = Net(settings, lambda net, x: net.used.scale)
    return parts(model, data=Samples(settings, lambda settings, x: x * settings.scale))


def recurrent() -> Parts:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.LSTM(1, 4, batch_first=True), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = self.head(self.rnn(x.unsqueeze(2))[0][:, -1])
            return output

    return parts(Last())


def weights_of_classes() -> Parts:
    weight = torch.tensor([1.0, 2.0, 3.0])
    data = Samples(weight, lambda weight, x: x * weight.mean())
    return parts(Net(), lambda o, t: nn.functional.cross_entropy(o, t, weight=weight), data)


def large_numbers() -> Parts:
    return parts(Net({2**40: 1, "steps": 10**9}, lambda net, x: 0.0))


def with_a_scheduler() -> Parts:
    it = parts(Net())
    it[1].scheduler = None  # type: ignore[attr-defined]
    torch.optim.lr_scheduler.StepLR(it[1], 5)
    return it


def tied_weights() -> Parts:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3))
    model[1].weight = model[0].weight
    return parts(model)


@pytest.mark.parametrize(
    "make",
    [
        settings_that_nobody_writes,
        recurrent,
        weights_of_classes,
        large_numbers,
        with_a_scheduler,
        tied_weights,
    ],
    ids=lambda make: make.__name__,
)
def test_the_rest_is_swept_on_a_copy(make: Callable[[], Parts]) -> None:
    it = made(make)
    before = state_of(it)
    records = find(TrainingTask(*it))
    assert records.meta["ran_on"] == "copy"
    assert differences(before, state_of(it)) == []
    assert records.loss.tolist() == trained(make, records.lr.tolist())
