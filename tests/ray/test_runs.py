"""Sweeps and checks on a real Ray cluster, of several nodes, one of which is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import ray
import torch

from lrwidget import LRRecords, check_lrs
from lrwidget.distributed import RayRunner
from lrwidget.engine.runner import Runner, RunState
from lrwidget.ray.handle import WorkerLostError, summarize_error
from lrwidget.ray.job import Job, build_task
from lrwidget.ray.source import RaySource
from lrwidget.records.table import StopReason
from lrwidget.sources.local import SweepRunner
from lrwidget.task.options import SweepOptions
from tests.ray.cluster import (
    TIMEOUT,
    Gate,
    GatedLoss,
    Nodes,
    close_all,
    make_task,
    until,
)

ROOT = Path(__file__).parents[2]
running: list[Runner[Any]] = []
T = TypeVar("T", bound=Runner[Any])
RANGE: dict[str, Any] = {"start_lr": 1e-5, "end_lr": 1e-1, "steps": 30, "seed": 3}


@pytest.fixture(scope="module")
def first(nodes: Nodes) -> Any:
    """Add a node of two cores that no test kills."""
    return nodes.add(num_cpus=2)


@pytest.fixture(autouse=True)
def nothing_stays(first: Any, gate: Gate) -> Iterator[None]:
    threads = set(threading.enumerate())
    yield
    gate.open()
    # A runner that does not end must not fail the following tests as well.
    started, running[:] = running[:], []
    close_all(started)
    left = set(threading.enumerate()) - threads
    assert [thread for thread in left if thread.name.startswith("lrwidget")] == []


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


def source(cluster: RayRunner | None = None, **options: Any) -> RaySource:
    return RaySource(make_task, cluster or RayRunner(), **(RANGE | options))


def start(runner: T) -> T:
    """Start the runner; it is closed at the end of the test."""
    running.append(runner)
    runner.start()
    return runner


def local(seed: int = RANGE["seed"]) -> LRRecords:
    """Return the rows of the same sweep run in this process."""
    options = SweepOptions(**(RANGE | {"seed": seed}))
    runner = SweepRunner(build_task(make_task, Job(RANGE["seed"], {}, options)), options)
    runner.start()
    return runner.wait()


def test_repeats_run_at_once_and_are_the_rows_of_the_same_sweeps_here_in_order(
    gate: Gate,
) -> None:
    gate.let(10)
    runner = start(source(repeats=2, gate=gate.path).runner("mine"))
    until(lambda: len(runner.records) == 10)
    assert runner.steps == 60
    assert runner.span == (1e-5, 1e-1)
    gate.open()
    records = runner.wait(TIMEOUT)
    assert records.sweep_starts == [0, 30]
    assert np.array_equal(records.sweeps[0], local().rows())
    assert np.array_equal(records.sweeps[1], local(seed=4).rows())
    assert records.stop_reason is StopReason.FINISHED
    assert records.meta["label"] == "mine"
    assert records.meta["options"]["repeats"] == 2
    assert records.meta["seed"] == 3
    assert records.meta["epochs_begin_at"] == [8, 16, 24, 38, 46, 54]
    assert runner.state is RunState.FINISHED
    assert runner.notice == ""
    assert runner.elapsed > 0


def test_pause_resume_and_stop_work_across(gate: Gate) -> None:
    runner = source(steps=10_000, gate=gate.path).runner("")
    states: list[RunState] = []
    runner.on_change = lambda: states.append(runner.state)
    start(runner)
    gate.let(5)
    until(lambda: len(runner.records) == 5)
    runner.pause()
    gate.open()
    until(lambda: runner.state is RunState.PAUSED)
    held, elapsed = len(runner.records), runner.elapsed
    time.sleep(0.5)
    assert len(runner.records) == held
    runner.resume()
    until(lambda: len(runner.records) > held)
    assert runner.elapsed >= elapsed
    runner.stop()
    records = runner.wait(TIMEOUT)
    assert records.stop_reason is StopReason.STOPPED
    assert held < len(records) < 10_000
    assert states == [RunState.RUNNING, RunState.PAUSED, RunState.RUNNING, RunState.STOPPED]


def test_an_exception_is_the_one_of_the_task_with_the_workers_traceback() -> None:
    runner = start(source(fails_at=7).runner(""))
    with pytest.raises(ArithmeticError, match=r"^no luck on this worker\n"):
        runner.wait(TIMEOUT)
    assert runner.state is RunState.FAILED
    assert len(runner.records) == 6
    assert runner.records.stop_reason is StopReason.FAILED
    assert "in forward" in str(runner.traceback)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({}, r"task_factory returned dict; expected a TrainingTask, or \(model, optimizer"),
        ((torch.nn.Linear(1, 1),), r"task_factory returned \(Linear\); .*: optimizer is missing"),
        (tuple(range(5)), "task_factory returned 5 values"),
    ],
)
def test_what_else_a_factory_may_return_is_named_with_what_is_expected(
    made: Any, words: str
) -> None:
    with pytest.raises(TypeError, match=words):
        build_task(lambda: made, Job(0, {}, SweepOptions()))


def test_who_waits_for_what_no_node_has_says_so_and_can_be_stopped() -> None:
    runner = start(source(RayRunner(num_gpus=2)).runner(""))
    until(lambda: runner.notice)
    assert "Waiting for a node with 1 CPU and 2 GPU" in runner.notice
    runner.stop()
    assert len(runner.wait(30)) == 0
    assert runner.state is RunState.STOPPED


def test_a_check_trains_all_rates_at_once_and_as_here() -> None:
    lrs = [1e-3, 1e-2]
    runner = start(source().checker(lrs, steps=10))
    results = runner.wait(TIMEOUT)
    here = check_lrs(build_task(make_task, Job(3, {}, SweepOptions())), lrs, steps=10)
    assert [trial.rows().tolist() for trial in results.trials] == [
        trial.rows().tolist() for trial in here.trials
    ]
    assert results.best == here.best
    assert runner.state is RunState.FINISHED


def test_where_a_node_dies_a_run_ends_or_begins_again_and_the_others_go_on(
    nodes: Nodes, gate: Gate
) -> None:
    # Two sweeps fill the first node, so the next two are on the second.
    stays = start(source(repeats=2, gate=gate.path).runner(""))
    gate.let(4)
    until(lambda: len(stays.records) == 4)
    second = nodes.add(num_cpus=2)
    ends = start(source(gate=gate.path).runner(""))
    again = start(source(RayRunner(max_retries=1), gate=gate.path).runner(""))
    until(lambda: len(ends.records) == len(again.records) == 4)
    nodes.add(num_cpus=1)
    nodes.kill(second)
    with pytest.raises(WorkerLostError, match="the worker was lost after 4 steps"):
        ends.wait(TIMEOUT)
    assert ends.state is RunState.FAILED
    assert len(ends.records) == 4
    until(lambda: "began again, attempt 2" in again.notice)
    assert (stays.state, again.state) == (RunState.RUNNING, RunState.RUNNING)
    assert len(again.records) == 4
    gate.open()
    assert np.array_equal(again.wait(TIMEOUT).rows(), local().rows())
    assert "the worker was lost after 4 steps" in again.notice
    assert len(stays.wait(TIMEOUT)) == 60


class DiesOnce(GatedLoss):
    """Ends its process at step five of the first attempt."""

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        assert self.gate is not None
        mark = self.gate.with_suffix(".died")
        if self.calls == 4 and not mark.exists():
            threading.Event().wait(0.5)  # until the rows so far have been reported
            mark.touch()
            os._exit(1)
        return super().forward(output, target)


def make_other_weights_each_time(gate: Path) -> Any:
    torch.seed()
    model, optimizer, _, loader = make_task()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model, optimizer, DiesOnce(gate, None), loader


def test_an_attempt_that_meets_other_losses_is_not_mixed_with_the_first(gate: Gate) -> None:
    gate.open()
    cluster = RayRunner(max_retries=1)
    runner = start(
        RaySource(make_other_weights_each_time, cluster, gate=gate.path, **RANGE).runner("")
    )
    with pytest.raises(WorkerLostError, match="met other losses than the first attempt"):
        runner.wait(TIMEOUT)
    assert len(runner.records) == 4
    assert runner.state is RunState.FAILED


def raises() -> Any:
    raise FileNotFoundError("no data on this worker")


def leaves() -> Any:
    sys.exit("this script ends here")


@pytest.mark.parametrize(
    ("factory", "kind", "words"),
    [
        (raises, FileNotFoundError, "^no data on this worker\n"),
        (leaves, RuntimeError, "^SystemExit: this script ends here\n"),
        (dict, TypeError, "^task_factory returned dict; expected a TrainingTask, or"),
    ],
)
def test_a_factory_that_fails_ends_its_run_with_what_it_raised(
    factory: Any, kind: type[Exception], words: str
) -> None:
    runner = start(RaySource(factory, RayRunner(), **RANGE).runner(""))
    with pytest.raises(kind, match=words):
        runner.wait(TIMEOUT)
    assert "in build_task" in str(runner.traceback)
    assert len(runner.records) == 0
    until(all_cores_are_free, every=0.5)


def all_cores_are_free() -> bool:
    """Compare both totals anew: a node killed by an earlier test may count for a while."""
    return bool(ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"])


def test_the_way_a_worker_was_lost_is_told_in_short() -> None:
    long = (
        "ActorDiedError\n\x1b[36mThe actor died because of an exit. Some common causes include: (1)"
    )
    said = summarize_error(RuntimeError(long))
    assert said == "RuntimeError: The actor died because of an exit."


def test_leaving_the_cluster_ends_what_runs_in_words_and_coming_back_changes_nothing(
    nodes: Nodes,
) -> None:
    left = subprocess.run(
        [sys.executable, "-m", "tests.ray.leaving", "1"],
        cwd=ROOT,
        env=os.environ | {"RAY_ADDRESS": nodes.address},
        stderr=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT,
    )
    assert left.returncode == 0, left.stderr
    assert left.stderr.endswith("left\n")


class HangsAt(GatedLoss):
    """Hangs in a step, and no command ends it."""

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if self.calls == 4:
            threading.Event().wait()
        return super().forward(output, target)


def make_hanging() -> Any:
    model, optimizer, _, loader = make_task()
    return model, optimizer, HangsAt(None, None), loader


def test_closing_ends_a_step_that_hangs_and_keeps_the_rows() -> None:
    runner = start(RaySource(make_hanging, RayRunner(), **RANGE).runner(""))
    until(lambda: len(runner.records) == 4)
    runner.stop()
    with pytest.raises(TimeoutError):
        runner.wait(1)  # Stop waits for the current step
    close_all([runner])
    assert runner.state is RunState.STOPPED
    assert len(runner.records) == 4
    cores = ray.cluster_resources()["CPU"]
    until(lambda: ray.available_resources().get("CPU") == cores, every=0.5)


def test_what_cannot_be_pickled_is_refused_at_once() -> None:
    lock = threading.Lock()
    with pytest.raises(TypeError, match="task_factory cannot be sent to a worker"):
        RaySource(lambda: lock, RayRunner())
    with pytest.raises(TypeError, match="argument lock of task_factory cannot be sent to a worker"):
        RaySource(lambda lock: lock, RayRunner(), lock=lock)
    mine = RaySource(lambda lock=None: lock, RayRunner())
    with pytest.raises(TypeError, match="argument lock of task_factory cannot be sent to a worker"):
        mine.runner("", {"lock": lock})


def test_options_are_the_sweeps_or_the_factorys() -> None:
    with pytest.raises(TypeError, match=r"task_factory\(gate.* unexpected .*'colour'"):
        source(colour="red")
    with pytest.raises(ValueError, match="steps is 1; expected at least 2"):
        source(steps=1)
    mine = source(batch_size=16)
    with pytest.raises(TypeError, match="'colour'"):
        mine.runner("", {"colour": "red"})
    with pytest.raises(TypeError, match="task_factory is a dict"):
        RaySource({}, RayRunner())


def test_no_optimizer_of_this_process_is_held_and_one_must_be_given() -> None:
    mine = source()
    with pytest.raises(ValueError, match=r"give the one that you train with: w.apply\(optimizer\)"):
        mine.apply(0.01, None)
    optimizer = make_task()[1]
    assert not mine.holds(optimizer)
    mine.apply(0.01, optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.01
