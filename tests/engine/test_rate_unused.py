"""An optimizer that does not go by the rate it is given is noticed, and no other."""

from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import LRRecords, TrainingTask, check_lrs, lr_find, refine
from tests.tasks import network, problem


class OwnRate(torch.optim.Optimizer):
    """Reads its own attribute, whatever its groups say."""

    def __init__(self, params: Any, lr: float = 0.02) -> None:
        super().__init__(params, {"lr": lr})
        self.lr = lr

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.sub_(parameter.grad, alpha=self.lr)


class Copied:
    """Keeps a copy of the groups of the optimizer inside, which it hides in a closure."""

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        self.param_groups = [dict(group) for group in inner.param_groups]
        self.state = inner.state
        self.defaults = inner.defaults
        self.zero_grad = lambda: inner.zero_grad()
        self.step = lambda: inner.step()


class Adaptive(torch.optim.SGD):
    """Has groups as optimizers have them that estimate their rate."""

    def __init__(self, params: Any, lr: float = 1.0) -> None:
        super().__init__(params, lr=lr)
        for group in self.param_groups:
            group.update(d=1e-6, growth_rate=2.0)


def swept(task: TrainingTask, **options: Any) -> LRRecords:
    options = {"start_lr": 1e-6, "end_lr": 1.0, "steps": 40, "progress": False} | options
    return lr_find(task, **options)


def own_step_task(update: str) -> TrainingTask:
    """Return a task whose step updates at a constant rate, and leaves no gradient."""
    model, optimizer, loss_fn, data = problem()
    own = torch.optim.SGD(model.parameters(), lr=0.02)

    def step(batch: Any) -> torch.Tensor:
        loss = loss_fn(model(batch[0]), batch[1])
        loss.backward()
        if update == "by hand":
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.sub_(parameter.grad, alpha=0.02)
        else:
            own.step()
        model.zero_grad()
        return loss

    return TrainingTask(model, optimizer, data=data, step=step)


def test_the_suggestion_abstains_where_the_optimizer_has_a_rate_of_its_own() -> None:
    found = swept(TrainingTask(*problem(OwnRate))).suggestion
    assert found.lr is None
    assert "the rate plays no part: OwnRate" in found.reason
    assert 'group["lr"]' in found.reason


def test_copied_groups_are_noticed() -> None:
    model, optimizer, loss_fn, data = problem()
    records = swept(TrainingTask(model, Copied(optimizer), loss_fn, data))
    assert records.suggestion.lr is None
    assert "Copied" in records.suggestion.reason


@pytest.mark.parametrize("update", ["by hand", "with another optimizer"])
def test_a_step_at_a_constant_rate_is_noticed(update: str) -> None:
    found = swept(own_step_task(update)).suggestion
    assert found.lr is None
    assert "the rate plays no part" in found.reason


def test_the_doubt_stays_with_saved_records(tmp_path: Any) -> None:
    swept(TrainingTask(*problem(OwnRate))).save(tmp_path / "sweep.jsonl")
    assert LRRecords.load(tmp_path / "sweep.jsonl").suggestion.lr is None


@pytest.mark.parametrize("kind", ["SGD", "AdamW", "RMSprop", "Adagrad", "LBFGS"])
def test_optimizers_that_go_by_their_rate_are_not_doubted(kind: str) -> None:
    make = getattr(torch.optim, kind)
    assert "rate_unused" not in swept(TrainingTask(*problem(make)), end_lr=10.0).meta


def test_frozen_layers_dropout_and_rates_too_small_to_change_a_weight_are_not_doubted() -> None:
    model = network(normalised=True)
    model[0].requires_grad_(False)
    task = TrainingTask(model, torch.optim.SGD, nn.CrossEntropyLoss(), problem()[3])
    assert "rate_unused" not in swept(task, start_lr=1e-14, end_lr=1e-1).meta


def test_rprop_is_told_of_since_only_its_first_step_takes_the_rate() -> None:
    found = swept(TrainingTask(*problem(torch.optim.Rprop, lr=0.01))).suggestion
    assert found.lr is None
    assert "first step only" in found.reason


def test_rprop_that_has_taken_its_first_step_is_told_to_be_made_anew() -> None:
    model, optimizer, loss_fn, data = problem(torch.optim.Rprop, lr=0.01)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for swept_in in ("auto", "device"):
        task = TrainingTask(model, optimizer, loss_fn, data, snapshot=swept_in)
        found = swept(task).suggestion
        assert found.lr is None
        assert "make it anew" in found.reason
    with pytest.raises(RuntimeError, match="so the rate plays no part"):
        check_lrs(task, [1e-4, 1e-2], steps=4)


def test_an_optimizer_that_estimates_its_rate_is_warned_of_and_doubted() -> None:
    with pytest.warns(UserWarning, match="Adaptive estimates its rate itself"):
        records = swept(TrainingTask(*problem(Adaptive)), end_lr=10.0)
    assert records.suggestion.confidence == "low"
    assert "estimates its rate itself" in records.meta["own_rate"]


@pytest.mark.parametrize("kind", ["Adafactor", "Adadelta", "NAdam"])
def test_optimizers_with_other_settings_by_that_name_are_not(kind: str) -> None:
    make = getattr(torch.optim, kind)
    assert not swept(TrainingTask(*problem(make)), end_lr=10.0).meta.get("own_rate")


def test_a_check_whose_rates_all_give_the_same_losses_is_refused() -> None:
    task = TrainingTask(*problem(OwnRate))
    with pytest.raises(RuntimeError, match=r"1e-4, 1e-2, so the rate plays no part.*OwnRate"):
        check_lrs(task, [1e-4, 1e-2], steps=5)


@pytest.mark.parametrize("lrs", [[1e-14, 1e-13], [1e-9, 2e-9]])
def test_rates_too_small_for_the_precision_of_the_weights_are_no_fault(lrs: list[float]) -> None:
    first, second = check_lrs(TrainingTask(*problem()), lrs, steps=5).trials
    assert first.loss == pytest.approx(second.loss, rel=1e-5)


def test_rates_that_hardly_differ_may_give_the_same_losses() -> None:
    first, second = check_lrs(TrainingTask(*problem()), [1e-3, 1.0000001e-3], steps=5).trials
    assert first.loss[-1] == pytest.approx(second.loss[-1])


def test_a_refinement_whose_trials_are_all_the_same_is_refused() -> None:
    with pytest.raises(RuntimeError, match="so the rate plays no part"):
        refine(TrainingTask(*problem(OwnRate)), LRRecords(), budget=200)


def test_records_are_saved_where_the_first_step_has_made_the_weights_nan(tmp_path: Any) -> None:
    model, optimizer, _, loader = problem()
    path = tmp_path / "sweep.jsonl"
    # The gradient of a square root at 0 is NaN, and the loss before it is not.
    loss = lambda output, target: (output - output).square().sum().sqrt() + output.mean()  # noqa: E731
    records = lr_find(model, optimizer, loss, loader, progress=False, log=path)
    assert (len(records), records.stop_reason) == (2, "non-finite")
    assert len(LRRecords.load(path)) == 2
    records.save(path)
    assert len(LRRecords.load(path)) == 2


def test_hooks_are_gone_after_a_step_that_fails() -> None:
    task = own_step_task("by hand")
    step, calls = task.step, iter(range(3))
    task.step = lambda batch: step(batch) if next(calls, None) is not None else 1 / 0
    with pytest.raises(ZeroDivisionError):
        swept(task)
    assert not task.optimizer._optimizer_step_pre_hooks
