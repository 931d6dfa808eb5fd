"""State that an object hides from its attributes is as before, and so before each trial."""

import contextvars
import functools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.quasirandom import SobolEngine

from lrwidget import TrainingTask, check_lrs, lr_find
from tests.tasks import blobs, network

ce = nn.CrossEntropyLoss()
x, y = blobs().tensors
BATCHES = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 256, 16)]

# What a step adds to the outputs, which is drawn or counted anew in each of them.
Added = Callable[[], torch.Tensor]


def drawn_by_sobol() -> Added:
    engine = SobolEngine(4, scramble=True, seed=1)
    return lambda: engine.draw(16)


def moved_in_a_distribution() -> Added:
    prior = torch.distributions.Normal(torch.zeros(4), torch.ones(4))

    def added() -> torch.Tensor:
        prior.loc = prior.loc + 0.5
        prior.scale.mul_(1.5)
        return prior.sample((16,))

    return added


def spawned_by_a_generator() -> Added:
    rng = np.random.default_rng(1)
    return lambda: torch.from_numpy(rng.spawn(1)[0].normal(size=(16, 4)))


def spawned_by_a_seed_sequence() -> Added:
    seeds = np.random.SeedSequence(1)
    return lambda: torch.from_numpy(np.random.default_rng(seeds.spawn(1)[0]).normal(size=(16, 4)))


def in_a_context_variable() -> Added:
    factor = contextvars.ContextVar("factor", default=1.0)

    def added() -> torch.Tensor:
        factor.set(factor.get() * 1.5)
        return factor.get() * torch.eye(16, 4)

    return added


def numbers() -> tuple[Callable[[int], torch.Tensor], Callable[[], int]]:
    """Return what draws for a key, and what counts the calls, two for a key."""
    count = 0

    def key() -> int:
        nonlocal count
        count += 1
        return count // 2

    return lambda key: torch.full((16, 4), float(key)) * torch.rand(4), key


def cached() -> Added:
    draw, key = numbers()
    draw = functools.cache(draw)
    return lambda: draw(key())


def cached_with_some_results() -> Added:
    draw, key = numbers()
    draw = functools.cache(draw)
    draw(0)
    return lambda: draw(key())


def cached_with_a_limit() -> Added:
    draw, key = numbers()
    draw = functools.lru_cache(maxsize=4)(draw)
    return lambda: draw(key())


def cached_until_it_is_cleared() -> Added:
    draw, key = numbers()
    draw = functools.cache(draw)
    draw(-1)

    def added() -> torch.Tensor:
        if key() == 2:
            draw.cache_clear()
        return draw(-1)

    return added


def beside_many_cached_results() -> Added:
    memory = nn.BatchNorm1d(4, affine=False)

    @functools.lru_cache(maxsize=30_000)
    def looked_up(key: int) -> list[int]:
        return [key]

    def normal() -> torch.Tensor:
        return memory(x[:16, :4]) + memory.running_mean

    for key in range(25_000):
        looked_up(key)
    return lambda: looked_up(3)[0] * normal()


class Drawing:
    """Draws in a cached method."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(1)
        self.key = numbers()[1]

    def __call__(self) -> torch.Tensor:
        return self.draw(self.key())

    @functools.lru_cache(maxsize=None)  # noqa: B019, UP033 - as users write it
    def draw(self, key: int) -> torch.Tensor:
        return torch.rand(16, 4, generator=self.generator) + key


def behind_a_cached_function() -> Added:
    @functools.cache
    def memory() -> nn.Module:
        return nn.BatchNorm1d(4, affine=False)

    memory()
    return lambda: memory()(x[:16, :4]) + memory().running_mean


def losses(step: Callable[[Any], torch.Tensor], model: nn.Module) -> Iterator[float]:
    for batch in BATCHES[:4]:
        model.zero_grad()
        loss = step(batch)
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.1 * parameter.grad
        yield loss.item()


@pytest.mark.parametrize("own_step", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        *(drawn_by_sobol, moved_in_a_distribution),
        *(spawned_by_a_generator, spawned_by_a_seed_sequence),
        *(in_a_context_variable, cached, cached_with_some_results, cached_with_a_limit),
        *(cached_until_it_is_cleared, beside_many_cached_results),
        *(Drawing, behind_a_cached_function),
    ],
)
def test_training_after_is_that_without_a_sweep(make: Callable[[], Added], own_step: bool) -> None:
    def loop(tested: Callable[[TrainingTask], object] | None) -> list[float]:
        torch.manual_seed(0)
        model, added = network(), make()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)

        def loss_fn(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return ce(output * (1 + added()).float(), target)

        def step(batch: Any) -> torch.Tensor:
            return loss_fn(model(batch[0]), batch[1])

        if own_step:
            task = TrainingTask(model, optimizer, data=BATCHES, step=step)
        else:
            task = TrainingTask(model, optimizer, loss_fn, BATCHES)
        if tested is not None:
            tested(task)
        return list(losses(step, model))

    expected = loop(None)
    assert loop(lambda task: lr_find(task, steps=4, progress=False)) == expected
    assert loop(lambda task: check_lrs(task, [1e-3, 1e-2], steps=3)) == expected


@pytest.mark.parametrize("make", [spawned_by_a_generator, spawned_by_a_seed_sequence])
def test_a_seed_reaches_what_is_spawned(make: Callable[[], Added]) -> None:
    model, added = network(), make()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def loss_fn(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return ce(output * (1 + added()).float(), target)

    task = TrainingTask(model, optimizer, loss_fn, BATCHES)
    first, again, other = (
        lr_find(task, steps=3, seed=seed, progress=False).loss.tolist() for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


class Tracker:
    """Counts and averages beside something that is at work."""

    def __init__(self, active: Any) -> None:
        self.active, self.calls, self.mean = active, 0, torch.zeros(())

    def __call__(self, output: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.mean.mul_(0.9).add_(output.detach().mean())
        return output * self.calls + self.mean


class Tracked(nn.Module):
    def __init__(self, active: Any) -> None:
        super().__init__()
        self.inner, self.tracker = network(), Tracker(active)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.tracker(self.inner(x))


@pytest.mark.parametrize("make", [threading.Event, threading.local, threading.Condition, open])
def test_what_a_model_keeps_beside_a_file_or_an_event(make: Any, tmp_path: Path) -> None:
    active = (tmp_path / "log").open("w") if make is open else make()
    model = Tracked(active)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    first, again = (
        lr_find(model, optimizer, ce, BATCHES, steps=4, progress=False).loss.tolist() for _ in "ab"
    )
    assert again == first
    assert model.tracker.calls == 0
    assert model.tracker.mean == 0
    assert model.tracker.active is active
    if make is open:
        active.close()
