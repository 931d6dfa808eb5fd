"""A sweep restores the generators that samplers and functions draw from."""

import functools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    DataLoader,
)

from lrwidget import TrainingTask
from lrwidget.engine.check import check_lrs
from tests.restore.endings import find
from tests.restore.loaders import SAMPLES, Drawing, Order, state_of, swept, task_of

GENERATORS: dict[str, Callable[[], tuple[Any, Callable[[Any], Any]]]] = {
    "numpy Generator": lambda: (np.random.default_rng(0), lambda g: g.permutation(24).tolist()),
    "numpy Philox": lambda: (
        np.random.Generator(np.random.Philox(3)),
        lambda g: g.permutation(24).tolist(),
    ),
    "RandomState": lambda: (
        np.random.RandomState(0),
        lambda g: g.permutation(24).tolist(),
    ),
    "random.Random": lambda: (random.Random(0), lambda g: g.sample(range(24), 24)),
    "torch.Generator": lambda: (
        torch.Generator().manual_seed(0),
        lambda g: torch.randperm(24, generator=g).tolist(),
    ),
}


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_generator_of_any_kind_goes_on_as_if_there_had_been_no_sweep(kind: str) -> None:
    generator, draw = GENERATORS[kind]()
    unswept, _ = GENERATORS[kind]()
    sampler = Order(Drawing(generator, draw))
    swept(DataLoader(SAMPLES, 8, sampler=sampler))
    assert sampler.epoch == 0
    assert [draw(generator) for _ in range(3)] == [draw(unswept) for _ in range(3)]


GLOBAL_RNG = np.random.default_rng(5)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "a closure": lambda rng: lambda out, y: nn.functional.mse_loss(out, y) + rng.random(),
    "a partial": lambda rng: functools.partial(
        lambda rng, out, y: nn.functional.mse_loss(out, y) + rng.random(), rng
    ),
    "an object": lambda rng: Drawing(rng, lambda rng: None).with_loss,
    "a global": lambda _: lambda out, y: nn.functional.mse_loss(out, y) + GLOBAL_RNG.random(),
}


@pytest.mark.parametrize("used_as", ["loss", "step", "metric"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_generator_that_a_function_draws_from_is_as_before(function: str, used_as: str) -> None:
    rng = GLOBAL_RNG if function == "a global" else random.Random(0)
    draws = FUNCTIONS[function](rng)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    options: dict[str, Any] = {"data": DataLoader(SAMPLES, 8), "loss_fn": nn.functional.mse_loss}
    if used_as == "loss":
        options["loss_fn"] = draws
    elif used_as == "step":
        options["step"] = lambda batch: draws(model(batch[0]), batch[1])
    else:
        options |= {"val_data": DataLoader(SAMPLES, 8), "metric": draws}
    before = state_of(rng)
    find(TrainingTask(model, optimizer, **options))
    assert state_of(rng) == before


def test_a_check_trains_each_rate_on_the_same_order() -> None:
    orders: list[list[int]] = []
    rng = np.random.default_rng(0)

    def draw() -> list[int]:
        orders.append(rng.permutation(24).tolist())
        return orders[-1]

    draw_of_an_object = Drawing(rng, lambda _: draw())
    check_lrs(task_of(DataLoader(SAMPLES, 8, sampler=Order(draw_of_an_object))), [1e-3, 1e-2], 5)
    assert orders[: len(orders) // 2] == orders[len(orders) // 2 :]


def test_a_seed_and_repeats_reach_the_generators_of_the_samplers() -> None:
    def losses(kind: str, seed: int, repeats: int) -> np.ndarray[Any, Any]:
        generator, draw = GENERATORS[kind]()
        draw(generator)
        torch.manual_seed(0)
        data = DataLoader(SAMPLES, 8, sampler=Order(Drawing(generator, draw)))
        return swept(data, seed=seed, repeats=repeats).loss

    for kind in GENERATORS:
        first, again, other = losses(kind, 1, 2), losses(kind, 1, 2), losses(kind, 2, 2)
        assert first.tolist() == again.tolist(), kind
        assert first[:12].tolist() != first[12:].tolist(), kind
        assert first[:12].tolist() != other[:12].tolist(), kind
