"""A sweep completes and restores everything although some objects raise errors when inspected."""

import contextlib
import gc
import tempfile
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lrwidget import TrainingTask, lr_find
from lrwidget.data.batches import as_loader
from lrwidget.restore.captured import Captured, modules_beside
from tests.restore.fingerprint import differences, fingerprint

OPTIONS: dict[str, Any] = {"steps": 6, "end_lr": 1.0, "seed": 0, "progress": False}
X, Y = torch.randn(32, 4), torch.randn(32, 2)


class ListOfItsOwn(list[Any]):
    """A list that must not be read or counted, since a lazy list would load its items."""

    def __iter__(self) -> Any:
        raise RuntimeError("iterated")

    def __len__(self) -> int:
        raise RuntimeError("counted")


class DictOfItsOwn(dict[Any, Any]):
    def __iter__(self) -> Any:
        raise RuntimeError("iterated")

    def values(self) -> Any:
        raise RuntimeError("read")


class Column:
    """A key that gives no truth when it is compared, as those of tables in queries."""

    def __eq__(self, other: object) -> Any:
        raise TypeError("the boolean value of this clause is not defined")

    __hash__ = object.__hash__


class Unbound:
    """An object that raises at any access, as werkzeug's LocalProxy does outside a request."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(f"working outside of context: {name}")


class StandsForAList:
    """An object that claims to be a list, as wrapt's proxies and mocks with a spec do."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # type: ignore[override]
        return list


class WithoutAttributes:
    @property  # type: ignore[misc]
    def __dict__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("not made yet")


class HidesItsModule(type):
    """A metaclass without the name of its module, as Cython makes them."""

    __module__: Any = property(lambda _: "compiled")  # type: ignore[assignment]


class Compiled(metaclass=HidesItsModule):
    pass


class Remote:
    """An object that stands for one elsewhere, and names the module of that."""

    __module__: Any = property(lambda _: "elsewhere")  # type: ignore[assignment]


def gone() -> Any:
    """Return a weak proxy of a deleted object."""
    return weakref.proxy(nn.Linear(1, 1))


STRANGE: list[Callable[[], Any]] = [
    ListOfItsOwn,
    DictOfItsOwn,
    Unbound,
    StandsForAList,
    WithoutAttributes,
    Remote,
    lambda: Compiled,
    gone,
]


class Holds(nn.Module):
    def __init__(self, held: Any = None) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.held = [held]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x)
        return out


class Rows(Dataset[Any]):
    def __init__(self, held: Any) -> None:
        self.held = [held]
        self.reads = 0

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> Any:
        self.reads += 1
        return X[index], Y[index]


def test_a_dict_in_a_model_whose_keys_cannot_be_compared() -> None:
    model = Holds({Column(): 1})
    records = lr_find(model, torch.optim.SGD, nn.MSELoss(), (X, Y), **OPTIONS)
    assert records.meta["ran_on"] == "copy"


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("snapshot", ["auto", "device"])
def test_a_nested_tensor_in_a_model_or_a_data_set(snapshot: Any) -> None:
    def nested() -> torch.Tensor:
        return torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])

    class Counts(Holds):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.held[0].add_(1)
            return super().forward(x)

    model, rows = Counts(nested()), Rows(nested())
    data = DataLoader(rows, batch_size=8)
    records = lr_find(model, torch.optim.SGD, nn.MSELoss(), data, snapshot=snapshot, **OPTIONS)
    assert len(records) == 6
    assert "\n" not in records.meta.get("why_in_place", "")
    assert [part.sum().item() for part in model.held[0].unbind()] == [0, 0]


def test_an_expanded_and_an_inference_tensor_in_a_data_set() -> None:
    class Counts(Rows):
        view: torch.Tensor
        base: torch.Tensor
        fixed: torch.Tensor

        def __getitem__(self, index: int) -> Any:
            with torch.inference_mode():
                self.fixed.add_(1)
            self.base.add_(1)
            return super().__getitem__(index)

    with torch.inference_mode():
        fixed = torch.zeros(3)
    base = torch.zeros(1, 2)
    rows = Counts({})
    rows.view, rows.base, rows.fixed = base.expand(5, 2), base, fixed
    data = DataLoader(rows, batch_size=8)
    lr_find(Holds(), torch.optim.SGD, nn.MSELoss(), data, **OPTIONS)
    assert base.tolist() == [[0, 0]]
    assert fixed.tolist() == [0, 0, 0]


def test_a_tensor_of_a_data_set_that_requires_gradients() -> None:
    class Perturbed(Dataset[Any]):
        def __init__(self) -> None:
            self.noise = torch.zeros(3, requires_grad=True)

        def __len__(self) -> int:
            return 16

        def __getitem__(self, index: int) -> Any:
            self.noise.data.add_(0.1)
            return torch.ones(3) + self.noise.detach(), torch.ones(2)

    data = Perturbed()
    model = nn.Linear(3, 2)
    records = lr_find(model, torch.optim.SGD, nn.MSELoss(), data, steps=4, progress=False)
    assert records.stop_reason == "finished"
    assert data.noise.tolist() == [0.0, 0.0, 0.0]


def test_attributes_that_another_thread_sets_meanwhile() -> None:
    class Telling(str):
        """A name at whose sight, as it were, another thread sets an attribute."""

        def __hash__(self) -> int:
            vars(model)[f"set_{len(vars(model))}"] = 0
            return super().__hash__()

        __eq__ = str.__eq__

    model = Holds()
    name = Telling("told")
    vars(model)[name] = 0
    before = len(vars(model))
    assert model in modules_beside(nn.Linear(1, 1), [model])
    assert len(vars(model)) > before
    functions = Captured(TrainingTask(model, torch.optim.SGD, nn.MSELoss(), (X, Y))).functions
    assert functions


@pytest.mark.parametrize("snapshot", ["auto", "device"])
@pytest.mark.parametrize("strange", STRANGE)
def test_strange_objects_anywhere(strange: Callable[[], Any], snapshot: Any) -> None:
    held, beside = strange(), Holds(strange())
    model, rows = Holds(strange()), Rows(strange())
    optimizer = torch.optim.Adam(model.parameters())

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        assert held is not model
        with torch.no_grad():
            beside.layer.weight.add_(1)
        return nn.functional.mse_loss(output, target)

    before = fingerprint(model=model.layer, optimizer=optimizer, beside=beside.layer)
    data = DataLoader(rows, batch_size=8)
    find = lambda: lr_find(  # noqa: E731
        model, optimizer, loss, data, snapshot=snapshot, also=[beside], **OPTIONS
    )
    with pytest.warns(UserWarning, match="no optimizer holds"):
        assert len(find()) == 6
    after = fingerprint(model=model.layer, optimizer=optimizer, beside=beside.layer)
    assert not differences(before, after)
    assert rows.reads == 0


def test_what_a_step_uses_and_what_gives_the_batches_may_hide_its_module() -> None:
    class Batches(Remote):
        def __iter__(self) -> Any:
            return iter([(X, Y)])

    held, model = Remote(), Holds()
    uses = lambda batch: (held, Compiled, nn.functional.mse_loss(model(batch[0]), batch[1]))[2]  # noqa: E731
    task = TrainingTask(model, torch.optim.SGD, data=Batches(), step=uses)
    assert len(lr_find(task, **OPTIONS)) == 6
    for arguments in ((held, torch.optim.SGD), (model, held)):
        with pytest.raises(TypeError, match="Remote; expected"):
            lr_find(*arguments, nn.MSELoss(), [(X, Y)], **OPTIONS)


class Observer(nn.Module):
    """A model that resizes its buffers in place, as observers of quantization do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.register_buffer("least", torch.tensor([1.0]))
        self.register_buffer("ranges", torch.arange(100.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x)
        with torch.no_grad():
            self.get_buffer("least").resize_(64).fill_(3.0)
            self.get_buffer("ranges").resize_(2).fill_(3.0).untyped_storage().resize_(8)
        return out


@pytest.mark.parametrize("snapshot", ["auto", "device", "cpu", "disk"])
def test_buffers_that_are_resized_in_place(snapshot: Any) -> None:
    model = Observer()
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    find = lambda: lr_find(  # noqa: E731
        model, torch.optim.SGD, nn.MSELoss(), (X, Y), snapshot=snapshot, **OPTIONS
    )
    assert find().stop_reason == find().stop_reason == "finished"
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())
    model(X)  # the buffers can still be resized


def test_one_thing_that_cannot_be_put_back_keeps_nothing_else_from_it() -> None:
    views: list[Any] = []

    class Grows(Holds):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not views:
                self.held[0].extend(b"more")
                views.append(memoryview(self.held[0]))  # its view prevents truncation
            torch.rand(1)
            return super().forward(x)

    model = Grows(bytearray(b"abc"))
    before = fingerprint(model=model.layer)
    with pytest.raises(BufferError):
        lr_find(model, torch.optim.SGD, nn.MSELoss(), (X, Y), snapshot="device", **OPTIONS)
    assert not differences(before, fingerprint(model=model.layer))


@pytest.mark.slow
def test_the_copy_is_gone_with_the_sweep() -> None:
    model = Holds()
    gc.collect()
    before = sum(type(value) is Holds for value in gc.get_objects())
    gc.disable()  # memory that fills on an accelerator triggers no collection
    try:
        records = lr_find(model, torch.optim.SGD, nn.MSELoss(), (X, Y), **OPTIONS)
        after = sum(type(value) is Holds for value in gc.get_objects())
    finally:
        gc.enable()
    assert records.meta["ran_on"] == "copy"
    assert after <= before


def swept_in_place(how: str) -> "weakref.ref[nn.Module]":
    """Sweep a new model, in place for different reasons, and return a reference to it."""
    model = Holds(threading.Lock()) if how == "not to be copied" else Holds()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    calls: list[int] = []

    def loss_of(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if how == "its copy fails" and len(calls) == 1:
            raise ValueError("no")
        if how == "it fails" and len(calls) > 2:
            raise ValueError("no")
        if how == "used by the loss":
            model.layer.weight.sum()
        return nn.functional.mse_loss(output, target)

    def step(batch: Any) -> torch.Tensor:
        optimizer.zero_grad()
        loss = loss_of(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return loss

    options: dict[str, Any] = {"snapshot": "device"} if how in ("asked for", "it fails") else {}
    own = {"step": step} if how == "own step" else {"loss_fn": loss_of}
    task = TrainingTask(model, optimizer, data=(X, Y), **own, **options)
    with contextlib.suppress(ValueError):
        records = lr_find(task, **OPTIONS)
        assert records.meta["ran_on"] == "model"
    return weakref.ref(model)


@pytest.mark.parametrize(
    "how",
    [
        *("asked for", "own step", "used by the loss", "not to be copied", "its copy fails"),
        "it fails",
    ],
)
def test_nothing_keeps_a_model_that_was_swept_in_place(how: str) -> None:
    gc.collect()
    gc.disable()  # memory that fills on an accelerator triggers no collection
    try:
        assert swept_in_place(how)() is None
    finally:
        gc.enable()


def test_a_loss_that_comes_to_the_model_later_by_a_weak_reference() -> None:
    model = Holds()
    model.register_buffer("calls", torch.zeros(1))
    there = weakref.ref(model)
    calls: list[int] = []

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        own = there()
        assert own is not None
        if len(calls) > 3:  # the sweep's first steps do not show it
            own.get_buffer("calls").add_(1)
        return nn.functional.mse_loss(output, target)

    records = lr_find(model, torch.optim.SGD, loss, (X, Y), **OPTIONS)
    assert records.meta["ran_on"] == "model"
    assert model.get_buffer("calls").item() == 0


def test_files_that_are_read_and_files_that_are_written(tmp_path: Path) -> None:
    class Logs(Rows):
        def __getitem__(self, index: int) -> Any:
            read, written = self.held[0]
            read.readline()
            written.write("a line of the sweep\n")
            return super().__getitem__(index)

    with tempfile.NamedTemporaryFile("w+", dir=tmp_path) as read, (tmp_path / "log").open("w") as w:
        read.write("".join(f"{n}\n" for n in range(999)))
        read.seek(4)
        w.write("before\n")
        data = as_loader(Logs((read, w)), 8, None)
        lr_find(Holds(), torch.optim.SGD, nn.MSELoss(), data, **OPTIONS)
        assert read.tell() == 4
        w.write("after\n")
    lines = (tmp_path / "log").read_text().splitlines()
    assert (lines[0], lines[1], lines[-1]) == ("before", "a line of the sweep", "after")
