"""One training step of a task."""

import operator
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import TrainingTask, lr_find
from tests.tasks import blobs, network, problem


def swept(task: TrainingTask, **options: Any) -> Any:
    options = {"start_lr": 1e-3, "end_lr": 1.0, "steps": 8, **options}
    return lr_find(task, progress=False, **options)


def test_it_equals_a_plain_loop_to_the_last_bit() -> None:
    model, optimizer, loss_fn, loader = problem(torch.optim.Adam)
    task = TrainingTask(model, optimizer, loss_fn, loader)
    state = torch.get_rng_state()
    records = swept(task, steps=20)
    torch.set_rng_state(state)
    batches = [batch for _ in range(3) for batch in loader]
    for lr, loss, (x, y) in zip(records.lr, records.loss, batches, strict=False):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        expected = loss_fn(model(x), y)
        expected.backward()
        optimizer.step()
        assert loss == expected.item()


class GhostLoss:
    """A loss that is no tensor but has a backward pass, as that of Opacus' ghost clipping."""

    def __init__(self, loss: torch.Tensor) -> None:
        self.loss_per_sample = loss

    def backward(self) -> None:
        self.loss_per_sample.backward()


@pytest.mark.parametrize(
    ("loss_fn", "error", "words"),
    [
        (nn.CrossEntropyLoss(reduction="none"), ValueError, r"shape \(32,\); expected a scalar"),
        (lambda o, t: nn.functional.cross_entropy(o, t).detach(), ValueError, "not require grad"),
        (
            lambda o, t: nn.functional.cross_entropy(o, t).item(),
            TypeError,
            "expected a scalar tensor",
        ),
        (
            lambda o, t: GhostLoss(nn.functional.cross_entropy(o, t)),
            TypeError,
            r"GhostLoss, with a backward\(\) of its own.*returns loss\.item\(\): TrainingTask",
        ),
    ],
)
def test_a_loss_that_cannot_be_trained_on_is_named(
    loss_fn: Any, error: type[Exception], words: str
) -> None:
    model, optimizer, _, loader = problem()
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(error, match=words):
        swept(TrainingTask(model, optimizer, loss_fn, loader))
    assert all(map(torch.equal, before, model.parameters()))


def test_accumulated_gradients_equal_those_of_the_big_batch() -> None:
    def losses(batch_size: int, accumulate: int) -> Any:
        model, optimizer, loss_fn, _ = problem()
        loader = torch.utils.data.DataLoader(blobs(), batch_size=batch_size)
        return swept(TrainingTask(model, optimizer, loss_fn, loader, accumulate=accumulate)).loss

    assert losses(16, 4) == pytest.approx(losses(64, 1), rel=1e-5)


def test_a_step_of_its_own_may_return_the_loss_or_do_everything() -> None:
    def losses(kind: str) -> Any:
        model, optimizer, loss_fn, loader = problem()

        def only_loss(batch: Any) -> torch.Tensor:
            return loss_fn(model(batch[0]), batch[1])

        def whole(batch: Any) -> float:
            optimizer.zero_grad()
            loss = only_loss(batch)
            loss.backward()
            optimizer.step()
            return loss.item()

        step = {"loss": only_loss, "whole": whole, "none": None}[kind]
        return list(swept(TrainingTask(model, optimizer, loss_fn, loader, step=step), seed=3).loss)

    assert losses("loss") == losses("whole") == losses("none")


def test_an_optimizer_that_needs_a_closure_gets_one() -> None:
    model, _, loss_fn, loader = problem()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=2)
    records = swept(TrainingTask(model, optimizer, loss_fn, loader), start_lr=1e-6, end_lr=1e-3)
    assert len(records) == 8
    assert torch.isfinite(torch.tensor(records.loss)).all()


def test_a_closure_and_a_scaler_do_not_go_together() -> None:
    model, _, loss_fn, loader = problem()
    task = TrainingTask(
        model,
        torch.optim.LBFGS(model.parameters()),
        loss_fn,
        loader,
        scaler=torch.amp.GradScaler("cpu"),
    )
    with pytest.raises(ValueError, match="leave scaler out"):
        swept(task)


def test_gradients_are_clipped_to_the_norm() -> None:
    model, optimizer, loss_fn, loader = problem()
    moved: list[float] = []

    def watch(*_: Any) -> None:
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        moved.append(float(torch.nn.utils.get_total_norm(grads)))

    handle = optimizer.register_step_pre_hook(watch)
    swept(TrainingTask(model, optimizer, loss_fn, loader, clip_grad_norm=0.01))
    handle.remove()
    assert max(moved) <= 0.0101


def test_autocast_runs_the_forward_pass_in_its_dtype() -> None:
    dtypes: list[torch.dtype] = []

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            output = self.net(x)
            dtypes.append(output.dtype)
            return output

    model = Watched()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    swept(TrainingTask(model, optimizer, nn.CrossEntropyLoss(), blobs(), autocast=torch.bfloat16))
    assert set(dtypes) == {torch.bfloat16}


def test_a_step_that_the_scaler_skips_is_tried_again_at_its_rate() -> None:
    model, optimizer, cross_entropy, loader = problem()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=1000)
    loss_fn = lambda output, target: 100 * cross_entropy(output, target)  # noqa: E731
    records = swept(TrainingTask(model, optimizer, loss_fn, loader, scaler=scaler), steps=4)
    skips = records.meta["skipped_by_scaler"]
    assert len(records) == 4
    assert skips[0][0] == 0
    assert all(lr == records.lr[row] for row, lr in skips)


def test_validation_adds_columns_measured_in_eval_mode_on_the_same_batches() -> None:
    seen: list[tuple[bool, bool]] = []

    class Watched(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not torch.is_grad_enabled():
                seen.append((self.training, self[1].training))
            return super().forward(x)

    model = Watched(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Linear(16, 4))
    task = TrainingTask(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        nn.CrossEntropyLoss(),
        blobs(),
        val_data=[blobs()[:64], blobs()[64:128], blobs()[128:]],
        val_batches=2,
        val_every=3,
        metric=lambda output, target: (output.argmax(1) == target).float().mean(),
    )
    frame = swept(task).frame
    assert list(frame.columns) == ["lr", "loss", "val_loss", "metric"]
    assert frame.index[frame.val_loss.notna()].tolist() == [0, 3, 6]
    assert frame.metric.dropna().between(0, 1).all()
    assert seen == [(False, False)] * 6


def test_other_optimizers_step_too() -> None:
    model, _, loss_fn, loader = problem()
    first = torch.optim.SGD(model[0].parameters(), lr=0.1)
    second = torch.optim.SGD(model[2].parameters(), lr=0.1)
    stepped: list[torch.optim.Optimizer] = []
    for optimizer in (first, second):
        optimizer.register_step_post_hook(lambda o, *_: stepped.append(o))
    swept(TrainingTask(model, first, loss_fn, loader, other_optimizers=[second]))
    assert stepped == [first, second] * 8


def test_groups_keep_their_ratios_and_other_optimizers_follow_when_asked() -> None:
    rates: list[list[float]] = []
    model, _, loss_fn, loader = problem()
    other = torch.optim.SGD([model[2].bias], lr=0.6)
    optimizer = torch.optim.SGD(
        [
            {"params": model[0].parameters(), "lr": 0.1},
            {"params": [model[2].weight], "lr": 0.2},
        ],
        lr=1.0,
    )

    def step(batch: Any) -> torch.Tensor:
        rates.append([g["lr"] for o in (optimizer, other) for g in o.param_groups])
        return loss_fn(model(batch[0]), batch[1])

    for others, expected in (("follow", [1, 2, 6]), ("keep", [1, 2, None])):
        rates.clear()
        task = TrainingTask(
            model, optimizer, loss_fn, loader, step=step, other_optimizers=[other], others=others
        )
        records = swept(task)
        for lr, (first, second, third) in zip(records.lr, rates, strict=True):
            assert (first, second) == pytest.approx((lr * expected[0], lr * expected[1]))
            assert third == pytest.approx(0.6 if expected[2] is None else lr * expected[2])


@pytest.mark.parametrize("own_step", [False, True])
def test_groups_that_a_loaded_state_makes_anew_are_given_the_rate(own_step: bool) -> None:
    model, _, loss_fn, loader = problem()
    groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[2].parameters()}]
    optimizer = torch.optim.SGD(groups, lr=0.2)
    before = list(optimizer.param_groups)
    rates: list[list[float]] = []
    optimizer.register_step_post_hook(
        lambda one, *_: rates.append([group["lr"] for group in one.param_groups])
    )

    def loss_of(output: Any, target: Any) -> torch.Tensor:
        if len(rates) in (3, 5):  # as a training that goes back to a state that it has kept
            optimizer.load_state_dict(optimizer.state_dict())
        return loss_fn(output, target)

    def step(batch: Any) -> torch.Tensor:
        return loss_of(model(batch[0]), batch[1])

    records = swept(
        TrainingTask(model, optimizer, loss_of, loader, step=step if own_step else None)
    )
    assert rates == [[pytest.approx(lr), pytest.approx(2 * lr)] for lr in records.lr]
    assert all(map(operator.is_, optimizer.param_groups, before))
    assert [group["lr"] for group in before] == [0.1, 0.2]


def test_a_zero_grad_of_its_own_is_called() -> None:
    calls: list[str] = []

    class Own(torch.optim.SGD):
        def zero_grad(self, set_to_none: bool = True) -> None:
            calls.append("own")
            super().zero_grad(set_to_none)

    model, optimizer, loss_fn, loader = problem(Own)
    swept(TrainingTask(model, optimizer, loss_fn, loader), steps=3)
    assert calls == ["own"] * 3


def test_gradients_of_a_parameter_that_a_step_does_not_use_are_gone() -> None:
    model, optimizer, loss_fn, loader = problem(torch.optim.Adam)
    unused = nn.Parameter(torch.ones(2))
    model.register_parameter("unused", unused)
    optimizer.add_param_group({"params": [unused], "weight_decay": 0.5})
    unused.grad = torch.ones(2)
    values: list[torch.Tensor] = []
    model.register_forward_pre_hook(lambda m, _: values.append(m.unused.detach().clone()))
    swept(TrainingTask(model, optimizer, loss_fn, loader), steps=3)
    assert all(torch.equal(value, torch.ones(2)) for value in values[1:])
    assert torch.equal(unused.grad, torch.ones(2))
