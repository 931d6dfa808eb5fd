"""A sweep in place restores a model's other attributes and the objects that its loss refers to."""

import collections
import dataclasses
import functools
import random
import threading
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lrwidget import TrainingTask, lr_find
from lrwidget.backup.backup import Backup
from lrwidget.sources.local import SweepRunner
from lrwidget.task.options import SweepOptions
from tests.restore.endings import find

X = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
BATCHES = [(X[i : i + 4], X[i : i + 4].sum(1, keepdim=True)) for i in range(0, 16, 4)]
MSE = nn.functional.mse_loss
PLACES = pytest.mark.parametrize("snapshot", ["auto", "device"])


@dataclasses.dataclass
class Meter:
    count: int = 0
    seen: list[dict[str, int]] = dataclasses.field(default_factory=lambda: [{"n": 0}])


class Slotted:
    __slots__ = ("added", "count")

    def __init__(self) -> None:
        self.count = 0


@dataclasses.dataclass(frozen=True)
class Frozen:
    values: dict[str, int]


class Named(dict[str, Any]):
    """A dict whose items are attributes."""

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__  # type: ignore[assignment]


class Full(nn.Module):
    """A model that changes all its attributes in each step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)
        self.layer.weight.fisher = torch.zeros(4)
        self.numpy, self.old_numpy = np.random.default_rng(0), np.random.RandomState(0)
        self.random, self.torch = random.Random(0), torch.Generator()
        self.array, self.meter, self.slotted = np.zeros(3), Meter(), Slotted()
        self.frozen, self.named, self.space = (
            Frozen({"n": 0}),
            Named(n=0),
            types.SimpleNamespace(n=0),
        )
        self.recent: collections.deque[int] = collections.deque([0], maxlen=2)
        self.bytes = bytearray(2)
        self.nested = [{"a": [Meter()]}]
        self.nested[0]["itself"] = self.nested
        self.lock = threading.Lock()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.layer.weight
        weight.fisher += 1
        weight.grad_sample = torch.ones(2)
        self.numpy.random(), self.old_numpy.rand(), self.random.random()
        torch.rand(1, generator=self.torch)
        self.array += 1
        self.meter.count += 1
        self.meter.seen[0]["n"] += 1
        self.meter.seen.append({})
        self.slotted.count += 1
        self.slotted.added = 1
        self.frozen.values["n"] += 1
        self.named.n += 1
        self.space.n += 1
        self.recent.append(1)
        self.bytes[0] += 1
        self.nested[0]["a"][0].count += 1
        return self.layer(x)

    def state(self) -> dict[str, Any]:
        named = ("meter", "frozen", "named", "space", "recent", "bytes")
        return {name: repr(getattr(self, name)) for name in named} | {
            "numpy": repr(self.numpy.bit_generator.state),
            "old numpy": repr(self.old_numpy.get_state()),
            "random": self.random.getstate(),
            "torch": self.torch.get_state().tolist(),
            "array": self.array.tolist(),
            "slots": (self.slotted.count, hasattr(self.slotted, "added")),
            "nested": self.nested[0]["a"][0].count,
            "fisher": self.layer.weight.fisher.tolist(),
            "attributes": sorted(vars(self.layer.weight)),
        }


def test_all_that_a_model_holds_is_as_before() -> None:
    model = Full()
    before = model.state()
    model(X)
    changed = {name for name, value in model.state().items() if value != before[name]}
    assert changed == set(before)  # the comparison below covers every attribute
    model = Full()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before, kept = model.state(), vars(model).copy()
    records = find(TrainingTask(model, optimizer, MSE, BATCHES, snapshot="device"))
    assert records.stop_reason == "finished"
    assert model.state() == before
    assert all(value is kept[name] for name, value in vars(model).items())


def test_a_scripted_model_is_as_before() -> None:
    with pytest.warns((DeprecationWarning, FutureWarning)):
        model = torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert find(TrainingTask(model, optimizer, MSE, BATCHES)).meta["ran_on"] == "model"
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


class Running(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 1)
        self.register_buffer("mean", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.mean = self.mean * 0.9 + x.mean()
        output: torch.Tensor = self.inner(x)
        return output


def test_a_buffer_that_a_scripted_model_sets_anew_is_as_before() -> None:
    with pytest.warns((DeprecationWarning, FutureWarning)):
        model = torch.jit.script(Running())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = model.mean
    find(TrainingTask(model, optimizer, MSE, BATCHES))
    assert model.mean is before
    assert before == 0


def test_an_empty_buffer_that_a_step_fills_is_saved_as_before() -> None:
    class Observed(nn.Linear):
        def __init__(self) -> None:
            super().__init__(4, 1)
            self.register_buffer("least", torch.tensor([]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.least.resize_(4).copy_(x.amin(0))  # as observers of quantization do
            return super().forward(x)

    model = Observed()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    find(TrainingTask(model, optimizer, MSE, BATCHES, snapshot="device"))
    assert model.least.shape == (0,)
    assert model.least.untyped_storage().nbytes() == 0  # what torch.save writes


@pytest.mark.parametrize("snapshot", ["device", "cpu", "disk"])
def test_buffers_of_one_array_that_begin_together_and_end_apart_are_as_before(
    snapshot: Any,
) -> None:
    class Shared(nn.Module):
        def __init__(self, array: Any) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 1)
            self.first = nn.Buffer(torch.from_numpy(array[:3]))
            self.whole = nn.Buffer(torch.from_numpy(array))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.first += 1
            self.whole[4] += 1
            return self.layer(x)  # type: ignore[no-any-return]

    array = np.arange(6.0)
    model = Shared(array)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    task = TrainingTask(model, optimizer, MSE, BATCHES, snapshot=snapshot)
    lr_find(task, steps=6, progress=False)
    assert array.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_scaler_of_any_device_that_a_model_holds_is_as_before() -> None:
    class Scaled(nn.Linear):
        def __init__(self) -> None:
            super().__init__(4, 1)
            with pytest.warns(FutureWarning):  # deprecated, as the one of torch.cuda, but in use
                self.scaler = torch.cpu.amp.GradScaler(growth_interval=2)
            self.optimizers = [torch.optim.SGD(self.parameters(), lr=0.1)]

        def step(self, batch: Any) -> torch.Tensor:
            (optimizer,) = self.optimizers
            optimizer.zero_grad()
            loss: torch.Tensor = MSE(self(batch[0]), batch[1])
            self.scaler.scale(loss).backward()
            self.scaler.step(optimizer)
            self.scaler.update()
            return loss

    model = Scaled()
    before = vars(model.scaler).copy()
    find(TrainingTask(model, model.optimizers[0], data=BATCHES, step=model.step))
    assert vars(model.scaler) == before


def test_a_schedule_of_pruning_is_as_before() -> None:
    from torch.ao.pruning import CubicSL, WeightNormSparsifier

    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier = WeightNormSparsifier(sparsity_level=0.5)
    sparsifier.prepare(model, config=[{"tensor_fqn": "0.weight"}])
    schedule = CubicSL(sparsifier, init_sl=0.0, init_t=0, delta_t=1, total_t=30)

    def step(batch: Any) -> torch.Tensor:
        optimizer.zero_grad()
        loss: torch.Tensor = MSE(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        sparsifier.step()
        schedule.step()
        return loss

    before = schedule.state_dict()["last_epoch"], schedule.get_last_sl()
    find(TrainingTask(model, optimizer, data=BATCHES, step=step))
    assert (schedule.state_dict()["last_epoch"], schedule.get_last_sl()) == before


def test_notes_of_a_hook_and_of_a_function_stay() -> None:
    notes: list[float] = []

    class Watch:
        def __init__(self) -> None:
            self.norms: list[float] = []

        def __call__(self, module: nn.Module, args: Any, output: torch.Tensor) -> None:
            self.norms.append(output.detach().norm().item())

    def loss_fn(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        notes.append(1.0)
        return MSE(output, target)

    model, watch = nn.Linear(4, 1), Watch()
    model.register_forward_hook(watch)
    find(TrainingTask(model, torch.optim.SGD, loss_fn, BATCHES))
    assert len(notes) == len(watch.norms) == 12


def test_an_average_that_a_hook_keeps_is_as_before() -> None:
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    average = torch.optim.swa_utils.AveragedModel(model)
    optimizer.register_step_post_hook(lambda *_: average.update_parameters(model))
    find(TrainingTask(model, optimizer, MSE, BATCHES))
    assert average.n_averaged == 0


def test_a_huge_graph_of_objects_is_walked_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrwidget.backup.backup.MAX_OBJECTS", 100)
    model = Full()
    link = model.chain = Meter()
    for _ in range(5000):  # more than Python's recursion limit
        link.next = Meter()  # type: ignore[attr-defined]
        link = link.next  # type: ignore[attr-defined]
    kept = Backup([model], "device")
    assert len(kept._seen) < 200
    assert any(tensor is model.layer.weight for tensor in kept.tensors())


class Memory(nn.Module):
    """A loss with weights, a queue in a buffer, and a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("queue", torch.zeros(4))
        self.calls = 0

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.queue = torch.cat([output.detach()[:1, 0], self.queue[:-1]])
        return MSE(output * self.scale, target)

    def state(self) -> Any:
        return self.calls, self.queue.tolist(), self.scale.tolist(), self.scale.grad


class Caller:
    def __init__(self, memory: Memory) -> None:
        self.parts = {"memory": memory}
        self.calls = 0

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.parts["memory"](output, target)

    def method(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self(output, target)


the_memory: Any = None


def through_a_global(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return helper(output, target)


def helper(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return the_memory(output, target)


def over(caller: Caller) -> Callable[..., torch.Tensor]:
    return lambda output, target: caller(output, target)


LOSSES: dict[str, Callable[[Memory], Any]] = {
    "module": lambda memory: memory,
    "closure": lambda memory: lambda o, t: memory(o, t),
    "default": lambda memory: lambda o, t, m=memory: m(o, t),
    "partial": lambda memory: functools.partial(lambda m, o, t: m(o, t), memory),
    "bound method": lambda memory: memory.forward,
    "method of an object": lambda memory: Caller(memory).method,
    "callable object": Caller,
    "closure over an object": lambda memory: over(Caller(memory)),
    "global": lambda memory: through_a_global,
}


@PLACES
@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_module_is_as_before_however_it_is_reached(
    loss: str, held: bool, snapshot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []
    for way in ("module", loss):
        torch.manual_seed(0)
        model, memory = nn.Linear(4, 1), Memory()
        monkeypatch.setitem(globals(), "the_memory", memory)
        memory.scale.requires_grad_(held)
        trained = [*model.parameters(), *(memory.parameters() if held else ())]
        optimizer = torch.optim.SGD(trained, lr=0.1)
        before = memory.state()
        task = TrainingTask(model, optimizer, LOSSES[way](memory), BATCHES, snapshot=snapshot)
        rows.append(find(task).rows().tobytes())
        assert memory.state() == before
        assert [p.grad for p in model.parameters()] == [None, None]
    assert rows[0] == rows[1]


def test_parameters_that_nobody_sweeps_are_named() -> None:
    model, memory = nn.Linear(4, 1), Memory()
    for loss_fn in (lambda o, t: memory(o, t), memory):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with pytest.warns(UserWarning, match=r"no optimizer holds \(Memory\.scale\)") as told:
            records = lr_find(model, optimizer, loss_fn, BATCHES, steps=3, progress=False)
        assert len(told) == 1
        assert "Memory.scale" in records.meta["not_swept"]
        assert memory.scale.grad is None
    run = SweepRunner(TrainingTask(model, optimizer, memory, BATCHES), SweepOptions(steps=3))
    assert "Memory.scale" in run.notice


def test_a_teacher_in_eval_mode_is_none_that_nobody_sweeps() -> None:
    class Distillation(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.teacher = nn.Sequential(nn.Linear(1, 3), nn.Linear(3, 1)).eval()
            self.inner = nn.ModuleDict({"memory": Memory()})

        def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                taught = self.teacher(output)
            return (output - taught - target).square().mean() * self.inner["memory"].scale

    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss_fn = Distillation()
    with pytest.warns(UserWarning, match=r"holds \(Distillation\.inner\.memory\.scale\)"):
        lr_find(model, optimizer, loss_fn, BATCHES, steps=3, progress=False)
    loss_fn.inner.requires_grad_(False)
    records = lr_find(model, optimizer, loss_fn, BATCHES, steps=3, progress=False)
    assert "not_swept" not in records.meta


@pytest.mark.framework
@pytest.mark.filterwarnings("ignore")
@PLACES
def test_training_with_opacus_goes_on(snapshot: Any) -> None:
    opacus = pytest.importorskip("opacus")

    def trained(sweep: bool) -> Any:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        data = torch.utils.data.TensorDataset(X, X.sum(1, keepdim=True))
        engine = opacus.PrivacyEngine()
        model, optimizer, loader = engine.make_private(
            module=model,
            optimizer=optimizer,
            data_loader=torch.utils.data.DataLoader(data, batch_size=4),
            noise_multiplier=1.0,
            max_grad_norm=1.0,
        )
        loss_fn, losses = nn.MSELoss(), []
        for epoch in range(2):
            for x, y in loader:
                optimizer.zero_grad()
                loss = loss_fn(model(x), y)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            if sweep and epoch == 0:
                records = find(TrainingTask(model, optimizer, loss_fn, loader, snapshot=snapshot))
                assert records.stop_reason == "finished"
        return losses, engine.accountant.history

    with torch.random.fork_rng(devices=[]):
        assert trained(sweep=True) == trained(sweep=False)
