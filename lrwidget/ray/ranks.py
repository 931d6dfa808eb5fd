"""The work of each rank of a sweep on several Ray workers."""

import contextlib
import dataclasses
import datetime
import time
from collections.abc import Generator
from typing import Any

import ray
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from lrwidget.engine.check import checking
from lrwidget.engine.runner import UNDER_WAY, RunState
from lrwidget.engine.sweep import sweep
from lrwidget.process_group.team import TIMEOUT
from lrwidget.ray.job import Job, JobEnd, Report, build_task
from lrwidget.ray.worker import INTERVAL, Reporter, job_failure, load_factory
from lrwidget.records.check_results import CheckResults
from lrwidget.records.records import LRRecords
from lrwidget.records.table import StopReason
from lrwidget.sources.base import RecordsRunner
from lrwidget.sources.local import local_work
from lrwidget.task.task import TrainingTask

COMMANDS = ("run", "pause", "stop")
# Seconds. Rank 0 hears of another rank's failure at once, unless it hangs.
LAST_ROWS_TIMEOUT = 5.0


def run_rank(config: dict[str, Any]) -> None:
    """Run the job on this rank; the training function of `TorchTrainer`."""
    rank, coordinator, job = dist.get_rank(), config["coordinator"], config["job"]
    if not ray.get(coordinator.rank_started.remote(rank)):
        raise RuntimeError("this sweep was started a second time")
    try:
        if rank == 0:
            ray.get(coordinator.report.remote(Report("starting")))
        task = wrap_in_ddp(build_task(load_factory(config["factory"]), job))
        torch.manual_seed(
            job.seed + rank
        )  # otherwise all ranks would draw the same batches in a check
        runner = RankRunner(task, job)
        runner.start()
        try:
            if rank == 0:
                report_progress(coordinator, runner)
            records = runner.wait()
        finally:
            runner.close()
    except BaseException as error:
        ray.get(coordinator.rank_ended.remote(rank, job_failure(error)))
        await_last_rows(coordinator)
        raise
    ray.get(coordinator.rank_ended.remote(rank, JobEnd(records.stop_reason or StopReason.FAILED)))


def await_last_rows(coordinator: Any) -> None:
    """Wait until rank 0 has reported its last rows and ended, at most LAST_ROWS_TIMEOUT.

    Ray Train kills the other ranks as soon as one raises.
    """
    deadline = time.monotonic() + LAST_ROWS_TIMEOUT
    while not ray.get(coordinator.has_ended.remote(0)) and time.monotonic() < deadline:
        time.sleep(INTERVAL)


def report_progress(coordinator: Any, runner: "RankRunner") -> None:
    """Report to the coordinator until the sweep has ended, and set the runner's command."""
    reporter = Reporter(runner, runner.records)
    over = False
    while not over:
        over = runner.state not in UNDER_WAY
        report = reporter.new_report()
        if report is not None:  # the coordinator reports the end after all ranks have ended
            report = dataclasses.replace(report, job_end=None)
        runner.command = ray.get(coordinator.report.remote(report))
        if not over:
            time.sleep(INTERVAL)


class RankRunner(RecordsRunner):
    """Runs the job of one rank; all ranks pause and stop at the same step, on rank 0's command."""

    def __init__(self, task: TrainingTask, job: Job) -> None:
        self.command = "run"
        self._job = job
        results = None if job.lr is None else CheckResults([job.lr])
        self._results = results
        records = LRRecords() if results is None else results.trials[0]
        super().__init__(
            local_work(task, lambda: self._synchronized_steps(task)), records, job.options.steps
        )

    @property
    def span(self) -> tuple[float, float]:
        """The range of learning rates, (start_lr, end_lr)."""
        return self._job.options.start_lr, self._job.options.end_lr

    def _local_steps(self, task: TrainingTask) -> Generator[None, None, StopReason]:
        """The steps of this rank, without synchronization."""
        if self._results is None:
            return sweep(task, self._job.options, self.records, locked=True)
        return checking(task, self._job.steps, self._results, locked=True)

    def _synchronized_steps(self, task: TrainingTask) -> Generator[None, None, StopReason]:
        group: Any = dist.new_group(backend="gloo", timeout=datetime.timedelta(seconds=TIMEOUT))
        with contextlib.closing(self._local_steps(task)) as steps:
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    reason: StopReason = end.value
                    return reason
                # The repeated broadcast keeps the ranks that wait in a pause below gloo's timeout.
                while (command := self._broadcast_command(group)) == "pause":
                    self._set_state(RunState.PAUSED)
                    time.sleep(INTERVAL)
                if command == "stop":
                    return StopReason.STOPPED
                self._set_state(RunState.RUNNING)
                yield

    def _broadcast_command(self, group: Any) -> str:
        """Return the command of rank 0 on all ranks."""
        index = torch.tensor([COMMANDS.index(self.command)], device="cpu")
        dist.broadcast(index, src=0, group=group)
        return COMMANDS[int(index)]

    def _set_state(self, state: RunState) -> None:
        if state != self.state:
            self._clock(state == RunState.RUNNING)
            self.state = state
            self.on_change()


def wrap_in_ddp(task: TrainingTask) -> TrainingTask:
    """Wrap the task's model in DistributedDataParallel, unless it is distributed already.

    Raises:
        ValueError: the task has a custom step, which would use the unwrapped model.
    """
    model = task.model
    sharded = any(hasattr(parameter, "device_mesh") for parameter in model.parameters())
    if sharded or any(isinstance(m, DistributedDataParallel) for m in model.modules()):
        return task
    if task.step is not None:
        raise ValueError(
            "task_factory returned a task with a step of its own, and its model is not "
            "distributed: each worker would train another model; wrap it in the factory, where "
            "torch.distributed is ready, such as in DistributedDataParallel"
        )
    device = next(model.parameters()).device
    task.model = DistributedDataParallel(model, None if device.type == "cpu" else [device])
    return task
