"""Variables and places that a step sets are as before after a sweep, and before each trial."""

import collections
import dataclasses
import functools
import itertools
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lrwidget import LRRecords, TrainingTask, check_lrs, lr_find, refine
from tests.tasks import blobs, network

ce = nn.CrossEntropyLoss()
x, y = blobs().tensors
BATCHES = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 256, 16)]

Loss = Callable[[Any], torch.Tensor]
# What a step does besides, and what it has so far.
Beside = tuple[Callable[[torch.Tensor], Any], Callable[[], Any]]

warm = 3


class Annealed:
    """A schedule that counts its calls, as for the weight of a divergence."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, _: Any) -> None:
        self.calls += 1
        self.latest = self.calls / 10


@dataclasses.dataclass(slots=True)
class Slotted:
    calls: int = 0

    def add(self, _: Any) -> None:
        self.calls += 1


def counter() -> Beside:
    count = 0

    def add(_: Any) -> None:
        nonlocal count
        count += 1

    return add, lambda: count


def deeper() -> Beside:
    count = 0

    def add(_: Any) -> None:
        def inner() -> None:
            nonlocal count
            count += 1

        inner()

    return functools.partial(add), lambda: count


def module_variable() -> Beside:
    def add(_: Any) -> None:
        global warm
        warm += 1

    return add, lambda: warm


def new_module_variable() -> Beside:
    def add(_: Any) -> None:
        global made
        made = 1  # type: ignore[name-defined]

    return add, lambda: "made" in globals()


def average() -> Beside:
    mean: Any = None

    def add(loss: torch.Tensor) -> None:
        nonlocal mean
        mean = loss.detach() if mean is None else 0.9 * mean + 0.1 * loss.detach()

    return add, lambda: mean


def not_yet_assigned() -> Beside:
    def has() -> bool:
        try:
            return first is not None
        except NameError:
            return False

    def add(loss: torch.Tensor) -> None:
        nonlocal first
        first = loss.detach()

    if x is None:
        first: Any = 1
    return add, has


def averages_in_a_list() -> Beside:
    means = [torch.zeros(()), torch.zeros(())]

    def add(loss: torch.Tensor) -> None:
        means[0] = 0.9 * means[0] + 0.1 * loss.detach()

    return add, lambda: [float(mean) for mean in means]


def numbers_in_a_list() -> Beside:
    window, at = [0.0, 0.0, 0.0], [0]

    def add(loss: torch.Tensor) -> None:
        window[at[0] % 3] = loss.item()
        at[0] += 1

    return add, lambda: [*window, *at]


def numbers_in_a_dict() -> Beside:
    held = {"steps": 0}

    def add(_: Any) -> None:
        held["steps"] += 1

    return add, lambda: dict(held)


class Settings(dict[str, Any]):
    """A dict whose keys are attributes."""

    def __getattr__(self, name: str) -> Any:
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


def numbers_in_settings() -> Beside:
    settings = Settings(steps=0, deeper=Settings(rate=1.0))

    def add(_: Any) -> None:
        settings.steps += 1
        settings.deeper.rate *= 0.9

    return add, lambda: (dict(settings), settings.deeper.rate)


class Window(list[float]):
    at = 0


def numbers_in_a_list_of_ones_own() -> Beside:
    window = Window([0.0, 0.0])

    def add(loss: torch.Tensor) -> None:
        window[window.at % 2] = loss.item()
        window.at += 1

    return add, lambda: [*window, window.at]


def averages_made_at_the_first_step() -> Beside:
    means: dict[str, Any] = {}

    def add(loss: torch.Tensor) -> None:
        means["loss"] = 0.9 * means.get("loss", 0) + loss.detach()

    return add, lambda: dict(means)


def window() -> Beside:
    latest: collections.deque[float] = collections.deque([1.0], maxlen=3)
    return lambda loss: latest.append(loss.item()), lambda: list(latest)


def memory_in_a_list() -> Beside:
    memory: list[torch.Tensor] = []

    def add(loss: torch.Tensor) -> None:
        memory.append(loss.detach())
        if len(memory) > 4:
            memory.pop(0)

    return add, lambda: len(memory)


def memory_of_an_object() -> Beside:
    it = SimpleNamespace(memory=[])

    def add(loss: torch.Tensor) -> None:
        it.memory.append((loss.detach(), 0))
        torch.stack([item for item, _ in it.memory])

    return add, lambda: len(it.memory)


def attribute_of_an_object() -> Beside:
    annealed = Annealed()
    return annealed, lambda: dict(vars(annealed))


def attribute_beside_a_loader() -> Beside:
    it = SimpleNamespace(loader=torch.utils.data.DataLoader(blobs()), steps=0)

    def add(_: Any) -> None:
        it.steps += 1
        it.newest = it.steps

    return add, lambda: (it.steps, it.loader, sorted(vars(it)))


def attribute_of_nothing_that_is_deleted() -> Beside:
    it = SimpleNamespace(cache=None)

    def add(_: Any) -> None:
        vars(it).pop("cache", None)

    return add, lambda: dict(vars(it))


def slot() -> Beside:
    slotted = Slotted()
    return slotted.add, lambda: slotted.calls


def attribute_of_a_function() -> Beside:
    def add(_: Any) -> None:
        add.calls = getattr(add, "calls", 0) + 1  # type: ignore[attr-defined]

    return add, lambda: dict(vars(add))


class Local(threading.local):
    calls = 0


def of_this_thread(local: Any) -> Beside:
    def add(_: Any) -> None:
        local.calls = getattr(local, "calls", 0) + 1

    return add, lambda: dict(local.__dict__)


def local() -> Beside:
    return of_this_thread(threading.local())


def local_of_a_subclass() -> Beside:
    return of_this_thread(Local())


BESIDE = (
    *(counter, deeper, module_variable, new_module_variable, average, not_yet_assigned),
    *(averages_in_a_list, numbers_in_a_list, numbers_in_a_dict, averages_made_at_the_first_step),
    *(
        attribute_beside_a_loader,
        window,
        memory_in_a_list,
        memory_of_an_object,
        attribute_of_an_object,
        attribute_of_nothing_that_is_deleted,
        slot,
    ),
    *(attribute_of_a_function, numbers_in_settings, numbers_in_a_list_of_ones_own),
    *(local, local_of_a_subclass),
)


class Trained:
    """A task whose step, or whose loss, does something besides, and what it saw before each."""

    def __init__(self, make: Callable[[], Beside], form: str = "step") -> None:
        model = network()
        do, state = make()
        seen: list[Any] = []

        def step(batch: Any) -> torch.Tensor:
            return loss_fn(model(batch[0]), batch[1])

        def loss_fn(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            seen.append(state())
            loss: torch.Tensor = ce(output, target)
            do(loss)
            return loss

        self.seen, self.state = seen, state
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        evaluate = lambda batch: ce(model(batch[0]), batch[1])  # noqa: E731
        how: Any = {"step": step} if form == "step" else {"loss_fn": loss_fn}
        self.task = TrainingTask(model, optimizer, data=BATCHES, evaluate=evaluate, **how)


@pytest.mark.parametrize("form", ["step", "loss"])
@pytest.mark.parametrize("make", BESIDE)
def test_they_are_as_before_and_each_trial_begins_so(make: Callable[[], Beside], form: str) -> None:
    it = Trained(make, form)
    before = it.state()
    lr_find(it.task, steps=5, progress=False)
    assert it.state() == before
    assert it.seen[4] != before or make is new_module_variable or make is not_yet_assigned
    it.seen.clear()
    check_lrs(it.task, [1e-3, 2e-3], 3)
    assert it.state() == it.seen[0] == it.seen[3] == before
    it.seen.clear()
    result = refine(it.task, LRRecords(), budget=180)
    assert it.state() == before
    starts = [number for number, seen in enumerate(it.seen) if seen == before]
    assert len(starts) >= len(result.trials)


@pytest.mark.parametrize("make", BESIDE)
def test_an_exception_does_not_keep_them(make: Callable[[], Beside]) -> None:
    it = Trained(make)
    before = it.state()
    it.task.data = [*BATCHES[:3], "no batch"]
    with pytest.raises((TypeError, AttributeError)):
        lr_find(it.task, steps=5, progress=False)
    assert it.state() == before


def test_a_trial_goes_on_with_them_and_measuring_does_not_change_them() -> None:
    model, count = network(), 0
    counted: list[int] = []

    def step(batch: Any) -> torch.Tensor:
        nonlocal count
        if model.training:
            counted.append(count)
        count += 1
        return ce(model(batch[0]), batch[1])

    result = refine(TrainingTask(model, torch.optim.SGD, data=BATCHES, step=step), LRRecords(), 750)
    lengths = {length for trial in result.trials for length in trial.held_out}
    assert len(lengths) == 2
    begun_at = [new for old, new in itertools.pairwise(counted) if new != old + 1]
    assert set(begun_at) <= {0, min(lengths)}
    assert max(counted) == max(lengths) - 1


@pytest.mark.parametrize("form", ["step", "loss"])
def test_validation_does_not_move_what_training_counts(form: str) -> None:
    def losses(**options: Any) -> list[float]:
        model, count = network(), 0

        def loss_fn(output: torch.Tensor, target: torch.Tensor) -> Any:
            nonlocal count
            count += 1
            return ce(output, target) * count

        def step(batch: Any) -> Any:
            return loss_fn(model(batch[0]), batch[1])

        if form == "loss":
            task = TrainingTask(model, torch.optim.SGD, loss_fn, BATCHES, **options)
        else:
            options |= {"evaluate": step} if options else {}
            task = TrainingTask(model, torch.optim.SGD, data=BATCHES, step=step, **options)
        return list(lr_find(task, steps=6, progress=False).loss)

    assert losses(val_data=BATCHES[:4], val_every=2) == losses()


def test_what_is_added_to_lists_and_dicts_and_what_a_counter_counts_are_notes() -> None:
    model = network()
    losses, outputs, by_step, counted = [], [], {}, collections.Counter({"steps": 1})
    history: dict[str, list[float]] = {"loss": []}

    def step(batch: Any) -> torch.Tensor:
        output = model(batch[0])
        loss: torch.Tensor = ce(output, batch[1])
        losses.append(loss.item())
        outputs.append(output.detach())
        by_step[len(losses)] = loss.item()
        history["loss"].append(loss.item())
        counted["steps"] += 1
        return loss

    task = TrainingTask(model, torch.optim.SGD, data=BATCHES, step=step)
    records = lr_find(task, steps=6, progress=False)
    assert losses == history["loss"] == list(by_step.values()) == records.loss.tolist()
    assert len(outputs) == 6
    assert counted["steps"] == 7


def test_a_step_trains_as_before_the_sweep_after_it() -> None:
    def run(*, sweeps: bool) -> list[float]:
        model, count = network(), 0
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def step(batch: Any) -> torch.Tensor:
            nonlocal count
            count += 1
            warmed = ce(model(batch[0]), batch[1]) * min(1.0, count / 10)
            optimizer.zero_grad()
            warmed.backward()
            optimizer.step()
            return warmed

        if sweeps:
            lr_find(
                TrainingTask(model, optimizer, data=BATCHES, step=step), steps=8, progress=False
            )
        return [step(batch).item() for batch in BATCHES]

    assert run(sweeps=True) == run(sweeps=False)


def counting_collation() -> tuple[Any, Callable[[], int]]:
    calls = 0

    def collated(samples: list[Any]) -> Any:
        nonlocal calls
        calls += 1
        inputs, targets = torch.utils.data.default_collate(samples)
        return inputs * min(1.0, calls / 4), targets

    return torch.utils.data.DataLoader(blobs(), 16, collate_fn=collated), lambda: calls


class Counted(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Any:
        global warm
        warm += 1
        return x[index] * min(1.0, warm / 100), y[index]


def counting_data() -> tuple[Any, Callable[[], int]]:
    return torch.utils.data.DataLoader(Counted(), 16), lambda: warm


def visits(counts: Any) -> tuple[Any, Callable[[], Any]]:
    """Return samples that fade with their visits, which are counted outside."""

    class Visited(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 64

        def __getitem__(self, index: int) -> Any:
            counts[index] += 1
            return x[index] / float(counts[index]), y[index]

    return torch.utils.data.DataLoader(Visited(), 16), counts.tolist


def counting_in_an_array() -> tuple[Any, Callable[[], Any]]:
    return visits(np.zeros(64))


def counting_in_a_tensor() -> tuple[Any, Callable[[], Any]]:
    return visits(torch.zeros(64))


def counting_in_a_file() -> tuple[Any, Callable[[], Any]]:
    with tempfile.TemporaryFile() as file:
        return visits(np.memmap(file, mode="w+", shape=64, dtype=np.float32))


@pytest.mark.parametrize(
    "make",
    [
        *(counting_collation, counting_data),
        *(counting_in_an_array, counting_in_a_tensor, counting_in_a_file),
    ],
)
def test_so_are_those_of_a_collation_and_of_a_data_set(make: Callable[[], Any]) -> None:
    data, count = make()
    before = count()
    task = TrainingTask(network(), torch.optim.SGD, ce, data)
    lr_find(task, steps=4, progress=False)
    assert count() == before
    # Rates so low that they make no difference.
    first, second = check_lrs(task, [1e-30, 2e-30], 4).trials
    assert first.loss.tolist() == second.loss.tolist()
    assert count() == before


@pytest.mark.parametrize("written", [True, False])
def test_a_small_file_that_a_step_writes_to_is_as_before(tmp_path: Path, written: bool) -> None:
    model, path = network(), tmp_path / "bank"
    bank = np.memmap(path, mode="w+", shape=(16, 4), dtype=np.float32)
    bank.flush()
    os.utime(path, (1, 1))

    def step(batch: Any) -> torch.Tensor:
        output = model(batch[0])
        loss = ce(output + torch.from_numpy(np.array(bank)), batch[1])
        if written:
            bank[:] = output.detach().numpy()
        return loss

    task = TrainingTask(model, torch.optim.SGD, data=BATCHES, step=step)
    first, second = (lr_find(task, steps=8, progress=False) for _ in range(2))
    assert first.rows().tolist() == second.rows().tolist()
    assert not bank.any()
    bank.flush()
    assert written or path.stat().st_mtime == 1
