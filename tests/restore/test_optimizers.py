"""Every optimizer gives the same losses in a sweep as in a plain loop at the same rates."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import (
    ASGD,
    LBFGS,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
)

from lrwidget import LRRecords, TrainingTask
from lrwidget.task.rates import rate_groups, set_rate
from tests.restore.endings import find
from tests.restore.fingerprint import differences, fingerprint

X = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
BATCHES = [(X[i : i + 4], X[i : i + 4].sum(1, keepdim=True)) for i in range(0, 16, 4)]
LOSS = nn.MSELoss()

OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "SGD": lambda p: SGD(p, lr=0.1),
    "SGD, momentum and weight decay": lambda p: SGD(
        p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1
    ),
    "SGD, fused": lambda p: SGD(p, lr=0.1, momentum=0.9, fused=True),
    "Adam": lambda p: Adam(p),
    "Adam, fused": lambda p: Adam(p, fused=True),
    "Adam, foreach": lambda p: Adam(p, foreach=True),
    "Adam, differentiable off, amsgrad": lambda p: Adam(p, amsgrad=True, foreach=False),
    "Adam, tensor rate": lambda p: Adam(p, lr=torch.tensor(0.1), foreach=False),
    "AdamW, fused, tensor rate": lambda p: AdamW(p, lr=torch.tensor(0.1), fused=True),
    "SGD, double tensor rate": lambda p: SGD(
        p, lr=torch.tensor(0.1, dtype=torch.float64), foreach=False
    ),
    "AdamW": lambda p: AdamW(p),
    "NAdam": lambda p: NAdam(p),
    "RAdam": lambda p: RAdam(p),
    "Adamax": lambda p: Adamax(p),
    "Adagrad": lambda p: Adagrad(p),
    "Adadelta": lambda p: Adadelta(p),
    "RMSprop": lambda p: RMSprop(p, centered=True, momentum=0.5),
    "ASGD": lambda p: ASGD(p),
    "Rprop": lambda p: Rprop(p),
    "LBFGS": lambda p: LBFGS(p, max_iter=3),
    "LBFGS, line search": lambda p: LBFGS(p, max_iter=3, line_search_fn="strong_wolfe"),
}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))


def take_step(model: nn.Module, optimizer: Optimizer, batch: Any) -> float:
    losses: list[float] = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss: torch.Tensor = LOSS(model(batch[0]), batch[1])
        loss.backward()
        losses.append(loss.item())
        return loss

    optimizer.step(closure)
    return losses[0]


def plain_loop(model: nn.Module, optimizer: Optimizer, rates: Any) -> list[float]:
    losses = []
    for i, rate in enumerate(rates):
        for group in optimizer.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"] = torch.tensor(rate, dtype=group["lr"].dtype)
            else:
                group["lr"] = float(rate)
        losses.append(take_step(model, optimizer, BATCHES[i % 4]))
    return losses


@pytest.mark.parametrize("snapshot", ["auto", "device", "disk"])
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_is_swept_as_a_plain_loop_would(name: str, warm: bool, snapshot: Any) -> None:
    model = network()
    optimizer = OPTIMIZERS[name](model.parameters())
    if warm:
        for batch in BATCHES[:3]:
            take_step(model, optimizer, batch)
    task = TrainingTask(model, optimizer, LOSS, BATCHES, snapshot=snapshot)
    before = fingerprint(model=model, optimizer=optimizer)
    records = find(task)
    assert not differences(before, fingerprint(model=model, optimizer=optimizer))
    assert records.meta["ran_on"] == ("copy" if snapshot == "auto" else "model")
    assert records.loss.tolist() == plain_loop(model, optimizer, records.lr)


def test_a_tensor_rate_is_written_into_and_comes_back() -> None:
    """The rate is set in place, since captured graphs refer to the tensor."""
    rate = torch.tensor(0.25)
    optimizer = Adam([nn.Parameter(torch.zeros(1))], lr=rate)
    groups = rate_groups([optimizer])
    set_rate(groups, 0.5)
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate == 0.5


def test_groups_keep_their_ratios() -> None:
    model = network()
    groups = [
        {"params": model[0].parameters(), "lr": 1e-3},
        {"params": model[2].parameters(), "lr": torch.tensor(1e-2), "weight_decay": 0.1},
    ]
    optimizer = AdamW(groups, foreach=False)
    met: list[tuple[float, float]] = []
    optimizer.register_step_pre_hook(
        lambda o, *_: met.append(tuple(float(g["lr"]) for g in o.param_groups))
    )
    before = fingerprint(model=model, optimizer=optimizer)
    records = find(TrainingTask(model, optimizer, LOSS, BATCHES))
    assert [first for first, _ in met] == records.lr.tolist()
    np.testing.assert_allclose([b / a for a, b in met], 10, rtol=1e-6)
    assert not differences(before, fingerprint(model=model, optimizer=optimizer))


class Adversaries:
    """A generator and a discriminator with a step that trains both."""

    def __init__(self) -> None:
        torch.manual_seed(1)
        self.generator = nn.Linear(2, 4)
        self.critic = nn.Linear(4, 1)
        self.model = nn.ModuleDict({"generator": self.generator, "critic": self.critic})
        self.first = Adam(self.generator.parameters(), lr=1e-3)
        self.second = SGD(self.critic.parameters(), lr=1e-2, momentum=0.9)
        self.rates: list[tuple[float, float]] = []

    def step(self, batch: Any) -> torch.Tensor:
        self.second.zero_grad()
        fake = self.generator(torch.randn(4, 2))
        (self.critic(fake.detach()).mean() - self.critic(batch[0]).mean()).backward()
        self.second.step()
        self.first.zero_grad()
        loss = -self.critic(fake).mean()
        loss.backward()
        self.first.step()
        rates = [o.param_groups[0]["lr"] for o in (self.first, self.second)]
        self.rates.append((rates[0], rates[1]))
        return loss

    def find(self, **options: Any) -> LRRecords:
        return find(
            TrainingTask(
                self.model,
                self.first,
                data=BATCHES,
                step=self.step,
                other_optimizers=[self.second],
                **options,
            ),
            stop_at_divergence=False,
        )


@pytest.mark.parametrize("others", ["keep", "follow"])
def test_one_of_several_optimizers_is_swept(others: Any) -> None:
    it = Adversaries()
    for batch in BATCHES:
        it.step(batch)
    it.rates.clear()
    subjects = {"model": it.model, "first": it.first, "second": it.second}
    before = fingerprint(**subjects)
    records = it.find(others=others)
    assert not differences(before, fingerprint(**subjects))
    assert [first for first, _ in it.rates] == records.lr.tolist()
    if others == "keep":
        assert {second for _, second in it.rates} == {1e-2}
    else:
        np.testing.assert_allclose([b / a for a, b in it.rates], 10, rtol=1e-12)


def test_an_optimizer_in_an_optimizer() -> None:
    """As in sharpness-aware minimisation, the outer optimizer has an inner one and a state."""

    class Outer(Optimizer):
        def __init__(self, params: Any, lr: float) -> None:
            super().__init__(params, {"lr": lr})
            self.inner = Adam(self.param_groups, lr=lr)
            self.param_groups = self.inner.param_groups
            self.calls = 0
            self.history: list[float] = []

        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            self.calls += 1
            self.history.append(self.param_groups[0]["lr"])
            for group in self.param_groups:
                for p in group["params"]:
                    self.state[p]["seen"] = p.grad.abs()
            self.inner.step()

    for snapshot in ("auto", "device"):
        model = network()
        optimizer = Outer(model.parameters(), lr=0.1)
        take = copy.deepcopy(optimizer.param_groups[0]["lr"])
        before = fingerprint(model=model, optimizer=optimizer)
        records = find(TrainingTask(model, optimizer, LOSS, BATCHES, snapshot=snapshot))
        assert np.ptp(records.loss[::4]) > 0
        assert not differences(before, fingerprint(model=model, optimizer=optimizer))
        assert optimizer.param_groups[0]["lr"] == take
