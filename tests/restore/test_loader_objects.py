"""What a sweep restores of the objects behind a loader, and what it leaves alone."""

import io
import operator
import queue
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    Dataset,
    IterableDataset,
)

from lrwidget import LRRecords, check_lrs
from tests.restore.endings import find
from tests.restore.loaders import X, Y, swept, task_of


def test_a_file_that_is_read_is_put_back_to_its_position(tmp_path: Path) -> None:
    path = tmp_path / "samples.bin"
    path.write_bytes(X.numpy().tobytes())

    class Lines(IterableDataset[Any]):
        def __init__(self, file: io.BufferedReader) -> None:
            self.file = file
            self.read = 0

        def __iter__(self) -> Iterator[Any]:
            while raw := self.file.read(16):
                self.read += 1
                x = torch.frombuffer(bytearray(raw), dtype=torch.float32)
                yield x, x.sum(0, keepdim=True)

    with path.open("rb") as file:
        data = Lines(file)
        file.seek(16)
        records = swept(data, batch_size=4)
        assert (records.stop_reason, len(records)) == ("exhausted", 6)
        assert (file.tell(), data.read) == (16, 0)


class Hidden:
    """A loader whose position is in an iterator; only its own methods can read and set it."""

    def __init__(self) -> None:
        self._places = iter(range(10**9))
        self._next = next(self._places)

    def __iter__(self) -> Iterator[Any]:
        for _ in range(5):
            self._next = next(self._places)
            yield X[:4], Y[:4]

    def state_dict(self) -> dict[str, int]:
        return {"next": 10**9 - operator.length_hint(self._places)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._places = iter(range(10**9))
        for _ in range(state["next"]):
            next(self._places)


def test_an_iterator_inside_is_put_back_by_the_objects_own_state_dict() -> None:
    data = Hidden()
    before = data.state_dict()
    swept(data)
    assert data.state_dict() == before
    list(data)
    assert data.state_dict() != before


class BeginsToTell:
    """A loader whose `state_dict` begins its first pass, as that of torchdata's nodes does."""

    def __init__(self) -> None:
        self.order = iter(())
        self.passes = 0
        self.begun: list[int] | None = None

    def begin(self) -> list[int]:
        self.order, self.passes = iter(torch.randperm(5).tolist()), self.passes + 1
        return list(self.order)

    def __iter__(self) -> Iterator[Any]:
        places, self.begun = self.begun or self.begin(), None
        for place in places:
            yield X[place : place + 4], Y[place : place + 4]

    def state_dict(self) -> dict[str, Any]:
        self.begun = self.begun or self.begin()
        return {"passes": self.passes, "begun": self.begun}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.passes, self.begun = state["passes"], state["begun"]


def test_a_loader_that_begins_a_pass_to_tell_its_state_has_not_begun() -> None:
    data = BeginsToTell()
    task, before, drawn = task_of(data), dict(vars(data)), torch.get_rng_state()
    find(task)
    assert vars(data) == before
    assert torch.equal(torch.get_rng_state(), drawn)
    first, second = check_lrs(task, [1e-30, 2e-30], 8).trials
    assert first.loss.tolist() == second.loss.tolist()
    assert vars(data) == before


@pytest.mark.parametrize("more", [(), ("name", 3)])
def test_a_function_beside_a_thousand_batches_is_put_back(more: tuple[Any, ...]) -> None:
    calls = 0

    def turned(x: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return x if calls % 2 else -x

    class Turned:
        def __init__(self, turn: Any) -> None:
            self.batches = [(X[:4] + i, Y[:4], *more) for i in range(1000)]
            self.turn = [turn]

        def __iter__(self) -> Iterator[Any]:
            return ((self.turn[0](x), y) for x, y, *_ in self.batches)

    swept(Turned(turned))
    assert calls == 0


def test_data_are_not_copied() -> None:
    size = 4_000_000

    class Large(Dataset[Any]):
        def __init__(self) -> None:
            self.array = np.zeros((size // 8, 4))
            self.tensor = torch.zeros(size // 4, 4)
            self.samples = [(float(i), 0) for i in range(size // 10)]
            self.by_name = dict.fromkeys(map(str, range(size // 10)), 1.0)
            self.nested = [[torch.zeros(1000)] for _ in range(900)]

        def __len__(self) -> int:
            return len(X)

        def __getitem__(self, index: int) -> Any:
            return X[index], Y[index]

    task = task_of(Large(), batch_size=4)
    find(task)  # the first sweep may load and cache things
    copied: list[int] = []
    clone = torch.Tensor.clone

    def counted(self: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        copied.append(self.nbytes)
        return clone(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "clone", counted)
        tracemalloc.start()
        try:
            find(task)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < 2**20
    assert sum(copied) < 2**20


def test_an_order_of_many_samples_is_put_back() -> None:
    class Ordered(Dataset[Any]):
        def __init__(self) -> None:
            self.order = np.arange(500_000)
            self.names = list(range(500_000))

        def __len__(self) -> int:
            return len(X)

        def __getitem__(self, index: int) -> Any:
            self.order[:2] = self.order[1::-1]
            self.names[0] = self.names[1] = -1
            return X[index], Y[index]

    data = Ordered()
    swept(data)
    assert data.order[:3].tolist() == data.names[:3] == [0, 1, 2]


def test_models_and_widgets_behind_a_loader_are_left_alone() -> None:
    class Experiment:
        def __init__(self) -> None:
            self.other = nn.Linear(4, 1)
            self.records = LRRecords()

    experiment = Experiment()

    class Tied(Dataset[Any]):
        def __init__(self) -> None:
            self.experiment = experiment
            self.calls = 0

        def __len__(self) -> int:
            return len(X)

        def __getitem__(self, index: int) -> Any:
            self.calls += 1
            experiment.other.weight.data += 1
            experiment.records.append(1.0, 1.0)
            return X[index], Y[index]

    before = experiment.other.weight.detach().clone()
    data = Tied()
    swept(data)
    assert data.calls == 0
    assert not torch.equal(experiment.other.weight, before)
    assert len(experiment.records) > 0


def test_what_has_a_queue_or_a_thread_at_work_is_left_alone() -> None:
    class Fed(IterableDataset[Any]):
        def __init__(self) -> None:
            self.queue: queue.Queue[int] = queue.Queue()
            self.taken = 0
            self.rng = random.Random(0)

        def __iter__(self) -> Iterator[Any]:
            for index in range(8):
                self.queue.put(index)
                self.taken += 1
                self.rng.random()
                yield X[index], Y[index]

    data = Fed()
    before = data.rng.getstate()
    swept(data, batch_size=4)
    # A queue cannot be restored, so the count of its items stays too.
    assert data.taken == data.queue.qsize() > 0
    assert data.rng.getstate() == before


def test_an_objects_own_error_comes_after_all_else_is_back() -> None:
    class Stubborn(Hidden):
        def load_state_dict(self, state: dict[str, int]) -> None:
            raise OSError("not here")

    data = Stubborn()
    task = task_of(data)
    before = task.model.weight.detach().clone()
    task.snapshot = "device"
    state = torch.get_rng_state()
    with pytest.raises(OSError, match="not here"):
        find(task)
    assert torch.equal(task.model.weight, before)
    assert torch.equal(torch.get_rng_state(), state)
