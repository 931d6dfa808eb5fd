"""What data and functions use through other objects is as before: generators, further modules."""

import types
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lrwidget import TrainingTask, check_lrs
from tests.restore.endings import find
from tests.restore.fingerprint import differences, fingerprint
from tests.tasks import problem


class Noise:
    """Adds random numbers of its own generator."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x + 0.1 * torch.from_numpy(self.rng.standard_normal(x.shape)).float()


# As in a notebook, where all are globals.
TRANSFORM, OF_COLLATE, OF_STEP = Noise(1), Noise(2), Noise(3)
SETTINGS = types.SimpleNamespace(rng=np.random.default_rng(4))
GENERATORS = {"own": torch.Generator().manual_seed(5)}


class Noisy(Dataset[Any]):
    def __init__(self, inner: Dataset[Any]) -> None:
        self.inner = inner

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Any:
        x, y = self.inner[index]
        x = TRANSFORM(x) + SETTINGS.rng.random()
        return x + torch.rand(x.shape, generator=GENERATORS["own"]), y


def collate(batch: list[Any]) -> Any:
    return OF_COLLATE(torch.stack([x for x, _ in batch])), torch.stack([y for _, y in batch])


def states() -> list[str]:
    owners = [TRANSFORM, OF_COLLATE, OF_STEP, SETTINGS]
    found = [str(owner.rng.bit_generator.state) for owner in owners]
    return [*found, str(GENERATORS["own"].get_state().tolist())]


def noisy_task() -> TrainingTask:
    model, optimizer, loss_fn, loader = problem()
    data = DataLoader(Noisy(loader.dataset), 16, shuffle=True, collate_fn=collate)
    return TrainingTask(model, optimizer, loss_fn, data)


def task_with_a_noisy_step() -> TrainingTask:
    model, optimizer, _, loader = problem()

    def step(batch: Any) -> torch.Tensor:
        return nn.functional.cross_entropy(model(OF_STEP(batch[0])), batch[1])

    return TrainingTask(model, optimizer, data=loader, step=step)


@pytest.mark.parametrize("make", [noisy_task, task_with_a_noisy_step])
def test_generators_behind_global_objects_are_put_back_and_seeded(make: Any) -> None:
    before = states()
    plain = find(make())
    assert states() == before
    assert find(make()).loss.tolist() == plain.loss.tolist()
    seeded = find(make(), seed=7)
    assert states() == before
    assert find(make(), seed=7).loss.tolist() == seeded.loss.tolist() != plain.loss.tolist()
    first, second = check_lrs(make(), [1e-3, 1.0000001e-3], steps=5).trials
    assert first.loss[0] == second.loss[0]
    assert states() == before


@pytest.mark.parametrize("named", [True, False])
def test_modules_that_only_the_step_trains_are_as_before(named: bool) -> None:
    generator = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
    judge = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.1), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(generator.parameters())
    other = torch.optim.Adam(judge.parameters())
    real = torch.randn(64, 8)
    bce = nn.functional.binary_cross_entropy_with_logits

    def step(batch: Any) -> torch.Tensor:
        made = generator(torch.randn(len(batch), 4))
        other.zero_grad()
        right, wrong = judge(batch), judge(made.detach())
        (bce(right, torch.ones_like(right)) + bce(wrong, torch.zeros_like(wrong))).backward()
        other.step()
        optimizer.zero_grad()
        judged = judge(made)
        loss = bce(judged, torch.ones_like(judged))
        loss.backward()
        optimizer.step()
        return loss

    others = [other] if named else []
    task = TrainingTask(
        generator, optimizer, data=[*real.split(16)], step=step, other_optimizers=others
    )
    judge[1].eval()
    before = fingerprint(generator=generator, judge=judge, optimizer=optimizer, other=other)
    first = find(task)
    now = fingerprint(generator=generator, judge=judge, optimizer=optimizer, other=other)
    assert differences(before, now) == []
    assert find(task).loss.tolist() == first.loss.tolist()
