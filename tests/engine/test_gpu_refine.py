"""Refinements and checks on a CUDA device: endings, losses, synchronizations, the widget."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import LRFinderWidget, LRRecords, TrainingTask, check_lrs, lr_find, refine
from lrwidget.engine.refine import refinement_of, refining
from tests.gpu import DEVICE, OPTIMIZERS, plain_loop, problem, there, waits
from tests.nothing_left import own_folder_for_temporary_files
from tests.restore.endings import interrupt
from tests.restore.fingerprint import differences
from tests.restore.plan import BoomError
from tests.restore.scenes import Scene

__all__ = ["own_folder_for_temporary_files", "there"]

Make = Callable[[str], Scene]

BUDGET = 440
SNAPSHOTS = pytest.mark.parametrize("snapshot", ["auto", "device", "cpu", "disk"])
SCENES = ("warm_adam", "batchnorm_dropout", "scheduled", "tied", "scaled", "bfloat16")


@pytest.fixture(scope="module", autouse=True)
def in_use() -> None:
    """Use the device first, so that torch's lasting allocations exist."""
    for _ in range(2):
        refine(TrainingTask(*problem()), LRRecords(), BUDGET)
    torch.cuda.synchronize()


@pytest.mark.parametrize("scene", SCENES)
@SNAPSHOTS
def test_everything_is_as_before_a_refinement(there: Make, scene: str, snapshot: Any) -> None:
    it = there(scene)
    before = it.fingerprint()
    result = refine(it.task(snapshot=snapshot), LRRecords(), BUDGET)
    assert result.stop_reason == "finished"
    assert len(result.trials) >= 3
    assert differences(before, it.fingerprint()) == []


@pytest.mark.parametrize("place", ["forward", "backward", "loss"])
@SNAPSHOTS
def test_everything_is_as_before_a_refinement_that_breaks_off(
    there: Make, place: str, snapshot: Any
) -> None:
    it = there("warm_adam")
    before = it.fingerprint()
    it.plan.at(place, 100, interrupt)
    assert refine(it.task(snapshot=snapshot), LRRecords(), BUDGET).stop_reason == "stopped"
    assert differences(before, it.fingerprint()) == []
    it.plan.at(place, 100, it.plan.fail)
    with pytest.raises(BoomError):
        refine(it.task(snapshot=snapshot), LRRecords(), BUDGET)
    assert differences(before, it.fingerprint()) == []


@SNAPSHOTS
def test_everything_is_as_before_a_check(there: Make, snapshot: Any) -> None:
    it = there("batchnorm_dropout")
    before = it.fingerprint()
    results = check_lrs(it.task(snapshot=snapshot), [1e-3, 1e-2, 1e30], steps=20)
    assert results.best == 1e-2
    assert differences(before, it.fingerprint()) == []


@pytest.mark.parametrize("snapshot", ["auto", "device"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_losses_of_trials_are_those_of_a_plain_loop(name: str, snapshot: Any) -> None:
    made = problem(OPTIMIZERS[name])
    task = TrainingTask(*made, val_data=made[3], snapshot=snapshot)
    trial = refine(task, LRRecords(), BUDGET).trials[0].records
    checked = check_lrs(task, [3e-3], steps=40).trials[0]
    state = torch.cuda.get_rng_state()
    weights = [p.detach().clone() for p in made[0].parameters()]
    buffers = [b.clone() for b in made[0].buffers()]
    assert plain_loop(*made, rates=trial.lr[:40]) == trial.loss[:40].tolist()
    torch.cuda.set_rng_state(state)
    again = problem(OPTIMIZERS[name])
    assert all(map(torch.equal, weights, again[0].parameters()))
    assert all(map(torch.equal, buffers, again[0].buffers()))
    torch.cuda.set_rng_state(state)
    assert plain_loop(*again, rates=checked.lr) == checked.loss.tolist()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_step_of_a_trial_waits_for_the_device(name: str) -> None:
    result = refinement_of(LRRecords(), BUDGET, None)
    work = refining(TrainingTask(*problem(OPTIMIZERS[name])), result)
    for _ in range(5):
        next(work)
    inside = result.length - 10
    assert inside >= 20
    assert waits(lambda: [next(work) for _ in range(inside)]) == 0
    assert len(result.trials) == 1
    work.close()


def test_a_longer_check_waits_no_more_often() -> None:
    task = TrainingTask(*problem())

    def of(steps: int) -> int:
        return waits(lambda: check_lrs(task, [1e-3, 1e-2], steps))

    assert of(200) == of(100)


def test_held_out_data_on_another_device_than_the_model() -> None:
    model, optimizer, loss_fn, data = problem()
    on_cpu = refine(TrainingTask(model, optimizer, loss_fn, data, val_data=data), LRRecords(), 300)
    moved = [(x.to(DEVICE), y.to(DEVICE)) for x, y in data]
    there_too = refine(
        TrainingTask(model, optimizer, loss_fn, moved, val_data=moved), LRRecords(), 300
    )
    assert on_cpu.frame.equals(there_too.frame)
    assert on_cpu.lr == there_too.lr


def test_the_widget_refines_to_the_same_rate_as_a_script() -> None:
    made = problem()
    records = lr_find(TrainingTask(*made), progress=False)
    expected = refine(TrainingTask(*made), records, BUDGET)
    weights = [p.detach().clone() for p in made[0].parameters()]
    widget = LRFinderWidget(*made)
    widget.start()
    widget.wait()
    result = widget.refine(budget=BUDGET)
    widget.wait()
    assert result.frame.equals(expected.frame)
    assert widget.lr == result.lr == expected.lr
    assert all(map(torch.equal, weights, made[0].parameters()))
    widget.close()


def test_a_small_step_of_a_users_own_is_refined() -> None:
    model, optimizer, _, data = problem()

    def step(batch: Any) -> torch.Tensor:
        x, y = batch
        return nn.functional.cross_entropy(model(x), y)

    weights = [p.detach().clone() for p in model.parameters()]
    result = refine(TrainingTask(model, optimizer, data=data, step=step), LRRecords(), 300)
    assert result.stop_reason == "finished"
    assert all(map(torch.equal, weights, model.parameters()))
