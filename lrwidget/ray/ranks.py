"""What each rank of a sweep on several workers does."""

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
from lrwidget.ray.job import Job, JobEnd, Report, task_of
from lrwidget.ray.worker import INTERVAL, Reporter, ending_of, unpickled
from lrwidget.records.check_results import CheckResults
from lrwidget.records.records import LRRecords
from lrwidget.records.table import StopReason
from lrwidget.sources.base import RecordsRunner
from lrwidget.sources.local import local_work
from lrwidget.task.task import TrainingTask

WISHES = ("go", "hold", "stop")


def work_in_team(config: dict[str, Any]) -> None:
    """What each of the trainer's workers does."""
    rank, coordinator, job = dist.get_rank(), config["coordinator"], config["job"]
    if not ray.get(coordinator.begin.remote(rank)):
        raise RuntimeError("this sweep was started a second time")
    try:
        if rank == 0:
            ray.get(coordinator.bring.remote(Report("starting")))
        task = wrap_in_ddp(task_of(unpickled(config["factory"]), job))
        torch.manual_seed(job.seed + rank)  # or all would draw the same batches in a check
        runner = TeamRunner(task, job)
        runner.start()
        try:
            if rank == 0:
                report_to(coordinator, runner)
            records = runner.wait()
        finally:
            runner.close()
    except BaseException as error:
        ray.get(coordinator.ended.remote(rank, ending_of(error)))
        raise
    ray.get(coordinator.ended.remote(rank, JobEnd(records.stop_reason or StopReason.FAILED)))


def report_to(coordinator: Any, runner: "TeamRunner") -> None:
    """Bring the coordinator what is new until the sweep has ended, and follow what it says."""
    reporter = Reporter(runner, runner.records)
    over = False
    while not over:
        over = runner.state not in UNDER_WAY
        report = reporter.news()
        if report is not None:  # the end waits for the other ranks
            report = dataclasses.replace(report, end=None)
        runner.wish = ray.get(coordinator.bring.remote(report))
        if not over:
            time.sleep(INTERVAL)


class TeamRunner(RecordsRunner):
    """The job of one rank. All pause and stop at the same step, as `wish` of rank 0 says."""

    def __init__(self, task: TrainingTask, job: Job) -> None:
        self.wish = "go"
        self._job = job
        results = None if job.lr is None else CheckResults([job.lr])
        self._results = results
        records = LRRecords() if results is None else results.trials[0]
        super().__init__(local_work(task, lambda: self._agreed(task)), records, job.options.steps)

    @property
    def span(self) -> tuple[float, float]:
        """The ends of the range of rates, (start_lr, end_lr)."""
        return self._job.options.start_lr, self._job.options.end_lr

    def _alone(self, task: TrainingTask) -> Generator[None, None, StopReason]:
        """The steps of this rank."""
        if self._results is None:
            return sweep(task, self._job.options, self.records, locked=True)
        return checking(task, self._job.steps, self._results, locked=True)

    def _agreed(self, task: TrainingTask) -> Generator[None, None, StopReason]:
        group: Any = dist.new_group(backend="gloo", timeout=datetime.timedelta(seconds=TIMEOUT))
        with contextlib.closing(self._alone(task)) as steps:
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    reason: StopReason = end.value
                    return reason
                # A rank that waits for the others says so again and again: nobody's patience ends.
                while (wish := self._hear(group)) == "hold":
                    self._set(RunState.PAUSED)
                    time.sleep(INTERVAL)
                if wish == "stop":
                    return StopReason.STOPPED
                self._set(RunState.RUNNING)
                yield

    def _hear(self, group: Any) -> str:
        """What rank 0 was told, on all ranks."""
        word = torch.tensor([WISHES.index(self.wish)], device="cpu")
        dist.broadcast(word, src=0, group=group)
        return WISHES[int(word)]

    def _set(self, state: RunState) -> None:
        if state != self.state:
            self._clock(state == RunState.RUNNING)
            self.state = state
            self.on_change()


def wrap_in_ddp(task: TrainingTask) -> TrainingTask:
    """Let the ranks train one model: wrap it, unless the factory did.

    Raises:
        ValueError: the task has a step of its own, which holds on to its own model.
    """
    model = task.model
    shared = any(hasattr(parameter, "device_mesh") for parameter in model.parameters())
    if shared or any(isinstance(part, DistributedDataParallel) for part in model.modules()):
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
