"""A sweep accepts every form of batch and every kind of loader."""

import contextlib
import dataclasses
import gc
import multiprocessing
from collections import UserDict, namedtuple
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from lrwidget import LRRecords, TrainingTask
from lrwidget.data.batches import to_device
from tests.restore.endings import PATIENCE, find, runner, wait_until
from tests.restore.fingerprint import differences, fingerprint

X = torch.randn(22, 4, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True)
BATCHES = [(X[i : i + 4], Y[i : i + 4]) for i in range(0, 20, 4)]


class Model(nn.Module):
    """A regression model that accepts inputs in every form that a batch may have."""

    def __init__(self, output: Callable[[torch.Tensor, Any], Any] = lambda out, loss: out) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.linear = nn.Linear(4, 1)
        self.output = output

    def forward(self, x: Any, mask: Any = None, labels: Any = None) -> Any:
        if not isinstance(x, torch.Tensor):
            x = x.x
        out = self.linear(x if mask is None else x * mask)
        loss = None if labels is None else nn.functional.mse_loss(out, labels)
        return self.output(out, loss)


def swept(data: Any, model: nn.Module | None = None, loss_fn: Any = "mse", **options: Any) -> Any:
    model = Model() if model is None else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss_fn = nn.functional.mse_loss if loss_fn == "mse" else loss_fn
    return find(TrainingTask(model, optimizer, loss_fn, data), **options)


@pytest.fixture(scope="module")
def pairs() -> LRRecords:
    return swept(BATCHES)


Pair = namedtuple("Pair", "x y")


@dataclasses.dataclass
class Graph:
    x: torch.Tensor
    y: torch.Tensor


class Movable:
    """A batch with attributes and its own `to`, as in torch_geometric."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.x, self.y = x, y

    def to(self, device: torch.device) -> "Movable":
        return Movable(self.x.to(device), self.y.to(device))


ONES = torch.ones(4, 4)
FORMS: dict[str, Callable[[torch.Tensor, torch.Tensor], Any]] = {
    "tuple": lambda x, y: (x, y),
    "list": lambda x, y: [x, y],
    "named tuple": Pair,
    "longer tuple": lambda x, y: (x, ONES, y),
    "nested": lambda x, y: ((x, ONES), y),
    "inputs by name": lambda x, y: ({"x": x, "mask": ONES}, y),
    "dict": lambda x, y: {"x": x, "labels": y},
    "dict, target": lambda x, y: {"x": x, "mask": ONES, "target": y},
    "dict-like": lambda x, y: UserDict({"x": x, "labels": y}),
    "dataclass": Graph,
    "namespace": lambda x, y: SimpleNamespace(x=x, y=y),
    "object": Movable,
}


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_of_any_form_is_the_same_batch(form: str, pairs: LRRecords) -> None:
    records = swept([FORMS[form](x, y) for x, y in BATCHES])
    assert records.rows().tobytes() == pairs.rows().tobytes()


OUTPUTS: dict[str, Callable[[torch.Tensor, Any], Any]] = {
    "the loss": lambda out, loss: loss,
    "a tuple": lambda out, loss: (loss, out),
    "a dict": lambda out, loss: {"loss": loss, "logits": out},
    "an object": lambda out, loss: SimpleNamespace(loss=loss, logits=out),
}


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_loss_is_in_the_output(output: str, pairs: LRRecords) -> None:
    batches = [{"x": x, "labels": y} for x, y in BATCHES]
    records = swept(batches, Model(OUTPUTS[output]), None)
    assert records.rows().tobytes() == pairs.rows().tobytes()


def test_single_tensors_are_reconstructed() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 4))
    records = swept([x for x, _ in BATCHES], model, nn.functional.mse_loss)
    assert records.stop_reason == "finished"
    assert np.isfinite(records.loss).all()


def test_a_short_loader_is_cycled_and_its_epochs_marked(pairs: LRRecords) -> None:
    assert pairs.meta["epochs_begin_at"] == [5, 10]
    first = swept(BATCHES[:1])
    assert first.meta["epochs_begin_at"] == list(range(1, 12))
    assert "epochs_begin_at" not in swept(BATCHES * 3).meta


def test_the_last_partial_batch_is_trained_on() -> None:
    sizes: list[int] = []

    def loss_fn(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        sizes.append(len(target))
        return nn.functional.mse_loss(output, target)

    swept(DataLoader(TensorDataset(X, Y), batch_size=8), loss_fn=loss_fn)
    assert sizes == [8, 8, 6] * 4


class Stream(IterableDataset[Any]):
    """A stream of samples without a length."""

    def __iter__(self) -> Iterator[Any]:
        yield from zip(X, Y, strict=True)


def test_an_iterable_data_set_is_cycled() -> None:
    for data in (DataLoader(Stream(), batch_size=4), Stream()):
        records = swept(data)
        assert (records.stop_reason, len(records)) == ("finished", 12)


def test_a_loader_of_a_stream_with_a_length_is_as_before() -> None:
    class Guessed(Stream):
        def __len__(self) -> int:
            return 1  # of a loader that was asked for it, torch warns when more come

    loader = DataLoader(Guessed(), batch_size=4)
    before = vars(loader).copy()
    swept(loader)
    assert vars(loader) == before


def test_an_iterable_class_is_cycled() -> None:
    class Batches:
        def __iter__(self) -> Iterator[Any]:
            yield from BATCHES

    records = swept(Batches())
    assert (records.stop_reason, len(records)) == ("finished", 12)
    assert records.meta["epochs_begin_at"] == [5, 10]


def test_a_generator_is_exhausted_and_keeps_its_rows(pairs: LRRecords) -> None:
    records = swept(batch for batch in BATCHES)
    assert (records.stop_reason, len(records)) == ("exhausted", 5)
    # The sweep was cut short; its rates were not rescaled to five steps.
    assert records.rows().tobytes() == pairs.rows()[:5].tobytes()
    assert records.suggestion.reason


class Noisy(Dataset[Any]):
    """A data set that workers augment; reading the sample `fails_at` raises an error."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.fails_at = fails_at

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> Any:
        if index == self.fails_at:
            raise OSError("a broken picture")
        return X[index] + 0.01 * torch.randn(4), Y[index]


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("fails_at", [None, 17])
def test_workers_of_a_background_sweep_end_with_it(persistent: bool, fails_at: int | None) -> None:
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(
        Noisy(fails_at), batch_size=4, num_workers=1, persistent_workers=persistent, shuffle=True
    )
    subjects = {"model": model, "optimizer": optimizer, "loader": loader}
    before = fingerprint(**subjects)
    reason = _end_of(TrainingTask(model, optimizer, nn.functional.mse_loss, loader))
    assert reason == ("finished" if fails_at is None else "failed")
    assert not multiprocessing.active_children()
    # The queues' threads and pipes end shortly after the workers, or with the traceback that
    # refers to them.
    gc.collect()
    wait_until(lambda: not differences(before, fingerprint(**subjects)))


def _end_of(task: TrainingTask) -> str | None:
    run = runner(task)
    run.start()
    with contextlib.suppress(OSError):
        run.wait(PATIENCE)
    run.close()
    return run.records.stop_reason


def test_persistent_workers_of_the_users_epoch_go_on() -> None:
    def seen(sweep: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        loader = DataLoader(
            Noisy(), batch_size=8, num_workers=1, persistent_workers=True, shuffle=True
        )
        batches = []
        for i, (x, _) in enumerate(loader):
            batches.append(x)
            if sweep and i == 0:
                swept(loader)
        workers = multiprocessing.active_children()
        assert len(workers) == 1
        batches += [x for x, _ in loader]
        assert multiprocessing.active_children() == workers
        loader._iterator._shutdown_workers()
        return batches

    for with_sweep, without in zip(seen(True), seen(False), strict=True):
        assert torch.equal(with_sweep, without)


def test_batches_are_moved_without_blocking(monkeypatch: pytest.MonkeyPatch) -> None:
    moves: list[tuple[Any, Any]] = []
    real = torch.Tensor.to

    def to(self: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if args and isinstance(args[0], torch.device):
            moves.append((args[0], kwargs))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "to", to)
    moved = to_device({"x": [X, (Y, "name")]}, torch.device("meta"))
    assert moved["x"][0].device.type == "meta"
    assert moved["x"][1][1] == "name"
    assert [kwargs for _, kwargs in moves] == [{"non_blocking": True}] * 2
