"""A sweep leaves an attached scheduler unchanged, whatever its kind and its progress."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as schedulers

from tests.restore.endings import find, runner
from tests.restore.fingerprint import differences
from tests.restore.scenes import Scene, fresh

SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "StepLR": lambda o: schedulers.StepLR(o, 2),
    "LambdaLR": lambda o: schedulers.LambdaLR(o, lambda epoch: 0.95**epoch),
    "MultiplicativeLR": lambda o: schedulers.MultiplicativeLR(o, lambda epoch: 0.9),
    "MultiStepLR": lambda o: schedulers.MultiStepLR(o, [2, 4]),
    "ConstantLR": lambda o: schedulers.ConstantLR(o),
    "LinearLR": lambda o: schedulers.LinearLR(o),
    "ExponentialLR": lambda o: schedulers.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: schedulers.PolynomialLR(o),
    "CosineAnnealingLR": lambda o: schedulers.CosineAnnealingLR(o, 10),
    "CosineAnnealingWarmRestarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 3),
    "CyclicLR": lambda o: schedulers.CyclicLR(o, 1e-3, 1e-1, step_size_up=3),
    "OneCycleLR": lambda o: schedulers.OneCycleLR(o, 0.1, total_steps=40),
    "SequentialLR": lambda o: schedulers.SequentialLR(
        o, [schedulers.ConstantLR(o), schedulers.ExponentialLR(o, 0.9)], milestones=[2]
    ),
    "ChainedScheduler": lambda o: schedulers.ChainedScheduler(
        [schedulers.ConstantLR(o), schedulers.ExponentialLR(o, 0.9)]
    ),
}


def with_scheduler(name: str, steps: int) -> Scene:
    it = fresh()
    it.scheduler = SCHEDULERS[name](it.optimizer)
    it.train(steps)
    return it


def rates_after(it: Scene) -> list[float]:
    """Continue the training with warnings as errors and return its rates."""
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(6):
            it.train(1)
            rates.append(float(it.optimizer.param_groups[0]["lr"]))
    return rates


@pytest.mark.parametrize("snapshot", ["auto", "device"])
@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_it_goes_its_course_as_if_nothing_had_been(name: str, steps: int, snapshot: str) -> None:
    it = with_scheduler(name, steps)
    before = it.fingerprint()
    records = find(it.task(snapshot=snapshot))
    assert records.meta["ran_on"] == ("copy" if snapshot == "auto" else "model")
    # The scheduler did not change the sweep's rates.
    assert records.lr[-1] == 1e-2
    assert not differences(before, it.fingerprint())
    assert rates_after(it) == rates_after(with_scheduler(name, steps))


def test_one_that_watches_the_loss() -> None:
    it = fresh()
    it.scheduler = schedulers.ReduceLROnPlateau(it.optimizer, patience=0)
    it.scheduler.step(1.0)
    before = it.fingerprint()
    find(it.task(snapshot="device"))
    assert not differences(before, it.fingerprint())
    it.scheduler.step(2.0)
    assert it.optimizer.param_groups[0]["lr"] == pytest.approx(1e-3)


def test_the_warning_of_a_scheduler_that_is_too_early_still_comes() -> None:
    """The sweep must not count as the optimizer's first step."""
    it = with_scheduler("StepLR", 0)
    find(it.task(snapshot="device"))
    with pytest.warns(UserWarning, match="lr_scheduler.step"):
        it.scheduler.step()


def test_apply_leaves_the_scheduler_usable() -> None:
    it = with_scheduler("ExponentialLR", 0)
    task = it.task()
    run = runner(task)
    run.start()
    run.wait()
    task.apply(0.2)
    assert it.optimizer.param_groups[0]["lr"] == 0.2
    assert rates_after(it)[0] == pytest.approx(0.18)


def test_swa_and_averaged_models() -> None:
    it = fresh()
    averaged = torch.optim.swa_utils.AveragedModel(it.model)
    it.scheduler = torch.optim.swa_utils.SWALR(it.optimizer, swa_lr=0.05)
    it.train(2)
    averaged.update_parameters(it.model)
    kept = {name: value.clone() for name, value in averaged.state_dict().items()}
    before = it.fingerprint()
    find(it.task(snapshot="device"))
    assert not differences(before, it.fingerprint())
    assert all(torch.equal(kept[name], value) for name, value in averaged.state_dict().items())
