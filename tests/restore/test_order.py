"""Orders of keys, members of sets and numbers in arrays are as before, and so before each trial."""

import array
import collections
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import TrainingTask, check_lrs, lr_find
from tests.tasks import blobs, network

ce = nn.CrossEntropyLoss()
x, y = blobs().tensors
BATCHES = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 256, 16)]

# What a step does besides, and what there is so far.
Beside = tuple[Callable[[], object], Callable[[], Any]]


def least_recently_used() -> Beside:
    cache: collections.OrderedDict[str, int] = collections.OrderedDict(a=1, b=2, c=3)
    return lambda: cache.move_to_end(next(iter(cache))), lambda: list(cache)


def taken_in_turn() -> Beside:
    waiting: dict[str, int] = {"a": 1, "b": 2, "c": 3}

    def add() -> None:
        first = next(iter(waiting))
        waiting[first] = waiting.pop(first)

    return add, lambda: list(waiting.items())


def taken_in_turn_by_keys_of_equal_hashes() -> Beside:
    waiting = {-1: "a", -2: "b"}

    def add() -> None:
        if next(iter(waiting)) == -1:
            waiting[-1] = waiting.pop(-1)

    return add, lambda: list(waiting.items())


def members() -> Beside:
    open_tasks = {1, 2, 3}
    return lambda: open_tasks and open_tasks.pop(), lambda: sorted(open_tasks)


def numbers_in_an_array() -> Beside:
    window = array.array("d", [1.0, 2.0])

    def add() -> None:
        window[0] += 1

    return add, window.tolist


def bits() -> Beside:
    flags = bytearray(4)

    def add() -> None:
        flags[0] += 1

    return add, lambda: bytes(flags)


@pytest.mark.parametrize(
    "make",
    [
        least_recently_used,
        taken_in_turn,
        taken_in_turn_by_keys_of_equal_hashes,
        members,
        numbers_in_an_array,
        bits,
    ],
)
def test_what_a_step_uses(make: Callable[[], Beside]) -> None:
    model, (add, state) = network(), make()
    seen: list[Any] = []

    def step(batch: Any) -> torch.Tensor:
        seen.append(state())
        add()
        return ce(model(batch[0]), batch[1])

    task = TrainingTask(model, torch.optim.SGD(model.parameters(), 0.1), data=BATCHES, step=step)
    before = state()
    lr_find(task, steps=5, progress=False)
    assert state() == before
    assert seen[4] != before
    seen.clear()
    check_lrs(task, [1e-3, 2e-3], 4)
    assert state() == seen[0] == seen[4] == before


def test_an_optimizer_whose_state_is_made_anew_in_another_order() -> None:
    model = network()
    first, *others = model.parameters()
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    for parameter in (*others, first):
        parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    order = [id(parameter) for parameter in optimizer.state]

    def step(batch: Any) -> torch.Tensor:
        optimizer.state.clear()
        return ce(model(batch[0]), batch[1])

    lr_find(TrainingTask(model, optimizer, data=BATCHES, step=step), steps=3, progress=False)
    assert [id(parameter) for parameter in optimizer.state] == order
