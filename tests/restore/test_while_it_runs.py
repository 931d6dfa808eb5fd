"""A sweep of a copy leaves the user's objects alone and needs the memory of one copy."""

import threading

import pytest
import torch
from torch import nn

from lrwidget import TrainingTask
from lrwidget.backup import backup
from lrwidget.restore.captured import Captured
from lrwidget.restore.copying import copy_together
from tests.restore.endings import PATIENCE, runner, wait_until
from tests.restore.fingerprint import differences
from tests.restore.scenes import IN_PLACE, SCENES, batchnorm_dropout, warm_adam


@pytest.mark.parametrize("scene", [name for name in SCENES if name not in IN_PLACE])
def test_the_users_objects_do_not_change_in_mid_sweep(scene: str) -> None:
    it = SCENES[scene]()
    run = runner(it.task())
    reached, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        assert go_on.wait(PATIENCE)

    subjects = ("model", "optimizer", "loss_fn", "scheduler", "scaler")
    before = it.fingerprint()
    it.plan.at("backward", 5, hold)
    run.start()
    try:
        assert reached.wait(PATIENCE)
        assert len(run.records) == 4
        during = differences(before, it.fingerprint())
        assert not [change for change in during if change.startswith(subjects)]
    finally:
        go_on.set()
        run.close()
    assert not differences(before, it.fingerprint())


def test_it_can_be_evaluated_from_another_cell_meanwhile() -> None:
    it = batchnorm_dropout()
    it.train(3)
    it.model.eval()
    x = torch.ones(3, 4)
    with torch.no_grad():
        alone = it.model.model(x)
    run = runner(it.task(), steps=200)
    run.start()
    evaluations = 0
    with torch.no_grad():
        while run.state == "running":
            assert torch.equal(it.model.model(x), alone)
            assert not it.model.training
            evaluations += 1
    assert run.wait(PATIENCE).stop_reason == "finished"
    assert evaluations > 10


def test_a_paused_sweep_holds_nothing_of_the_model() -> None:
    it = warm_adam()
    run = runner(it.task())
    it.plan.at("forward", 5, run.pause)
    run.start()
    wait_until(lambda: run.state == "paused")
    # The sweep must not undo what the user trains during the pause.
    it.train(2)
    trained = {name: value.clone() for name, value in it.model.state_dict().items()}
    run.resume()
    run.wait(PATIENCE)
    for name, value in it.model.state_dict().items():
        assert torch.equal(value, trained[name])


def tensors_of(*, steps: int) -> tuple[nn.Module, torch.optim.Optimizer, int]:
    """Return a model with buffers and tied weights, its optimizer and their total bytes."""
    model = nn.Sequential(nn.Linear(50, 50), nn.BatchNorm1d(50), nn.Linear(50, 50))
    model[2].weight = model[0].weight
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(steps):
        model(torch.randn(4, 50)).sum().backward()
        optimizer.step()
    weights = 50 * 50 + 4 * 50  # the tied weight, two biases, and the norm's weight and bias
    buffers = 2 * 50 * 4 + 8  # two statistics and an int64 count of batches
    states = 2 * weights * 4 + 5 * 4 if steps else 0  # two moments and a step count per parameter
    return model, optimizer, weights * 4 + buffers + states


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("place", ["device", "cpu", "disk"])
def test_a_backup_keeps_one_copy_of_weights_buffers_and_states(
    place: backup.Place, steps: int
) -> None:
    model, optimizer, expected = tensors_of(steps=steps)
    kept = backup.Backup([model, optimizer], place)
    assert kept.nbytes == expected
    if place == "disk":
        assert kept._file.seek(0, 2) == expected
    kept.close()


def test_the_copy_that_is_swept_is_one_copy_too() -> None:
    model, optimizer, expected = tensors_of(steps=2)
    task = TrainingTask(model, optimizer, nn.MSELoss(), [torch.ones(1)])
    copies, _ = copy_together(Captured(task))
    made = backup.Backup([copies["model"], copies["optimizer"]], "device")
    assert made.nbytes == expected
    assert all(p.grad is None for p in copies["model"].parameters())
