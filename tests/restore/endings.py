"""Every way in which a sweep can end."""

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from lrwidget import LRRecords, TrainingTask, lr_find
from lrwidget.engine.runner import RunState
from lrwidget.sources.local import SweepRunner
from lrwidget.task.options import SweepOptions
from tests.restore.plan import BoomError, Plan

STEPS = 12
OPTIONS = {"start_lr": 1e-4, "end_lr": 1e-2, "steps": STEPS}
PATIENCE = 30.0  # seconds; a passing test never waits that long


def find(task: TrainingTask, **options: Any) -> LRRecords:
    """Run `lr_find` with the shared options and without a progress bar."""
    return lr_find(task, progress=False, **{**OPTIONS, **options})


def runner(task: TrainingTask, **options: Any) -> SweepRunner:
    """Return a runner with the shared options."""
    return SweepRunner(task, SweepOptions(**{**OPTIONS, **options}))


def interrupt() -> None:
    """Send SIGINT, as Ctrl-C and a notebook's stop button do."""
    signal.raise_signal(signal.SIGINT)


def wait_until(reached: Callable[[], bool]) -> None:
    """Wait until `reached` returns True in another thread."""
    limit = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < limit
        time.sleep(0.0005)


def finished(task: TrainingTask, plan: Plan) -> LRRecords:
    records = find(task)
    assert (records.stop_reason, len(records)) == ("finished", STEPS)
    return records


def finished_in_the_background(task: TrainingTask, plan: Plan) -> LRRecords:
    run = runner(task)
    run.start()
    records = run.wait(PATIENCE)
    assert (run.state, records.stop_reason, len(records)) == (
        RunState.FINISHED,
        "finished",
        STEPS,
    )
    return records


def diverged(task: TrainingTask, plan: Plan) -> LRRecords:
    plan.at("loss", 9, plan.explode)
    records = find(task)
    assert records.stop_reason == "diverged"
    assert len(records) < STEPS
    return records


def non_finite(task: TrainingTask, plan: Plan) -> LRRecords:
    plan.at("loss", 6, plan.spoil)
    records = find(task)
    assert records.stop_reason == "non-finite"
    return records


def stopped(task: TrainingTask, plan: Plan) -> LRRecords:
    run = runner(task)
    plan.at("forward", 5, run.stop)
    run.start()
    records = run.wait(PATIENCE)
    assert (run.state, records.stop_reason) == (RunState.STOPPED, "stopped")
    return records


def paused_then_stopped(task: TrainingTask, plan: Plan) -> LRRecords:
    run = runner(task)
    plan.at("forward", 5, run.pause)
    run.start()
    wait_until(lambda: run.state is RunState.PAUSED)
    run.stop()
    records = run.wait(PATIENCE)
    assert (run.state, records.stop_reason) == (RunState.STOPPED, "stopped")
    return records


def extended(task: TrainingTask, plan: Plan) -> LRRecords:
    run = runner(task)
    plan.at("forward", 5, lambda: run.extend(1e-1))
    run.start()
    records = run.wait(PATIENCE)
    assert (records.stop_reason, len(records)) == ("finished", STEPS * 3 // 2)
    assert records.lr[-1] == 1e-1
    return records


def extended_then_stopped(task: TrainingTask, plan: Plan) -> LRRecords:
    run = runner(task)
    plan.at("forward", 5, run.pause)
    run.start()
    wait_until(lambda: run.state is RunState.PAUSED)
    run.extend(1e-1)

    def stop_beyond() -> None:
        # Tasks differ in the number of forward passes per step.
        if len(run.records) > STEPS:
            run.stop()
        else:
            plan.at("forward", 1, stop_beyond)

    plan.at("forward", 1, stop_beyond)
    run.resume()
    records = run.wait(PATIENCE)
    assert (run.state, records.stop_reason) == (RunState.STOPPED, "stopped")
    assert len(records) > STEPS
    return records


def closed(task: TrainingTask, plan: Plan) -> LRRecords:
    run = runner(task)
    inside = threading.Event()
    plan.at("forward", 5, inside.set)
    run.start()
    assert inside.wait(PATIENCE)
    run.close()
    # The sweep may finish before close() stops it.
    assert run.records.stop_reason in ("stopped", "finished")
    return run.records


def fails_in(place: str) -> Callable[[TrainingTask, Plan], LRRecords]:
    def ending(task: TrainingTask, plan: Plan) -> LRRecords:
        plan.at(place, FIRST[place], plan.fail)
        with pytest.raises(BoomError) as caught:
            find(task)
        records: LRRecords = caught.value.records  # type: ignore[attr-defined]
        assert records.stop_reason == "failed"
        return records

    return ending


def fails_in_the_background(task: TrainingTask, plan: Plan) -> LRRecords:
    run = runner(task)
    plan.at("backward", 4, plan.fail)
    run.start()
    with pytest.raises(BoomError):
        run.wait(PATIENCE)
    assert (run.state, run.records.stop_reason) == (RunState.FAILED, "failed")
    return run.records


def interrupted_in(place: str) -> Callable[[TrainingTask, Plan], LRRecords]:
    def ending(task: TrainingTask, plan: Plan) -> LRRecords:
        plan.at(place, FIRST[place], interrupt)
        records = find(task)
        assert records.stop_reason == "stopped"
        return records

    return ending


# About the third step, when rows exist and weights have changed.
FIRST = {"forward": 5, "backward": 4, "loader": 45, "metric": 2, "loss": 5}

ENDINGS: dict[str, Callable[[TrainingTask, Plan], LRRecords]] = {
    "finished": finished,
    "finished in the background": finished_in_the_background,
    "diverged": diverged,
    "non-finite": non_finite,
    "Stop": stopped,
    "Pause, Stop": paused_then_stopped,
    "extended": extended,
    "extended, Stop": extended_then_stopped,
    "close()": closed,
    "exception in the background": fails_in_the_background,
    **{f"exception in {place}": fails_in(place) for place in FIRST if place != "loss"},
    **{f"interrupt in {place}": interrupted_in(place) for place in FIRST if place != "loss"},
}
