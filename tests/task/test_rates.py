"""Param groups keep the ratio of their configured rates, whatever a schedule did."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as schedulers

from lrwidget import LRFinderWidget, TrainingTask, lr_find
from lrwidget.task.rates import rate_groups
from tests.tasks import blobs, network

LOSS = nn.CrossEntropyLoss()


def two_groups(first: Any = 1e-4, second: Any = 1e-2) -> tuple[nn.Sequential, torch.optim.SGD]:
    model = network()
    optimizer = torch.optim.SGD(
        [
            {"params": model[0].parameters(), "lr": first},
            {"params": model[2].parameters(), "lr": second},
        ]
    )
    return model, optimizer


def swept_ratios(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[tuple[float, float]]:
    """Return for each step the ratios first group's to recorded rate, second's to first group's."""
    met: list[tuple[float, float]] = []
    handle = optimizer.register_step_pre_hook(
        lambda o, *_: met.append((float(o.param_groups[0]["lr"]), float(o.param_groups[1]["lr"])))
    )
    records = lr_find(
        model, optimizer, LOSS, blobs(), start_lr=1e-6, end_lr=1e-3, steps=4, progress=False
    )
    handle.remove()
    return [(a / lr, b / a) for lr, (a, b) in zip(records.lr, met, strict=True)]


def steps(optimizer: Any, scheduler: Any, count: int) -> Any:
    for _ in range(count):
        optimizer.step()
        scheduler.step()
    return scheduler


SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "none": lambda o: None,
    "a warm-up from 0": lambda o: schedulers.LambdaLR(o, lambda e: min(1, e / 10)),
    "a warm-up in its middle": lambda o: steps(
        o, schedulers.LinearLR(o, start_factor=0.01, total_iters=10), 4
    ),
    "the first group warms up": lambda o: schedulers.LambdaLR(
        o, [lambda e: min(1, e / 10), lambda e: 1.0]
    ),
    "the second group warms up": lambda o: schedulers.LambdaLR(
        o, [lambda e: 1.0, lambda e: min(1, e / 10)]
    ),
    "a cosine that has ended": lambda o: steps(o, schedulers.CosineAnnealingLR(o, 5), 5),
    "one that ends at a common floor": lambda o: steps(
        o, schedulers.CosineAnnealingLR(o, 5, eta_min=1e-5), 5
    ),
    "warm-up, then decay": lambda o: schedulers.SequentialLR(
        o,
        [schedulers.LinearLR(o, 1e-8, total_iters=4), schedulers.ExponentialLR(o, 0.9)],
        milestones=[4],
    ),
    "one cycle": lambda o: steps(o, schedulers.OneCycleLR(o, [1e-4, 1e-2], total_steps=20), 3),
    "a plateau": lambda o: schedulers.ReduceLROnPlateau(o),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_groups_keep_the_ratio_that_was_written_under_any_schedule(name: str) -> None:
    model, optimizer = two_groups()
    scheduler = SCHEDULES[name](optimizer)  # noqa: F841 - it holds the optimizer
    for first, second in swept_ratios(model, optimizer):
        assert (first, second) == (pytest.approx(1), pytest.approx(100))


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("by", ["the task", "the widget", "the widget, to another"])
def test_apply_keeps_it_too(name: str, by: str) -> None:
    model, optimizer = two_groups()
    scheduler = SCHEDULES[name](optimizer)  # noqa: F841
    if by == "the task":
        TrainingTask(model, optimizer, LOSS, blobs()).apply(0.01)
    else:
        given = optimizer if by == "the widget" else torch.optim.SGD
        widget = LRFinderWidget(model, given, LOSS, blobs())
        widget.lr = 0.01
        widget.apply(*() if by == "the widget" else (optimizer,))
        widget.close()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.01, 1.0])


def test_a_scheduler_that_is_made_after_apply_begins_at_its_rate() -> None:
    model, optimizer = two_groups()
    schedulers.LambdaLR(optimizer, lambda e: min(1, e / 10))
    TrainingTask(model, optimizer, LOSS, blobs()).apply(0.01)
    again = schedulers.LambdaLR(optimizer, lambda e: 0.5)
    assert again.get_last_lr() == pytest.approx([0.005, 0.5])


def test_a_one_cycle_schedule_that_has_begun_goes_on_as_it_was() -> None:
    def rates_of(applied: bool) -> list[list[float]]:
        model, optimizer = two_groups()
        cycle = schedulers.OneCycleLR(optimizer, max_lr=[0.1, 0.2], total_steps=8)
        if applied:
            TrainingTask(model, optimizer, LOSS, blobs()).apply(0.01)
        found = []
        for _ in range(7):
            optimizer.step()
            cycle.step()
            found.append(cycle.get_last_lr())
        return found

    assert rates_of(applied=True) == rates_of(applied=False)


def test_a_group_that_was_added_later_counts_as_it_was_written() -> None:
    model = network()
    optimizer = torch.optim.SGD(model[0].parameters(), lr=1e-4)
    schedulers.LambdaLR(optimizer, lambda e: min(1, e / 10))
    optimizer.add_param_group({"params": model[2].parameters(), "lr": 1e-2})
    assert [ratio for _, ratio in swept_ratios(model, optimizer)] == pytest.approx([100] * 4)


def test_rates_that_are_tensors_keep_their_ratio_in_place() -> None:
    model = network()
    rates = [torch.tensor(1e-4), torch.tensor(1e-2)]
    optimizer = torch.optim.AdamW(
        [
            {"params": model[i].parameters(), "lr": rate}
            for i, rate in zip((0, 2), rates, strict=True)
        ],
        foreach=False,
    )
    schedulers.LambdaLR(optimizer, lambda e: min(1, e / 10))
    assert [ratio for _, ratio in swept_ratios(model, optimizer)] == pytest.approx([100] * 4)
    TrainingTask(model, optimizer, LOSS, blobs()).apply(0.01)
    assert optimizer.param_groups[0]["lr"] is rates[0]
    assert [float(rate) for rate in rates] == pytest.approx([0.01, 1.0])


def test_a_schedule_on_one_of_two_optimizers_does_not_change_what_follows() -> None:
    model = network()
    first = torch.optim.SGD(model[0].parameters(), lr=0.1)
    other = torch.optim.SGD(model[2].parameters(), lr=0.3)
    schedulers.LinearLR(first, 0.001)
    assert [ratio for _, ratio in rate_groups([first, other])] == pytest.approx([1, 3])


def test_rates_that_were_all_0_before_the_schedule_are_read_as_they_are() -> None:
    _, optimizer = two_groups(0.0, 0.0)
    schedulers.LambdaLR(optimizer, lambda e: 1.0)
    optimizer.param_groups[0]["lr"], optimizer.param_groups[1]["lr"] = 0.1, 0.2
    assert [ratio for _, ratio in rate_groups([optimizer])] == pytest.approx([1, 2])


# -- layer decay: an `lr_scale` in each group, as in timm, BEiT and MAE ----------------------------

SCALES = (0.25, 0.5, 1.0)


def layer_decay() -> tuple[nn.Sequential, torch.optim.AdamW]:
    model = network()
    params = [[model[0].weight, model[0].bias], [model[2].weight], [model[2].bias]]
    groups = [{"params": p, "lr_scale": s} for p, s in zip(params, SCALES, strict=True)]
    return model, torch.optim.AdamW(groups, lr=1e-3)


class ScalingScheduler:
    """Like timm's schedulers, it multiplies the rate in `initial_lr` by the group's scale."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.groups = optimizer.param_groups
        for group in self.groups:
            group.setdefault("initial_lr", group["lr"])
        self.set(1.0)

    def set(self, factor: float) -> None:
        for group in self.groups:
            group["lr"] = factor * group["initial_lr"] * group["lr_scale"]


def multiplied_in(optimizer: torch.optim.Optimizer) -> None:
    for group in optimizer.param_groups:
        group["lr"] *= group["lr_scale"]


DECAYS: dict[str, Callable[[Any], Any]] = {
    "no scheduler yet": lambda o: None,
    "one at its full rate": lambda o: ScalingScheduler(o),
    "one that warms up": lambda o: ScalingScheduler(o).set(0.0),
    "one that decays": lambda o: ScalingScheduler(o).set(0.3),
    "a loop that multiplies": multiplied_in,
    "torch's, at 0": lambda o: schedulers.LambdaLR(o, lambda e: min(1, e / 10)),
}


@pytest.mark.parametrize("name", DECAYS)
def test_under_layer_decay_the_axis_is_the_rate_that_a_person_writes(name: str) -> None:
    model, optimizer = layer_decay()
    DECAYS[name](optimizer)
    met: list[list[float]] = []
    optimizer.register_step_pre_hook(
        lambda o, *_: met.append([group["lr"] for group in o.param_groups])
    )
    task = TrainingTask(model, optimizer, LOSS, blobs())
    records = lr_find(task, start_lr=1e-6, end_lr=1e-2, steps=4, progress=False)
    assert records.lr[-1] == 1e-2
    for lr, rates in zip(records.lr, met, strict=True):
        assert rates == pytest.approx([lr * scale for scale in SCALES])
    task.apply(0.01)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(
        [0.01 * scale for scale in SCALES]
    )
    # A scheduler made after apply() multiplies by the scales once, not twice.
    ScalingScheduler(optimizer)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01 * SCALES[0])


def test_scales_that_the_schedule_under_way_does_not_use_are_not_used_in_the_sweep() -> None:
    _, optimizer = layer_decay()
    schedulers.CosineAnnealingLR(optimizer, 10)
    assert [ratio for _, ratio in rate_groups([optimizer])] == pytest.approx([1, 1, 1])


@pytest.mark.framework
def test_timm_s_layer_decay() -> None:
    import timm
    from timm.optim import create_optimizer_v2
    from timm.scheduler import CosineLRScheduler

    model = timm.create_model("test_vit", num_classes=4)
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, layer_decay=0.5)
    written = [group["lr_scale"] for group in optimizer.param_groups]
    assert min(written) < max(written)
    for _ in range(2):
        assert [ratio for _, ratio in rate_groups([optimizer])] == pytest.approx(written)
        CosineLRScheduler(optimizer, t_initial=10, warmup_t=3, warmup_lr_init=0)
        assert all(group["lr"] == 0 for group in optimizer.param_groups)


@pytest.mark.parametrize(("given", "ratio"), [({}, 1.0), ({"lr": 3e-4}, None)])
def test_a_group_that_is_added_in_mid_sweep_follows_unless_it_has_a_rate(
    given: dict[str, float], ratio: float | None
) -> None:
    model, met = network(), []
    optimizer = torch.optim.SGD(model[2].parameters(), 0.1)

    def step(batch: Any) -> torch.Tensor:
        met.append([group["lr"] for group in optimizer.param_groups])
        if len(met) == 3:
            optimizer.add_param_group({"params": model[0].parameters(), **given})
        loss: torch.Tensor = LOSS(model(batch[0]), batch[1])
        return loss

    batches = [blobs()[:32]] * 4
    task = TrainingTask(model, optimizer, data=batches, step=step)
    records = lr_find(task, steps=6, progress=False)
    rates = records.lr.tolist()
    assert met == [
        *([lr] for lr in rates[:3]),
        *([lr, (ratio and lr * ratio) or 3e-4] for lr in rates[3:]),
    ]
    assert len(optimizer.param_groups) == 1
