"""What a step of the user's own changes besides the model is put back without being named."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import psutil
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from lrwidget import TrainingTask, check_lrs, lr_find, refine
from lrwidget.backup.tensor_copies import Copies
from lrwidget.restore.step_state import used_by_step
from tests.restore.fingerprint import differences, fingerprint

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True)
BATCHES = [(X[i : i + 8], Y[i : i + 8]) for i in range(0, 64, 8)]
MSE = nn.MSELoss()

Update = Callable[[torch.Tensor], Any]


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))


class Shadow:
    """A hand-written moving average, which refers to the model and replaces its tensors."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.weights = {name: p.detach().clone() for name, p in model.named_parameters()}
        self.updates = 0

    def update(self, _loss: torch.Tensor) -> None:
        self.updates += 1
        for name, p in self.model.named_parameters():
            self.weights[name] = 0.9 * self.weights[name] + 0.1 * p.detach()


class Noam:
    """A schedule around an optimizer that is not torch's."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        self.steps = 0

    def step(self, _loss: torch.Tensor) -> None:
        self.steps += 1


def averaged(model: nn.Module, _: Any) -> tuple[Any, Update]:
    average = AveragedModel(model)
    return average, lambda _: average.update_parameters(model)


def shadow(model: nn.Module, _: Any) -> tuple[Any, Update]:
    held = Shadow(model)
    return vars(held), held.update


def by_name(model: nn.Module, _: Any) -> tuple[Any, Update]:
    averages = {name: p.detach().clone() for name, p in model.named_parameters()}

    def update(_loss: torch.Tensor) -> None:
        for name, p in model.named_parameters():
            averages[name] = 0.9 * averages[name] + 0.1 * p.detach()

    return averages, update


def in_a_list(model: nn.Module, _: Any) -> tuple[Any, Update]:
    averages = [p.detach().clone() for p in model.parameters()]

    def update(_loss: torch.Tensor) -> None:
        for average, p in zip(averages, model.parameters(), strict=True):
            average.lerp_(p.detach(), 0.1)

    return averages, update


def target_network(model: nn.Module, _: Any) -> tuple[Any, Update]:
    target = network().requires_grad_(False)

    def update(_loss: torch.Tensor) -> None:
        for kept, p in zip(target.parameters(), model.parameters(), strict=True):
            kept.data.mul_(0.9).add_(p.data, alpha=0.1)

    return target, update


def larger_teacher_in_train_mode(_: Any, __: Any) -> tuple[Any, Update]:
    teacher = nn.Sequential(nn.Linear(4, 100_000), nn.BatchNorm1d(100_000)).requires_grad_(False)
    return teacher[1], lambda _: teacher(X[:4])


def schedule(_: Any, optimizer: torch.optim.Optimizer) -> tuple[Any, Update]:
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100)
    return scheduler, lambda _: scheduler.step()


def own_schedule(_: Any, optimizer: torch.optim.Optimizer) -> tuple[Any, Update]:
    noam = Noam(optimizer)
    return vars(noam), noam.step


def queue(_: Any, __: Any) -> tuple[Any, Update]:
    held = {"queue": torch.zeros(16), "at": 0}

    def update(loss: torch.Tensor) -> None:
        held["queue"][held["at"] % 16] = loss.detach()
        held["at"] += 1

    return held, update


def array(_: Any, __: Any) -> tuple[Any, Update]:
    total = np.zeros(3)

    def update(loss: torch.Tensor) -> None:
        total[1] += loss.item()

    return SimpleNamespace(total=total), update


BESIDE: dict[str, Callable[[nn.Module, torch.optim.Optimizer], tuple[Any, Update]]] = {
    "averaged model": averaged,
    "average that refers to the model": shadow,
    "averages by name": by_name,
    "averages in a list": in_a_list,
    "target network": target_network,
    "statistics of a larger teacher": larger_teacher_in_train_mode,
    "scheduler": schedule,
    "schedule of one's own": own_schedule,
    "queue with its place": queue,
    "array": array,
}


class Training:
    """A training loop in an object, with a loader, which is not followed."""

    def __init__(self, beside: str = "averaged model") -> None:
        self.model = network()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.01)
        self.loader = torch.utils.data.DataLoader(BATCHES, batch_size=None)  # type: ignore[arg-type]
        self.state, self.update = BESIDE[beside](self.model, self.optimizer)
        self.losses: list[float] = []

    def step(self, batch: Any) -> torch.Tensor:
        loss: torch.Tensor = MSE(self.model(batch[0]), batch[1])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.update(loss)
        self.losses.append(loss.item())
        return loss

    def evaluate(self, batch: Any) -> torch.Tensor:
        loss: torch.Tensor = MSE(self.model(batch[0]), batch[1])
        return loss


class Adversaries:
    """A generator and a discriminator, whose optimizer the task is not told of."""

    def __init__(self) -> None:
        self.model = network()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.01)
        judge = nn.Linear(1, 1)
        of_judge = torch.optim.Adam(judge.parameters(), lr=0.01)
        self.state = {"judge": judge, "of_judge": of_judge}

        def step(batch: Any) -> torch.Tensor:
            made = self.model(batch[0])
            of_judge.zero_grad()
            (judge(made.detach()) - judge(batch[1])).mean().backward()
            of_judge.step()
            self.optimizer.zero_grad()
            loss: torch.Tensor = MSE(made, batch[1]) - 0.01 * judge(made).mean()
            loss.backward()
            self.optimizer.step()
            return loss

        self.step = step

    evaluate = Training.evaluate  # type: ignore[assignment]


def own_scaler() -> Any:
    it = SimpleNamespace(model=network())
    it.optimizer = torch.optim.SGD(it.model.parameters(), lr=0.01)
    it.state = scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=3)

    def step(batch: Any) -> torch.Tensor:
        loss: torch.Tensor = MSE(it.model(batch[0]), batch[1])
        it.optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(it.optimizer)
        scaler.update()
        return loss

    it.step = step
    it.evaluate = lambda batch: MSE(it.model(batch[0]), batch[1])
    return it


SITUATIONS: dict[str, Callable[[], Any]] = {
    **{name: (lambda name=name: Training(name)) for name in BESIDE},
    "discriminator and its optimizer": Adversaries,
    "scaler that the task is not told of": own_scaler,
}
WAYS: dict[str, Callable[[TrainingTask], Any]] = {
    "lr_find": lambda task: lr_find(task, steps=12, progress=False),
    "check_lrs": lambda task: check_lrs(task, [1e-3, 1e-2], 3),
    "refine": lambda task: refine(task, budget=450),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.usefixtures("own_folder_for_temporary_files")
def test_it_is_as_before(situation: str, way: str) -> None:
    it = SITUATIONS[situation]()
    it.step(BATCHES[0])
    subjects = {"model": it.model, "optimizer": it.optimizer, "state": it.state}
    before = fingerprint(**subjects)
    task = TrainingTask(it.model, it.optimizer, data=BATCHES, step=it.step, evaluate=it.evaluate)
    WAYS[way](task)
    assert differences(before, fingerprint(**subjects)) == []
    it.step(BATCHES[1])
    assert differences(before, fingerprint(**subjects)) != []


class Simulation:
    """An environment of an installed package, with a random generator."""

    __module__ = psutil.__name__

    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)

    def advance(self) -> float:
        return float(self.generator.standard_normal())


class Limited:
    """A wrapper of an environment, which counts what it passes on."""

    __module__ = psutil.__name__

    def __init__(self, inner: Any) -> None:
        self.inner, self.elapsed = inner, 0

    def advance(self) -> float:
        self.elapsed += 1
        return float(self.inner.advance())


@pytest.mark.parametrize("way", WAYS)
def test_an_environment_that_is_wrapped_many_times_over_is_as_before(way: str) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    wrapped = [Limited(Simulation())]
    for _ in range(6):
        wrapped.append(Limited(wrapped[-1]))
    outermost = wrapped[-1]

    def step(batch: Any) -> torch.Tensor:
        loss: torch.Tensor = MSE(model(batch[0]), batch[1] + outermost.advance())
        return loss

    step(BATCHES[0])
    WAYS[way](TrainingTask(model, optimizer, data=BATCHES, step=step, evaluate=step))
    assert [one.elapsed for one in wrapped] == [1] * 7


def test_each_trial_of_a_check_begins_with_the_same_state_of_all() -> None:
    it = Adversaries()
    task = TrainingTask(it.model, it.optimizer, data=BATCHES, step=it.step)
    first, second = check_lrs(task, [1e-2, 1e-2 * (1 + 1e-12)], 6).trials
    assert first.loss.tolist() == pytest.approx(second.loss.tolist(), rel=1e-5)


def test_what_a_training_loop_notes_of_itself_stays() -> None:
    it = Training()
    task = TrainingTask(it.model, it.optimizer, data=BATCHES, step=it.step)
    records = lr_find(task, steps=12, progress=False)
    assert it.losses == records.loss.tolist()


@pytest.mark.parametrize("way", WAYS)
def test_data_and_the_weights_of_larger_teachers_are_not_copied(way: str) -> None:
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    everything, table = torch.zeros(300_000), np.zeros(300_000)
    by_name = {"inputs": torch.zeros(300_000), "mean": torch.zeros(3)}
    source = SimpleNamespace(rows=torch.zeros(300_000), seen=torch.zeros(3))
    teacher = nn.Sequential(nn.Linear(4, 60_000), nn.BatchNorm1d(60_000)).requires_grad_(False)
    codes = nn.Parameter(torch.zeros(300_000))

    def step(batch: Any) -> torch.Tensor:
        more = everything[0] + table[0] + by_name["inputs"][0] + source.rows[0] + codes[0]
        return MSE(model(batch[0]) + more + teacher(batch[0]).sum(), batch[1])

    task = TrainingTask(
        model, optimizer, data=BATCHES, step=step, evaluate=lambda b: MSE(model(b[0]), b[1])
    )
    used = used_by_step(task)
    for kept in (model, codes, by_name, source, *teacher.buffers()):
        assert any(value is kept for value in used)
    left = [everything, by_name["inputs"], source.rows, table, teacher]
    assert not any(value is data for value in used for data in left)
    with patch.object(Copies, "of", autospec=True, side_effect=Copies.of) as copied:
        WAYS[way](task)
    seen = {id(call.args[1]) for call in copied.call_args_list}
    assert id(codes) in seen
    assert id(by_name["mean"]) in seen
    assert not seen & {id(data) for data in (*left, *teacher.parameters())}
