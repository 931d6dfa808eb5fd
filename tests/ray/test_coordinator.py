"""One sweep on several workers of a Ray cluster, through Ray Train's TorchTrainer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import ray
import torch
import torch.distributed as dist
from ray.exceptions import RayActorError
from ray.train import PreemptionError, PreemptionInfo
from ray.util import placement_group_table
from torch import nn

from lrwidget import TrainingTask
from lrwidget.distributed import RayRunner
from lrwidget.engine.runner import Runner, RunState
from lrwidget.ray.coordinator import Coordinator, ScalingRequest
from lrwidget.ray.handle import WorkerLostError
from lrwidget.ray.job import JobEnd
from lrwidget.ray.ranks import wrap_in_ddp
from lrwidget.ray.source import RaySource
from lrwidget.records.table import StopReason
from tests.ray.cluster import (
    TIMEOUT,
    Gate,
    GatedLoss,
    Nodes,
    children,
    close_all,
    make_task,
    until,
)

RANGE: dict[str, Any] = {"start_lr": 1e-5, "end_lr": 1e-1, "steps": 20, "seed": 3}


class OwnLosses(GatedLoss):
    """Writes the losses of its rank to a file, and fails on the last rank."""

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if dist.get_rank() == 0:
            self.fails_at = None
        loss = super().forward(output, target)
        assert self.gate is not None
        with self.gate.with_suffix(f".rank{dist.get_rank()}").open("a") as file:
            file.write(f"{loss.item()!r}\n")
        return loss


def make_shared(gate: Path, fails_at: int | None = None) -> tuple[Any, ...]:
    """Make a task with an unwrapped model, which the workers have to share."""
    assert dist.get_world_size() == 2
    model, optimizer, _, loader = make_task()
    return model, optimizer, OwnLosses(gate, fails_at), loader


@pytest.fixture(scope="module")
def two(nodes: Nodes) -> list[Any]:
    """Add two nodes with one core each; a test that kills one takes it out of the list."""
    return [nodes.add(num_cpus=1), nodes.add(num_cpus=1)]


@pytest.fixture
def gate(two: list[Any], tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


@pytest.fixture
def start(gate: Gate) -> Iterator[Any]:
    running: list[Runner[Any]] = []
    clusters: list[RayRunner] = []

    def begin(cluster: RayRunner, lrs: list[float] | None = None, **options: Any) -> Runner[Any]:
        clusters.append(cluster)
        source = RaySource(make_shared, cluster, gate=gate.path, **(RANGE | options))
        running.append(source.runner("") if lrs is None else source.checker(lrs, options["steps"]))
        running[-1].start()
        return running[-1]

    yield begin
    gate.open()
    close_all(running)
    for cluster in clusters:
        nothing_stays(cluster)  # until its job ends, a rank's store listens on all addresses


def groups() -> list[str]:
    """Return the state of each placement group."""
    return [group["state"] for group in placement_group_table().values()]


def helpers() -> list[str]:
    """Return the names of the Ray processes that request, hold and release cores."""
    found = []
    for process in children():
        with contextlib.suppress(psutil.NoSuchProcess):
            name = " ".join(process.cmdline()).partition(".")[0].strip()
            if name in ("ray::Coordinator", "ray::TrainController", "ray::PlacementGroupCleaner"):
                found.append(name)
    return found


def nothing_stays(cluster: RayRunner) -> None:
    """Assert that all helpers end, and that no cores are held or requested afterwards."""
    for _, gone in cluster._shutting_down:
        with pytest.raises(RayActorError):  # the actor has ended or is ending
            ray.get(gone, timeout=TIMEOUT)
    until(lambda: set(groups()) <= {"REMOVED"} and helpers() == [], every=0.5)


def test_too_few_cores_are_waited_for(start: Any) -> None:
    cluster = RayRunner(workers=3)
    runner = start(cluster)
    until(lambda: runner.notice)
    assert runner.notice == "Waiting for 3 workers with 1 CPU: not free yet."
    until(lambda: "PENDING" in groups(), every=0.5)
    runner.stop()
    assert len(runner.wait(60)) == 0
    nothing_stays(cluster)


# Seven processes import torch for each test of this file. In `test`: the one above, which stops
# a little later.
@pytest.mark.full
def test_stopped_before_anything_has_begun_nothing_comes_of_it(start: Any) -> None:
    cluster = RayRunner(workers=3)
    runner = start(cluster)
    until(lambda: runner.notice)
    runner.stop()
    assert len(runner.wait(60)) == 0
    nothing_stays(cluster)


def test_the_mean_loss_streams_and_all_workers_pause_go_on_and_stop_together(
    start: Any, gate: Gate
) -> None:
    runner = start(RayRunner(workers=2), steps=100_000, stop_at_divergence=False)
    gate.let(5)
    until(lambda: len(runner.records) == 5)
    assert runner.records.meta["model"] == "DistributedDataParallel"
    runner.pause()
    gate.open()
    until(lambda: runner.state is RunState.PAUSED)
    held = len(runner.records)
    time.sleep(0.5)
    assert len(runner.records) == held
    runner.resume()
    until(lambda: len(runner.records) > held)
    runner.stop()
    records = runner.wait(TIMEOUT)
    assert records.stop_reason is StopReason.STOPPED
    ranks = [
        np.loadtxt(gate.path.with_suffix(f".rank{rank}"), max_rows=len(records))
        for rank in range(2)
    ]
    assert len(ranks[0]) == len(ranks[1]) == len(records)  # both ended at the same step
    assert (ranks[0] != ranks[1]).any()
    assert records.loss == pytest.approx(np.mean(ranks, axis=0), rel=1e-6)


def test_an_exception_on_one_worker_ends_the_sweep_with_that_exception(
    start: Any, gate: Gate
) -> None:
    gate.open()
    runner = start(RayRunner(workers=2), fails_at=5)
    with pytest.raises(ArithmeticError, match="no luck on this worker"):
        runner.wait(TIMEOUT)
    assert runner.state is RunState.FAILED
    assert len(runner.records) == 4


def means_of_ranks(gate: Gate, jobs: int) -> list[list[float]]:
    """Return the mean losses of each job; the jobs ran one after another."""
    ranks = [np.loadtxt(gate.path.with_suffix(f".rank{rank}")) for rank in range(2)]
    assert (ranks[0] != ranks[1]).any()
    return sorted(np.mean(ranks, axis=0).reshape(jobs, -1).tolist())


@pytest.mark.full
def test_the_rates_of_a_check_have_all_workers_one_after_the_other(start: Any, gate: Gate) -> None:
    gate.open()
    runner = start(RayRunner(workers=2), lrs=[1e-3, 1e-1], steps=4)
    trials = [trial.loss.tolist() for trial in runner.wait(TIMEOUT).trials]
    assert runner.state is RunState.FINISHED
    assert [len(losses) for losses in trials] == [4, 4]
    assert trials[0][0] == trials[1][0]  # the same weights and batches
    assert trials[0] != trials[1]
    for losses, means in zip(sorted(trials), means_of_ranks(gate, jobs=2), strict=True):
        assert losses == pytest.approx(means, rel=1e-6)


@pytest.mark.full
def test_so_have_repeats(start: Any, gate: Gate) -> None:
    gate.open()
    runner = start(RayRunner(workers=2), repeats=2, steps=4)
    records = runner.wait(TIMEOUT)
    assert records.stop_reason is StopReason.FINISHED
    assert records.sweep_starts == [0, 4]
    sweeps = [sweep[:, 1].tolist() for sweep in records.sweeps]
    assert sweeps[0] != sweeps[1]
    for losses, means in zip(sorted(sweeps), means_of_ranks(gate, jobs=2), strict=True):
        assert losses == pytest.approx(means, rel=1e-6)


# In `test`: with one worker in test_runs.py.
@pytest.mark.full
def test_closing_ends_a_step_that_waits(start: Any, gate: Gate) -> None:
    runner = start(RayRunner(workers=2))
    gate.let(4)
    until(lambda: len(runner.records) == 4)
    close_all([runner])
    assert runner.state is RunState.STOPPED
    assert len(runner.records) == 4


def lost_after(steps: int, runner: Runner[Any]) -> None:
    """Assert that a run ends with the loss of its worker, and keeps its rows."""
    with pytest.raises(WorkerLostError, match=f"the worker was lost after {steps} steps"):
        runner.wait(TIMEOUT)
    assert runner.state is RunState.FAILED
    assert len(runner.records) == steps


def test_the_loss_of_a_node_ends_the_sweep(
    start: Any, gate: Gate, nodes: Nodes, two: list[Any]
) -> None:
    runner = start(RayRunner(workers=2))
    gate.let(4)
    until(lambda: len(runner.records) == 4)
    nodes.kill(two.pop())
    lost_after(4, runner)


# In `test`: the one above, and with one worker in test_runs.py.
@pytest.mark.full
@pytest.mark.timeout(600)
def test_it_begins_again_as_often_as_was_said(
    start: Any, gate: Gate, nodes: Nodes, two: list[Any]
) -> None:
    two.extend(nodes.add(num_cpus=1) for _ in range(2 - len(two)))
    runner = start(RayRunner(workers=2, max_retries=1))
    gate.let(4)
    until(lambda: len(runner.records) == 4)
    two.append(nodes.add(num_cpus=1))
    nodes.kill(two.pop(0))
    until(lambda: "began again, attempt 2" in runner.notice)
    gate.let(8)
    until(lambda: len(runner.records) == 8)
    nodes.kill(two.pop())
    lost_after(8, runner)


def test_workers_that_begin_a_second_time_end_the_attempt() -> None:
    coordinator = Coordinator(ScalingRequest(2, 1, 0))
    assert [coordinator.rank_started(rank) for rank in (1, 0)] == [True, True]
    assert not coordinator.rank_started(1)
    end = coordinator._reports.get_nowait().job_end
    assert end is not None
    assert end.lost
    assert "started the workers a second time" in str(end.error)


def test_a_node_taken_back_is_a_loss_whatever_the_workers_say_of_it() -> None:
    coordinator = Coordinator(ScalingRequest(1, 1, 0))
    coordinator.rank_ended(0, JobEnd(StopReason.FAILED, RuntimeError("torn down")))
    end = coordinator._root_failure(PreemptionError(PreemptionInfo(0, {"a node": [0]})))
    assert end.lost
    assert isinstance(end.error, PreemptionError)


def test_a_step_of_its_own_is_refused_where_the_model_is_not_distributed() -> None:
    model = nn.Linear(1, 1)
    task = TrainingTask(
        model, torch.optim.SGD(model.parameters(), lr=0.1), data=[0], step=lambda batch: batch
    )
    with pytest.raises(
        ValueError, match="with a step of its own, and its model is not distributed"
    ):
        wrap_in_ddp(task)
