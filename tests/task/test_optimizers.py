"""Wrapped optimizers and those with modes are swept as in a plain loop, and restored."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import LRFinderWidget, LRRecords, TrainingTask, lr_find
from lrwidget.task.rates import apply_rate
from tests.nothing_left import own_folder_for_temporary_files
from tests.restore.fingerprint import differences, fingerprint
from tests.tasks import blobs, network

LOSS = nn.CrossEntropyLoss()
SAMPLES = blobs()
BATCHES = [SAMPLES[i : i + 32] for i in range(0, 256, 32)]
PLACES = pytest.mark.parametrize("snapshot", ["auto", "device"])

__all__ = ["own_folder_for_temporary_files"]


def find(model: nn.Module, optimizer: Any, **options: Any) -> LRRecords:
    options = {"start_lr": 1e-5, "end_lr": 0.1, "steps": 12, "stop_at_divergence": False, **options}
    return lr_find(model, optimizer, LOSS, BATCHES, progress=False, **options)


def losses_of_a_plain_loop(model: nn.Module, optimizer: Any, rates: Any) -> list[float]:
    losses = []
    for i, lr in enumerate(rates):
        for group in optimizer.param_groups:
            group["lr"] = float(lr)
        x, y = BATCHES[i % len(BATCHES)]
        optimizer.zero_grad()
        loss = LOSS(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# -- optimizers around one -------------------------------------------------------------------------


class Counting(torch.optim.Optimizer):
    """A wrapper of torch's class with its own attributes."""

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        super().__init__(inner.param_groups, inner.defaults)
        self.param_groups = inner.param_groups
        self.inner, self.log, self.turn = inner, [torch.zeros(1)], 0

    def step(self, closure: Any = None) -> Any:
        self.turn += 1
        self.log[0].add_(1)
        self.log.append(self.log[0] / 2)
        for group in self.param_groups:
            for p in group["params"]:
                p.grad.mul_(1 + 0.5 * (self.turn % 2))
        return self.inner.step(closure)


class Unmade(torch.optim.Optimizer):
    """A wrapper that does not call Optimizer.__init__; its groups are those of the inner one."""

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        self.inner, self.log, self.turn = inner, [torch.zeros(1)], 0
        self.defaults = inner.defaults

    @property
    def param_groups(self) -> Any:  # type: ignore[override]
        return self.inner.param_groups

    @property
    def state(self) -> Any:  # type: ignore[override]
        return self.inner.state

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.inner.zero_grad(set_to_none)

    def step(self, closure: Any = None) -> Any:
        self.turn += 1
        self.log[0].add_(1)
        return self.inner.step(closure)


class NotAnOptimizer:
    """An object with the interface of an optimizer that does not inherit from torch's class."""

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        self.inner, self.turn = inner, 0

    @property
    def param_groups(self) -> Any:
        return self.inner.param_groups

    def zero_grad(self) -> None:
        self.inner.zero_grad()

    def step(self) -> None:
        self.turn += 1
        self.inner.step()


class CopiedGroups(torch.optim.Optimizer):
    """A wrapper with its own groups over the parameters of the inner one."""

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        super().__init__([dict(group) for group in inner.param_groups], inner.defaults)
        self.inner = inner

    def step(self, closure: Any = None) -> Any:
        return self.inner.step(closure)


class Marked(torch.optim.SGD):
    """An optimizer with an attribute that a plain copy lacks."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr=lr, momentum=0.9)
        self.factor, self.past = 0.5, [0.0]

    def step(self, closure: Any = None) -> Any:
        self.past.append(self.factor * self.past[-1] + 1)
        return super().step(closure)


AROUND: dict[str, Callable[[Any], Any]] = {
    "one of torch's": lambda p: Counting(torch.optim.Adam(p)),
    "one with attributes": lambda p: Counting(Marked(p, lr=0.1)),
    "one around another": lambda p: Counting(Counting(Marked(p, lr=0.1))),
    "not made by torch": lambda p: Unmade(Marked(p, lr=0.1)),
    "not of torch's class": lambda p: NotAnOptimizer(Marked(p, lr=0.1)),
    "not of torch's, twice": lambda p: NotAnOptimizer(NotAnOptimizer(torch.optim.Adam(p))),
}


@PLACES
@pytest.mark.parametrize("name", AROUND)
def test_an_optimizer_around_one_is_swept_and_put_back(name: str, snapshot: Any) -> None:
    model = network()
    optimizer = AROUND[name](model.parameters())
    parts = {"model": model, "optimizer": optimizer, "inner": optimizer.inner}
    before = fingerprint(**parts)
    records = find(model, optimizer, snapshot=snapshot)
    assert not differences(before, fingerprint(**parts))
    assert records.loss.tolist() == losses_of_a_plain_loop(model, optimizer, records.lr)


@PLACES
def test_a_wrapper_that_has_copied_the_groups_steps_at_the_rate_of_the_sweep(snapshot: Any) -> None:
    model = network()
    optimizer = CopiedGroups(torch.optim.SGD(model.parameters(), lr=0.1))
    records = find(model, optimizer, snapshot=snapshot)
    assert optimizer.inner.param_groups[0]["lr"] == 0.1
    plain = torch.optim.SGD(model.parameters(), lr=0.1)
    assert records.loss.tolist() == losses_of_a_plain_loop(model, plain, records.lr)
    TrainingTask(model, optimizer, LOSS, BATCHES).apply(0.03)
    assert optimizer.inner.param_groups[0]["lr"] == 0.03


def test_an_inner_optimizer_at_another_rate_of_its_own_keeps_it() -> None:
    optimizer = CopiedGroups(torch.optim.SGD(network().parameters(), lr=0.1))
    optimizer.inner.param_groups[0]["lr"] = 0.5
    apply_rate(optimizer, 0.03)
    assert optimizer.param_groups[0]["lr"] == 0.03
    assert optimizer.inner.param_groups[0]["lr"] == 0.5


@PLACES
def test_a_wrapper_that_sets_the_rate_itself_is_refused(snapshot: Any) -> None:
    class Noam(NotAnOptimizer):
        def step(self) -> None:
            self.param_groups[0]["lr"] = 0.25
            self.inner.step()

    model = network()
    optimizer = Noam(torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(RuntimeError, match=r"SGD.step is called at 0.25: .*Noam, sets the rate"):
        find(model, optimizer, snapshot=snapshot)
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_the_widget_applies_to_an_optimizer_that_is_not_of_torch_s_class() -> None:
    model = network()
    optimizer = NotAnOptimizer(torch.optim.SGD(model.parameters(), lr=0.1))
    widget = LRFinderWidget(model, optimizer, LOSS, BATCHES)
    widget.lr = 0.02
    widget.apply()
    assert optimizer.param_groups[0]["lr"] == 0.02
    widget.lr = 0.03
    widget.apply(optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.03
    widget.close()


# -- modes -----------------------------------------------------------------------------------------


class Averaging(torch.optim.SGD):
    """Like Schedule-Free, an optimizer whose weights differ between train and eval mode."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr=lr)
        self.shift = 0.1
        for group in self.param_groups:
            group["train_mode"] = False

    def _to(self, training: bool) -> None:
        for group in self.param_groups:
            if group["train_mode"] != training:
                group["train_mode"] = training
                for p in group["params"]:
                    p.data.mul_(1 + self.shift if training else 1 / (1 + self.shift))

    def train(self) -> None:
        self._to(True)

    def eval(self) -> None:
        self._to(False)

    def step(self, closure: Any = None) -> Any:
        if not self.param_groups[0]["train_mode"]:
            raise RuntimeError("not in train mode")
        return super().step(closure)


MODES: dict[str, Callable[[Any], Any]] = {
    "it has modes": lambda p: Averaging(p),
    "the one inside has": lambda p: Counting(Averaging(p)),
}


@PLACES
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", MODES)
def test_an_optimizer_with_modes_trains_and_is_as_before(
    name: str, mode: str, snapshot: Any
) -> None:
    model = network()
    optimizer = MODES[name](model.parameters())
    inner = getattr(optimizer, "inner", optimizer)
    getattr(inner, mode)()
    before = fingerprint(model=model, optimizer=optimizer)
    records = find(model, optimizer, snapshot=snapshot)
    assert not differences(before, fingerprint(model=model, optimizer=optimizer))
    inner.train()
    assert records.loss.tolist() == losses_of_a_plain_loop(model, optimizer, records.lr)


def test_a_class_with_modes_is_swept() -> None:
    assert find(network(), Averaging).stop_reason == "finished"


@PLACES
def test_it_is_evaluated_in_eval_mode_and_that_does_not_change_its_training(snapshot: Any) -> None:
    model = network()
    optimizer = Averaging(model.parameters())
    evaluated: list[tuple[bool, float]] = []

    def metric(output: torch.Tensor, target: torch.Tensor) -> float:
        evaluated.append((torch.is_grad_enabled(), float(LOSS(output, target))))
        return 0.0

    validated = find(
        model,
        optimizer,
        val_data=BATCHES[:1],
        val_every=3,
        metric=metric,
        snapshot=snapshot,
    )
    assert validated.rows().tobytes() == find(model, optimizer).rows().tobytes()
    # The optimizer is in eval mode, so the first measurement uses the model's weights as they are.
    with torch.no_grad():
        x, y = BATCHES[0]
        expected = float(LOSS(model(x), y))
        optimizer.train()
        trained = float(LOSS(model(x), y))
    assert evaluated[0] == (False, pytest.approx(expected))
    assert trained != pytest.approx(expected, rel=1e-4)


def test_groups_that_are_made_anew_at_each_reading_are_refused() -> None:
    class Anew(torch.optim.SGD):
        @property
        def param_groups(self) -> list[dict[str, Any]]:
            return [dict(group) for group in self.kept]

        @param_groups.setter
        def param_groups(self, groups: list[dict[str, Any]]) -> None:
            self.kept = groups

    model = nn.Linear(2, 2)
    optimizer = object.__new__(Anew)
    optimizer.kept = [{"params": list(model.parameters()), "lr": 0.1}]
    with pytest.raises(ValueError, match="Anew makes its param_groups anew"):
        TrainingTask(model, optimizer, nn.MSELoss(), [(torch.ones(1, 2), torch.ones(1, 2))])
