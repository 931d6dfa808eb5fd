"""A sweep supports accumulation, mixed precision, clipping, validation and the user's own step."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lrwidget import LRRecords, TrainingTask
from tests.restore.endings import find
from tests.restore.fingerprint import differences, fingerprint

X = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True)
LOSS = nn.MSELoss()
PLACES = pytest.mark.parametrize("snapshot", ["auto", "device"])


def batches(size: int) -> list[Any]:
    return [(X[i : i + size], Y[i : i + size]) for i in range(0, 32, size)]


def network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))


class Watch:
    """A hook that records gradients and rates at each step; it forces a sweep in place."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.gradients: list[torch.Tensor] = []
        self.rates: list[float] = []
        optimizer.register_step_pre_hook(self)

    def __call__(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        params = optimizer.param_groups[0]["params"]
        self.gradients.append(torch.cat([p.grad.flatten() for p in params]))
        self.rates.append(optimizer.param_groups[0]["lr"])


def swept(size: int, **options: Any) -> tuple[LRRecords, Watch]:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = Watch(optimizer)
    before = fingerprint(model=model, optimizer=optimizer)
    records = find(TrainingTask(model, optimizer, LOSS, batches(size), **options))
    assert not differences(before, fingerprint(model=model, optimizer=optimizer))
    return records, watch


def test_gradients_of_micro_batches_are_those_of_the_big_batch() -> None:
    big, of_big = swept(8)
    small, of_small = swept(2, accumulate=4)
    assert len(of_small.gradients) == len(of_big.gradients) == 12
    np.testing.assert_allclose(small.loss, big.loss, rtol=1e-5)
    for a, b in zip(of_small.gradients, of_big.gradients, strict=True):
        torch.testing.assert_close(a, b)
    assert small.meta["accumulate"] == 4


def test_the_recorded_loss_is_the_mean_of_the_micro_losses() -> None:
    met: list[float] = []

    def loss_fn(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        loss = LOSS(output, target)
        met.append(loss.item())
        return loss

    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    records = find(TrainingTask(model, optimizer, loss_fn, batches(4), accumulate=3))
    np.testing.assert_allclose(records.loss, np.reshape(met, (12, 3)).mean(1), rtol=1e-6)


def test_accumulation_over_a_generator_that_ends_in_the_middle_of_a_step() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    task = TrainingTask(model, optimizer, LOSS, (b for b in batches(4)), accumulate=3)
    records = find(task)
    assert (records.stop_reason, len(records)) == ("exhausted", 2)


@PLACES
def test_autocast_is_the_forward_pass_in_its_dtype_alone(snapshot: Any) -> None:
    dtypes: list[torch.dtype] = []

    def loss_fn(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        dtypes.append(output.dtype)
        assert torch.is_autocast_enabled("cpu")
        return LOSS(output.float(), target)

    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    task = TrainingTask(
        model, optimizer, loss_fn, batches(4), autocast=torch.bfloat16, snapshot=snapshot
    )
    before = fingerprint(model=model, optimizer=optimizer)
    records = find(task)
    assert not differences(before, fingerprint(model=model, optimizer=optimizer))
    assert set(dtypes) == {torch.bfloat16}
    for i, (lr, loss) in enumerate(records.rows()):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        x, y = batches(4)[i % 8]
        with torch.autocast("cpu", torch.bfloat16):
            expected = loss_fn(model(x), y)
        expected.backward()
        optimizer.step()
        assert loss == expected.item()


class Overflows(nn.Module):
    """A loss whose gradients overflow when they are scaled by more than `limit`."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        loss: torch.Tensor = LOSS(output, target)
        loss.register_hook(lambda grad: torch.where(grad > self.limit, math.inf, grad))
        return loss


def scaler() -> Any:
    return torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=5)


@PLACES
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("clip", [None, 0.5])
def test_a_step_that_the_scaler_skips_is_marked_and_no_sample(
    clip: float | None, fused: bool, snapshot: Any
) -> None:
    model, gradscaler = network(), scaler()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=fused)
    subjects = {"model": model, "optimizer": optimizer, "scaler": gradscaler}
    before = fingerprint(**subjects)
    task = TrainingTask(
        model,
        optimizer,
        Overflows(2.0**8),
        batches(4),
        scaler=gradscaler,
        clip_grad_norm=clip,
        snapshot=snapshot,
    )
    records = find(task)
    assert not differences(before, fingerprint(**subjects))
    assert (records.stop_reason, len(records)) == ("finished", 12)
    skipped = records.meta["skipped_by_scaler"]
    # Two halvings lead from 2**10 to 2**8; then every fifth step doubles the scale, too far.
    assert [step for step, _ in skipped] == [0, 0, 5, 10]
    assert all(lr == records.lr[step] for step, lr in skipped)
    # The scaler skipped the steps of these four batches.
    without = [i for i in range(16) if i not in (0, 1, 7, 13)]
    for i, (lr, loss) in zip(without, records.rows(), strict=True):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        x, y = batches(4)[i % 8]
        expected = LOSS(model(x), y)
        expected.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        np.testing.assert_allclose(loss, expected.item(), rtol=1e-5)


def test_gradients_that_never_come_back_end_the_sweep_in_words() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    task = TrainingTask(model, optimizer, Overflows(0.0), batches(4), scaler=scaler())
    with pytest.raises(RuntimeError, match=r"skipped 32 steps in a row .* not finite") as caught:
        find(task)
    records = caught.value.records  # type: ignore[attr-defined]
    assert (records.stop_reason, len(records)) == ("failed", 0)
    assert len(records.meta["skipped_by_scaler"]) == 32
    assert records.suggestion.lr is None


def test_a_scaler_that_skips_because_the_loss_is_not_finite_says_so() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    task = TrainingTask(
        model, optimizer, lambda o, t: LOSS(o, t) * math.inf, batches(4), scaler=scaler()
    )
    records = find(task)
    assert (records.stop_reason, len(records)) == ("non-finite", 0)


def test_clipping_bounds_the_norm_that_the_step_meets() -> None:
    free, unclipped = swept(4)
    _, clipped = swept(4, clip_grad_norm=0.25)
    assert max(g.norm() for g in unclipped.gradients) > 0.3
    assert all(g.norm() <= 0.2501 for g in clipped.gradients)
    assert clipped.rates == free.lr.tolist()


class Loop:
    """A user's training step in several forms."""

    def __init__(self) -> None:
        self.model = network()
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.scaler = scaler()
        self.skip_first = False
        self.calls = 0

    def loss_only(self, batch: Any) -> torch.Tensor:
        return LOSS(self.model(batch[0]), batch[1])

    def whole(self, batch: Any) -> torch.Tensor:
        self.optimizer.zero_grad()
        loss = self.loss_only(batch)
        loss.backward()
        self.optimizer.step()
        return loss

    def whole_and_zero_after(self, batch: Any) -> float:
        loss = self.loss_only(batch)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()

    def whole_with_closure(self, batch: Any) -> Any:
        def closure() -> torch.Tensor:
            self.optimizer.zero_grad()
            loss = self.loss_only(batch)
            loss.backward()
            return loss

        return self.optimizer.step(closure)

    def scaled(self, batch: Any) -> torch.Tensor:
        self.optimizer.zero_grad()
        loss = self.loss_only(batch)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def scaled_and_zero_after(self, batch: Any) -> torch.Tensor:
        loss = self.loss_only(batch)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        return loss

    def find(self, form: str, **options: Any) -> LRRecords:
        options.setdefault("data", batches(4))
        task = TrainingTask(self.model, self.optimizer, step=getattr(self, form), **options)
        subjects = {"model": self.model, "optimizer": self.optimizer}
        if "scaler" in options:
            subjects["scaler"] = self.scaler
        before = fingerprint(**subjects)
        records = find(task)
        assert not differences(before, fingerprint(**subjects))
        assert records.meta["ran_on"] == "model"
        return records


FORMS = (
    "loss_only",
    "whole",
    "whole_and_zero_after",
    "whole_with_closure",
    "scaled",
    "scaled_and_zero_after",
)


@pytest.mark.parametrize("form", FORMS)
def test_a_step_of_its_own_is_the_usual_one(form: str) -> None:
    usual = Loop()
    expected = find(TrainingTask(usual.model, usual.optimizer, LOSS, batches(4)))
    it = Loop()
    records = it.find(form, **({"scaler": it.scaler} if "scaled" in form else {}))
    np.testing.assert_allclose(records.rows(), expected.rows(), rtol=1e-6)
    assert it.find("loss_only").rows().tobytes() == expected.rows().tobytes()


@pytest.mark.parametrize("form", ["scaled", "scaled_and_zero_after"])
def test_a_step_with_a_scaler_of_its_own_may_skip_even_the_first(form: str) -> None:
    it = Loop()
    overflow = Overflows(2.0**9)
    it.loss_only = lambda batch: overflow(it.model(batch[0]), batch[1])  # type: ignore[method-assign]
    records = it.find(form, scaler=it.scaler)
    assert (records.stop_reason, len(records)) == ("finished", 12)
    assert records.meta["skipped_by_scaler"][0][0] == 0


def test_a_step_of_its_own_that_fails() -> None:
    it = Loop()

    def fails(batch: Any) -> torch.Tensor:
        it.calls += 1
        if it.calls == 5:
            it.model.eval()
            raise ZeroDivisionError
        return it.whole(batch)

    it.fails = fails  # type: ignore[attr-defined]
    before = fingerprint(model=it.model, optimizer=it.optimizer)
    with pytest.raises(ZeroDivisionError) as caught:
        it.find("fails")
    assert len(caught.value.records) == 4  # type: ignore[attr-defined]
    assert not differences(before, fingerprint(model=it.model, optimizer=it.optimizer))


@PLACES
def test_validation_columns(snapshot: Any) -> None:
    model = nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 6), nn.BatchNorm1d(6)
    )
    model = nn.Sequential(model, nn.Linear(6, 1))
    model[0][1].eval()  # validation must not put it in train mode
    seen: list[tuple[bool, bool, tuple[bool, ...], float]] = []

    def metric(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        modes = tuple(m.training for m in modules[-1].modules())
        seen.append((output.requires_grad, torch.is_grad_enabled(), modes, float(target.sum())))
        return (output - target).abs().mean()

    modules: list[nn.Module] = [model]
    training: list[tuple[bool, ...]] = []

    def remember(module: nn.Module, *_: Any) -> None:
        training.append(tuple(m.training for m in module.modules()))

    model.register_forward_pre_hook(remember)  # a hook forces a sweep in place
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    task = TrainingTask(
        model,
        optimizer,
        LOSS,
        batches(4),
        val_data=torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(X, Y), batch_size=8, shuffle=True
        ),
        val_batches=2,
        val_every=5,
        metric=metric,
        snapshot=snapshot,
    )
    usual = tuple(m.training for m in model.modules())
    before = fingerprint(model=model, optimizer=optimizer)
    frame = find(task).frame
    assert not differences(before, fingerprint(model=model, optimizer=optimizer))
    assert list(frame.columns) == ["lr", "loss", "val_loss", "metric"]
    assert list(np.flatnonzero(frame.val_loss.notna())) == [0, 5, 10]
    assert list(np.flatnonzero(frame.metric.notna())) == [0, 5, 10]
    assert all(not grad and not enabled and not any(modes) for grad, enabled, modes, _ in seen)
    # Validation keeps its two batches, although the loader shuffles.
    assert [total for *_, total in seen] == [total for *_, total in seen[:2]] * 3
    trained = [modes for modes in training if any(modes)]
    assert len(trained) == 12
    assert set(trained) == {usual}


def test_validation_alone_names_no_metric() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    task = TrainingTask(
        model, optimizer, LOSS, batches(4), val_data=batches(8), val_batches=4, val_every=12
    )
    frame = find(task).frame
    with torch.no_grad():
        expected = np.mean([LOSS(model(x), y).item() for x, y in batches(8)])
    assert list(frame.columns) == ["lr", "loss", "val_loss"]
    assert frame.val_loss[0] == pytest.approx(expected)
