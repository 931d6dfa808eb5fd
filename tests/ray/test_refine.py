"""A refinement on a real Ray cluster: trials side by side, with the result of the same one here."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from lrwidget import LRFinderWidget, LRRecords, refine
from lrwidget.distributed import RayRunner
from lrwidget.engine.runner import RunState
from lrwidget.ray.connection import WorkerLostError
from lrwidget.ray.job import Job, build_task
from lrwidget.ray.source import RaySource
from lrwidget.ray.trials import RemoteRefinement
from lrwidget.records.refinement import Refinement
from lrwidget.task.options import SweepOptions
from tests.ray.cluster import TIMEOUT, Gate, Nodes, close_all, make_task, until

LENGTH = 6
BUDGET = 7 * LENGTH
running: list[RemoteRefinement] = []


@pytest.fixture(scope="module")
def node(nodes: Nodes) -> Any:
    return nodes.add(num_cpus=3)


@pytest.fixture(autouse=True)
def nothing_stays(node: Any, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("lrwidget.curve.search.SHORT_LENGTH", LENGTH)
    threads = set(threading.enumerate())
    yield
    gate.open()
    started, running[:] = running[:], []
    close_all(started)
    left = set(threading.enumerate()) - threads
    assert [thread for thread in left if thread.name.startswith("lrwidget")] == []
    until(lambda: ray.available_resources().get("CPU") == 3)  # type: ignore[no-untyped-call]


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


def in_step_three(runner: RemoteRefinement) -> None:
    """Wait until each of three trials has three rows; each counts its calls of the loss."""
    until(lambda: [len(trial.records) for trial in list(runner.result.trials)] == [3, 3, 3])


def begun(
    planned_steps: int | None = None, held_out: Any = None, budget: int = BUDGET, **arguments: Any
) -> RemoteRefinement:
    """Start a refinement of a task whose weights are drawn from the seed 3."""
    source = RaySource(make_task, RayRunner(), seed=3, **arguments)
    runner = source.refiner(LRRecords(), budget, planned_steps, held_out)
    running.append(runner)
    runner.start()
    return runner


def facts_of(result: Refinement) -> dict[str, Any]:
    return {**result.as_json(), "kept_bytes": 0}


@pytest.mark.parametrize("held_out", [None, pytest.param(0.5, marks=pytest.mark.full)])
def test_it_comes_to_what_the_same_refinement_comes_to_here(held_out: Any) -> None:
    result = begun(60, held_out).wait(TIMEOUT)
    task = build_task(make_task, Job(3, {}, SweepOptions(seed=3)))
    here = refine(task, LRRecords(), BUDGET, 60, held_out)
    assert here.stop_reason == "finished"
    assert facts_of(result) == facts_of(here)
    assert any(len(trial.records) > LENGTH for trial in result.trials)  # some have gone on
    assert result.kept_bytes > 0


def test_the_three_starting_rates_are_tried_at_once(gate: Gate) -> None:
    gate.let(3)  # as many batches are held out
    runner = begun(gate=gate.path)
    in_step_three(runner)
    gate.open()
    assert runner.wait(TIMEOUT).stop_reason == "finished"
    assert runner.state is RunState.FINISHED


def test_pause_and_stop_reach_all_trials_and_keep_their_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many = 20_000
    monkeypatch.setattr("lrwidget.curve.search.LENGTH", many)
    monkeypatch.setattr("lrwidget.curve.search.LONGEST", many)
    runner = begun(budget=3 * many)

    def rows() -> list[int]:
        return [len(trial.records) for trial in list(runner.result.trials)]

    until(lambda: len(rows()) == 3 and all(rows()))
    runner.pause()
    until(lambda: runner.state is RunState.PAUSED)
    kept = rows()
    runner.resume()
    until(lambda: runner.state is RunState.RUNNING and min(rows()) > max(kept))
    runner.stop()
    result = runner.wait(TIMEOUT)
    assert result.stop_reason == "stopped"
    assert runner.state is RunState.STOPPED
    assert max(rows()) < many
    assert {trial.records.stop_reason for trial in result.trials} == {"stopped"}


def test_an_error_on_a_worker_ends_it_in_its_words() -> None:
    runner = begun(fails_at=4)
    with pytest.raises(ArithmeticError, match="no luck") as caught:
        runner.wait(TIMEOUT)
    assert "On the worker:" in caught.value.__notes__[0]
    assert (runner.state, runner.result.stop_reason) == (RunState.FAILED, "failed")


def make_mortal(folder: str, gate: Path | None = None) -> Any:
    """The same task; the worker tells its process."""
    Path(folder, str(os.getpid())).touch()
    return make_task(gate)


@pytest.mark.full
def test_a_worker_that_is_lost_ends_it_in_words(gate: Gate, tmp_path: Path) -> None:
    gate.let(3)  # as many batches are held out
    told = tmp_path / "processes"
    told.mkdir()
    source = RaySource(make_mortal, RayRunner(), seed=3, folder=str(told), gate=gate.path)
    runner = source.refiner(LRRecords(), BUDGET, None, None)
    running.append(runner)
    runner.start()
    in_step_three(runner)
    os.kill(int(next(told.iterdir()).name), signal.SIGKILL)
    with pytest.raises(WorkerLostError, match="a worker of the trials was lost"):
        runner.wait(TIMEOUT)
    assert [len(trial.records) for trial in runner.result.trials] == [3, 3, 3]


@pytest.mark.full
def test_the_widget_refines_on_the_cluster() -> None:
    w = LRFinderWidget(make_task, runner=RayRunner(), steps=20, start_lr=1e-4, seed=3)
    w.start()
    w.wait(TIMEOUT)
    result = w.refine(budget=20 + BUDGET)
    w.wait(TIMEOUT)
    assert result.stop_reason == "finished"
    assert w.records.refinement is not None
    w.close()
    together = RaySource(make_task, RayRunner(workers=2))
    with pytest.raises(RuntimeError, match="2 workers train one model together"):
        together.refiner(LRRecords(), BUDGET, None, None)
    with pytest.raises(ValueError, match="held_out"):
        RaySource(make_task, RayRunner()).refiner(LRRecords(), BUDGET, None, 2.0)
