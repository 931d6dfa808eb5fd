"""Custom steps that step the optimizer themselves: which calls make a row, and its loss."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lrwidget import LRRecords, TrainingTask, lr_find
from tests.tasks import blobs, network

LOSS = nn.CrossEntropyLoss()
SAMPLES = blobs()
BATCHES = [SAMPLES[i : i + 32] for i in range(0, 256, 32)]


class Loop:
    """A trainer object with its own `step`."""

    def __init__(self, model: nn.Module | None = None) -> None:
        self.model = network() if model is None else model
        self.optimizer: Any = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.losses: list[float] = []

    @property
    def lr(self) -> float:
        lr: float = self.optimizer.param_groups[0]["lr"]
        return lr

    def loss(self, batch: Any) -> torch.Tensor:
        loss: torch.Tensor = LOSS(self.model(batch[0]), batch[1])
        self.losses.append(loss.item())
        return loss

    def usual(self, batch: Any) -> torch.Tensor:
        self.optimizer.zero_grad()
        loss = self.loss(batch)
        loss.backward()
        self.optimizer.step()
        return loss

    def find(self, step: Callable[[Any], Any], steps: int = 12, **options: Any) -> LRRecords:
        before = [p.detach().clone() for p in self.model.parameters()]
        task = TrainingTask(self.model, self.optimizer, data=BATCHES, step=step, **options)
        try:
            return lr_find(task, start_lr=1e-6, end_lr=1.0, steps=steps, progress=False)
        finally:
            assert all(map(torch.equal, before, self.model.parameters()))


def usual_rows() -> np.ndarray:
    it = Loop()
    return it.find(it.usual).rows()


class SAM(torch.optim.Optimizer):
    """An optimizer with two phases whose inner optimizer alone has a `step`."""

    def __init__(self, params: Any, lr: float, rho: float) -> None:
        super().__init__(params, {"lr": lr, "rho": rho})
        self.base = torch.optim.SGD(self.param_groups, lr=lr)
        self.param_groups = self.base.param_groups

    def _each(self) -> Any:
        return [p for group in self.param_groups for p in group["params"]]

    @torch.no_grad()
    def first_step(self) -> None:
        for p in self._each():
            self.state[p]["here"] = p.data.clone()
            p.add_(p.grad, alpha=self.param_groups[0]["rho"])
        self.zero_grad()

    @torch.no_grad()
    def second_step(self) -> None:
        for p in self._each():
            p.data = self.state[p]["here"]
        self.base.step()
        self.zero_grad()


def test_two_phases_of_one_optimizer_are_a_step() -> None:
    def find(rho: float) -> LRRecords:
        it = Loop()
        it.optimizer = SAM(it.model.parameters(), lr=0.1, rho=rho)

        def step(batch: Any) -> torch.Tensor:
            loss = it.loss(batch)
            loss.backward()
            it.optimizer.first_step()
            LOSS(it.model(batch[0]), batch[1]).backward()
            it.optimizer.second_step()
            return loss

        return it.find(step)

    assert find(0.0).rows().tobytes() == usual_rows().tobytes()
    records = find(0.05)
    assert (len(records), records.stop_reason) == (12, "finished")
    assert "skipped_by_scaler" not in records.meta


def by_hand(it: Loop, batch: Any) -> Any:
    it.optimizer.zero_grad()
    loss = it.loss(batch)
    loss.backward()
    with torch.no_grad():
        for p in it.model.parameters():
            p.sub_(it.lr * p.grad)
    return loss


def by_data(it: Loop, batch: Any) -> Any:
    it.optimizer.zero_grad()
    loss = it.loss(batch)
    loss.backward()
    for p in it.model.parameters():
        p.data.sub_(it.lr * p.grad)
    return loss.item()


def by_autograd_grad(it: Loop, batch: Any) -> Any:
    loss = it.loss(batch)
    gradients = torch.autograd.grad(loss, list(it.model.parameters()))
    for p, gradient in zip(it.model.parameters(), gradients, strict=True):
        p.data.sub_(it.lr * gradient)
    return loss


def by_functions(it: Loop, batch: Any) -> Any:
    held = dict(it.model.named_parameters())

    def loss_at(parameters: Any) -> torch.Tensor:
        output = torch.func.functional_call(it.model, parameters, (batch[0],))
        loss: torch.Tensor = LOSS(output, batch[1])
        return loss

    gradients, loss = torch.func.grad_and_value(loss_at)(held)
    with torch.no_grad():
        for name, p in held.items():
            p.sub_(it.lr * gradients[name])
    it.losses.append(loss.item())
    return loss


def as_keras(it: Loop, batch: Any) -> Any:
    it.model.zero_grad()
    loss = it.loss(batch)
    loss.backward()
    parameters = list(it.model.parameters())
    with torch.no_grad():
        torch._foreach_add_(parameters, [p.grad for p in parameters], alpha=-it.lr)
    return [loss.item(), 0.5]  # train_on_batch returns such a list where a metric is measured


def by_another_optimizer(it: Loop, batch: Any) -> Any:
    it.model.zero_grad()
    loss = it.loss(batch)
    loss.backward()
    torch.optim.SGD(it.model.parameters(), lr=it.lr).step()
    return loss


@pytest.mark.parametrize(
    "update",
    [by_hand, by_data, by_autograd_grad, by_functions, as_keras, by_another_optimizer],
)
def test_an_update_by_hand_is_a_step(update: Callable[[Loop, Any], Any]) -> None:
    it = Loop()
    records = it.find(lambda batch: update(it, batch))
    np.testing.assert_allclose(records.rows(), usual_rows(), rtol=1e-5)
    assert len(it.losses) == 12
    assert "skipped_by_scaler" not in records.meta


def accumulating(it: Loop, every: int) -> Callable[[Any], torch.Tensor]:
    calls: list[int] = []

    def step(batch: Any) -> torch.Tensor:
        calls.append(1)
        loss = it.loss(batch)
        (loss / every).backward()
        if len(calls) % every == 0:
            it.optimizer.step()
            it.optimizer.zero_grad()
        return loss

    return step


@pytest.mark.parametrize(("every", "told"), [(4, None), (64, None), (80, 80)])
def test_calls_up_to_the_step_are_one_with_the_mean_loss(every: int, told: int | None) -> None:
    it = Loop()
    records = it.find(accumulating(it, every), 3, accumulate_in_step=told)
    assert records.stop_reason == "finished"
    assert len(it.losses) == 3 * every
    np.testing.assert_allclose(records.loss, np.reshape(it.losses, (3, every)).mean(1), rtol=1e-6)
    # The rows equal those of a sweep with accumulate= over the same batches.
    usual = Loop()
    task = TrainingTask(usual.model, usual.optimizer, LOSS, BATCHES, accumulate=every)
    expected = lr_find(task, start_lr=1e-6, end_lr=1.0, steps=3, progress=False)
    np.testing.assert_allclose(records.rows(), expected.rows(), rtol=1e-5)


def test_a_step_in_which_nothing_ever_moves_is_an_error_that_says_so() -> None:
    it = Loop()
    for step in (accumulating(it, 65), accumulating(it, 10_000)):
        with pytest.raises(
            RuntimeError, match=r"ran 64 times with the losses .* SGD.step was never called"
        ) as caught:
            it.find(step)
        assert caught.value.records.stop_reason == "failed"  # type: ignore[attr-defined]
    assert all(map(math.isfinite, it.losses))


def test_a_step_that_looks_at_its_loss_ends_as_non_finite() -> None:
    it = Loop()

    def step(batch: Any) -> torch.Tensor:
        loss = it.loss(batch) * (1.0 if len(it.losses) < 6 else math.nan)
        if torch.isfinite(loss):
            it.optimizer.zero_grad()
            loss.backward()
            it.optimizer.step()
        return loss

    records = it.find(step)
    assert (records.stop_reason, len(records)) == ("non-finite", 6)
    assert np.isfinite(records.loss[:5]).all()
    assert math.isnan(records.loss[5])


class Limited(nn.Module):
    """An embedding whose forward pass changes its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(4, 8, max_norm=0.5)
        self.last = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.last(self.embedding(x.argmax(1) % 4))
        return output


def test_a_forward_pass_that_changes_weights_is_no_step() -> None:
    torch.manual_seed(0)
    it = Loop(Limited())
    loss_only = it.find(it.loss)
    assert loss_only.rows().tobytes() == it.find(it.usual).rows().tobytes()
    with pytest.raises(RuntimeError, match="accumulate_in_step=4"):
        it.find(accumulating(it, 4))
    it.losses.clear()
    records = it.find(accumulating(it, 4), accumulate_in_step=4)
    assert (len(records), len(it.losses)) == (12, 48)


def test_accumulate_in_step_is_for_a_step_that_does_all_of_it() -> None:
    it = Loop()
    with pytest.raises(ValueError, match="only computes the loss; give accumulate= instead"):
        it.find(it.loss, accumulate_in_step=2)
    with pytest.raises(ValueError, match="give step= too"):
        TrainingTask(it.model, it.optimizer, LOSS, BATCHES, accumulate_in_step=2)
    with pytest.raises(ValueError, match="accumulate_in_step is 0"):
        it.find(it.usual, accumulate_in_step=0)


def test_a_scaler_of_its_own_skips_where_its_scale_falls_and_accumulates_where_not() -> None:
    it = Loop()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=5)

    def step(batch: Any) -> torch.Tensor:
        loss = it.loss(batch)
        loss.register_hook(lambda grad: torch.where(grad > 2.0**7, math.inf, grad))
        scaler.scale(loss / 2).backward()
        if len(it.losses) % 2 == 0:
            scaler.step(it.optimizer)
            scaler.update()
            it.optimizer.zero_grad()
        return loss

    records = it.find(step, scaler=scaler)
    # Half a loss fits after two halvings, from 2**10 to 2**8; the scale grows every five steps.
    assert [row for row, _ in records.meta["skipped_by_scaler"]] == [0, 0, 5, 10]
    assert (len(records), len(it.losses)) == (12, 2 * (12 + 4))
    pairs = np.reshape(it.losses, (16, 2)).mean(1)
    kept = [i for i in range(16) if i not in (0, 1, 7, 13)]
    np.testing.assert_allclose(records.loss, pairs[kept], rtol=1e-6)


def test_a_step_that_sets_the_rate_itself_is_refused_and_a_scheduler_after_it_is_not() -> None:
    it = Loop()

    def sets(batch: Any) -> torch.Tensor:
        it.optimizer.param_groups[0]["lr"] = 0.5
        return it.usual(batch)

    def schedules(batch: Any) -> torch.Tensor:
        loss = it.usual(batch)
        it.optimizer.param_groups[0]["lr"] *= 0.5
        return loss

    with pytest.raises(RuntimeError, match=r"has set the rate .* SGD.step is called at 0.5"):
        it.find(sets)
    assert it.find(schedules).rows().tobytes() == usual_rows().tobytes()


def test_a_scheduler_in_the_calls_of_one_step_does_not_change_its_rate() -> None:
    it = Loop()
    met: list[float] = []
    it.optimizer.register_step_pre_hook(lambda o, *_: met.append(o.param_groups[0]["lr"]))
    step = accumulating(it, 3)

    def scheduled(batch: Any) -> torch.Tensor:
        loss = step(batch)
        it.optimizer.param_groups[0]["lr"] *= 0.5
        return loss

    assert it.find(scheduled, 4).lr.tolist() == met


# -- what a step returns ---------------------------------------------------------------------------


class Output:
    """An output like that of a Transformers model."""

    def __init__(self, loss: torch.Tensor) -> None:
        self.loss = loss


TAKEN: dict[str, Callable[[torch.Tensor], Any]] = {
    "a mapping": lambda loss: {"loss": loss, "accuracy": 0.5},
    "a tuple": lambda loss: (loss, torch.ones(3)),
    "an output": Output,
    "one in a vector": lambda loss: loss.reshape(1),
}
TAKEN_OF_A_WHOLE_STEP: dict[str, Callable[[torch.Tensor], Any]] = {
    "a number": lambda loss: loss.item(),
    "a number of numpy's": lambda loss: np.float32(loss.item()),
    "a mapping of numbers": lambda loss: {"loss": loss.item()},
    "a list of numbers": lambda loss: [loss.item(), 0.5],
}
# Refused from a step that only computes the loss and from one that also steps the optimizer.
REFUSED: list[tuple[Callable[[torch.Tensor], Any], type[Exception], str]] = [
    (lambda loss: None, TypeError, "the loss is None; expected a scalar tensor"),
    (lambda loss: f"{loss:.0f}", TypeError, r"the loss is '\d', a str; expected a scalar tensor"),
    (lambda loss: torch.stack([loss, loss]), ValueError, r"shape \(2,\); expected a scalar"),
    (lambda loss: {"nll": loss}, TypeError, r"mapping with the keys \['nll'\]; expected a scalar"),
    (lambda loss: (), TypeError, r"the loss is a tuple of 0"),
    (lambda loss: (torch.stack([loss, loss]), 1), TypeError, r"tuple of 2 \(Tensor, int\)"),
    (lambda loss: True, TypeError, "the loss is True, a bool; expected a scalar"),
]


@pytest.mark.parametrize("form", TAKEN)
@pytest.mark.parametrize("kind", ["whole", "loss only", "loss_fn"])
def test_the_loss_is_found_in_what_is_returned(kind: str, form: str) -> None:
    it = Loop()
    if kind == "loss_fn":
        task = TrainingTask(it.model, it.optimizer, lambda o, t: TAKEN[form](LOSS(o, t)), BATCHES)
        records = lr_find(task, start_lr=1e-6, end_lr=1.0, steps=12, progress=False)
    else:
        step = it.usual if kind == "whole" else it.loss
        records = it.find(lambda batch: TAKEN[form](step(batch)))
    assert records.rows().tobytes() == usual_rows().tobytes()


@pytest.mark.parametrize("form", TAKEN_OF_A_WHOLE_STEP)
def test_a_whole_step_may_return_numbers(form: str) -> None:
    it = Loop()
    records = it.find(lambda batch: TAKEN_OF_A_WHOLE_STEP[form](it.usual(batch)))
    assert records.rows().tobytes() == usual_rows().tobytes()


@pytest.mark.parametrize("kind", ["whole", "loss only"])
@pytest.mark.parametrize(("form", "error", "words"), REFUSED)
def test_what_holds_no_loss_is_named(kind: str, form: Any, error: Any, words: str) -> None:
    it = Loop()
    step = it.usual if kind == "whole" else it.loss
    with pytest.raises(error, match=words):
        it.find(lambda batch: form(step(batch)))


def test_val_data_and_a_loss_with_something_beside_it() -> None:
    it = Loop()
    task = TrainingTask(
        it.model,
        it.optimizer,
        lambda o, t: {"loss": LOSS(o, t), "output": o},
        BATCHES,
        val_data=BATCHES[:1],
    )
    frame = lr_find(task, start_lr=1e-6, end_lr=1.0, steps=2, progress=False).frame
    assert frame.val_loss[0] == pytest.approx(frame.loss[0])
