"""Repeated sweeps give the same records; concurrent sweeps of one model are refused."""

import numpy as np
import pytest
import torch
from torch import nn

from lrwidget import LRRecords, TrainingTask, lr_find
from lrwidget.engine.sweep import sweep
from lrwidget.sources.local import SweepRunner
from lrwidget.task.options import SweepOptions
from tests.restore.endings import ENDINGS, OPTIONS, PATIENCE, find, runner, wait_until
from tests.restore.fingerprint import differences
from tests.restore.scenes import SCENES, Scene, batchnorm_dropout, fresh, warm_adam


def rows(records: LRRecords) -> bytes:
    return records.rows().tobytes()


@pytest.mark.parametrize("snapshot", ["auto", "device", "disk"])
@pytest.mark.parametrize("scene", SCENES)
def test_three_sweeps_with_a_seed_are_equal(scene: str, snapshot: str) -> None:
    it = SCENES[scene]()
    task = it.task(snapshot=snapshot)
    first = find(task, seed=7)
    assert np.isfinite(first.loss).all()
    assert np.ptp(first.loss) > 0
    # Between sweeps, users draw random numbers and look at the loader.
    torch.rand(3)
    next(iter(it.loader))
    assert rows(find(task, seed=7)) == rows(first)
    assert rows(runner_records(task, seed=7)) == rows(first)
    assert rows(find(task, seed=8)) != rows(first)


def runner_records(task: object, **options: object) -> LRRecords:
    run = runner(task, **options)  # type: ignore[arg-type]
    run.start()
    return run.wait(PATIENCE)


@pytest.mark.parametrize("snapshot", ["auto", "device"])
def test_without_a_seed_too_since_the_generators_are_put_back(snapshot: str) -> None:
    task = batchnorm_dropout().task(snapshot=snapshot)
    assert len({rows(find(task)) for _ in range(3)}) == 1


def test_the_copy_and_the_model_itself_give_the_same_records() -> None:
    it = warm_adam()
    places = ("auto", "device", "disk")
    assert len({rows(find(it.task(snapshot=place), seed=1)) for place in places}) == 1


@pytest.mark.parametrize("snapshot", ["auto", "device"])
@pytest.mark.parametrize("seed", [3, None])
def test_repeats_begin_from_the_same_state_with_other_seeds(
    seed: int | None, snapshot: str
) -> None:
    it = batchnorm_dropout()
    task = it.task(snapshot=snapshot)
    before = it.fingerprint()
    records = find(task, repeats=3, seed=seed)
    assert not differences(before, it.fingerprint())
    assert len(records.sweeps) == 3
    assert len({sweep.tobytes() for sweep in records.sweeps}) == 3
    assert rows(find(task, repeats=3, seed=seed)) == rows(records)
    if seed is not None:
        for i, one in enumerate(records.sweeps):
            assert rows(find(task, seed=seed + i)) == one.tobytes()


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_sweep_after_one_that_ended_early_is_the_same(ending: str) -> None:
    it = warm_adam()
    task = it.task(snapshot="device")
    first = find(task, seed=1)
    ENDINGS[ending](task, it.plan)
    it.plan.factor = 1.0
    assert rows(find(task, seed=1)) == rows(first)


def held(it: Scene) -> SweepRunner:
    """Return a runner whose sweep of `it` is paused in the middle."""
    run = runner(it.task())
    it.plan.at("forward", 3, run.pause)
    run.start()
    wait_until(lambda: run.state == "paused")
    return run


def test_a_second_sweep_at_the_same_time_is_refused() -> None:
    it = fresh()
    run = held(it)
    words = "this Eventful is being swept already; wait for that sweep to end, or stop it"
    with pytest.raises(RuntimeError, match=words):
        find(it.task())
    with pytest.raises(RuntimeError, match=words):
        runner(it.task()).start()
    run.resume()
    assert run.wait(PATIENCE).stop_reason == "finished"
    assert find(it.task()).stop_reason == "finished"


def test_a_part_or_a_wrapper_of_the_model_is_the_model() -> None:
    it = fresh()
    run = held(it)
    wrapped = nn.Sequential(it.model)
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1)
    for model in (wrapped, it.model.model):
        with pytest.raises(RuntimeError, match="is being swept already"):
            lr_find(model, optimizer, it.loss_fn, it.loader, progress=False, **OPTIONS)
    run.close()


def test_of_two_runners_started_at_once_one_is_refused() -> None:
    it = fresh()
    runs = [runner(it.task(), steps=50) for _ in range(2)]
    refused = []
    for run in runs:
        try:
            run.start()
        except RuntimeError as error:
            refused.append(error)
    for run in runs:
        if run.state == "idle":
            continue
        try:
            assert run.wait(PATIENCE).stop_reason == "finished"
        except RuntimeError as error:  # the other runner started first
            assert run.state == "failed"
            refused.append(error)
    assert len(refused) == 1
    assert "is being swept already" in str(refused[0])


@pytest.mark.parametrize("first_to_end", [0, 1])
def test_sweeps_of_different_models_leave_the_generators_as_they_were(first_to_end: int) -> None:
    torch.manual_seed(0)
    scenes = fresh(), batchnorm_dropout()
    before = [it.fingerprint() for it in scenes]
    runs = [held(it) for it in scenes]
    runs[first_to_end].resume()
    runs[first_to_end].wait(PATIENCE)
    runs[1 - first_to_end].resume()
    runs[1 - first_to_end].wait(PATIENCE)
    for it, table in zip(scenes, before, strict=True):
        assert not differences(table, it.fingerprint())


def test_a_sweep_that_was_dropped_lets_go_of_the_model() -> None:
    it = fresh()
    before = it.fingerprint()
    steps = sweep(it.task(snapshot="device"), SweepOptions(), LRRecords())
    next(steps)
    del steps
    assert not differences(before, it.fingerprint())
    assert find(it.task()).stop_reason == "finished"


def test_a_step_that_sweeps_another_model_draws_as_in_a_plain_loop() -> None:
    it = batchnorm_dropout()
    other = fresh()
    inner = other.task()
    model, (x, y) = it.model, next(iter(it.loader))

    def step(_: object) -> torch.Tensor:
        lr_find(inner, steps=3, progress=False)
        return nn.functional.cross_entropy(model(x), y)

    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    torch.manual_seed(0)
    task = TrainingTask(model, optimizer, data=[x], step=step)
    records = lr_find(task, steps=4, progress=False)
    torch.manual_seed(0)
    for lr, loss in records.rows():
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        expected = step(x)
        expected.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        assert loss == expected.item()
