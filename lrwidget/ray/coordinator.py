"""One sweep on several workers of a Ray cluster, under Ray Train's TorchTrainer.

A coordinator, an actor that needs no core, starts the trainer and stands for all workers towards
the driver: it answers the same calls as the worker of a sweep that needs one alone. Rank 0 brings
it the rows and takes back what to do next; the ranks agree on that between two steps.
"""

import contextlib
import dataclasses
import datetime
import queue
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any

import ray
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from lrwidget.engine.check import CheckResults, checking
from lrwidget.engine.runner import RecordsRunner, RunState
from lrwidget.engine.sweep import sweep
from lrwidget.process_group.alarm import is_of_the_wire
from lrwidget.process_group.team import TIMEOUT, TeamError
from lrwidget.ray.job import Ending, Job, Report, task_of
from lrwidget.ray.worker import INTERVAL, UNDER_WAY, Reporter, ending_of, unpickled
from lrwidget.records.records import LRRecords, StopReason
from lrwidget.task.task import TrainingTask

WISHES = ("go", "hold", "stop")
# Seconds for the other ranks to say what became of them, once one has failed.
GRACE = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Places:
    """What the trainer asks the cluster for: so many workers, each with so much."""

    workers: int
    num_cpus: float
    num_gpus: float


class Coordinator:
    """Runs one job on several workers; see `lrwidget.ray.worker.SweepWorker`.

    Ray runs its calls on several threads; `_lock` is held to begin and to leave.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._wish = "go"
        self._reports: queue.Queue[Report] = queue.Queue()
        self._begun: set[int] = set()
        self._lock = threading.Lock()
        self._training: threading.Thread | None = None
        self._controller: Any = None
        self._leaving = False
        self._ends: dict[int, Ending] = {}

    def stream(self, factory: bytes, job: Job) -> Iterator[Report]:
        """Start the trainer, unless nobody wants it any more, and report until it has ended."""
        this = ray.get_runtime_context().current_actor
        with self._lock:
            if self._leaving:
                return
            self._training = threading.Thread(
                target=self._train, args=(factory, job, this), daemon=True
            )
            self._training.start()
        while True:
            report = self._reports.get()
            yield report
            if report.end is not None:
                return

    def steer(self, wish: str) -> None:
        """Let it "go", "hold" it after the step in hand, or "stop" it there."""
        self._wish = wish

    def led_by(self, controller: Any) -> None:
        """Hear which actor starts the workers and can end them."""
        with self._lock:
            self._controller = controller
            if self._leaving:
                controller.abort.remote()

    def is_leaving(self) -> bool:
        """Whether no workers are wanted any more."""
        return self._leaving

    def leave(self) -> None:
        """End all of it at once, also a step that hangs; this actor last.

        Without its controller's `abort`, a training leaves its cores taken where the cluster has
        no dashboard to ask who is alive.
        """
        with self._lock:
            self._leaving = True
            if self._controller is not None:
                self._controller.abort.remote()
        if self._training is not None:
            self._training.join()
        ray.actor.exit_actor()  # type: ignore[no-untyped-call]

    def begin(self, rank: int) -> bool:
        """Hear that a rank begins; whether it does so for the first time.

        Ray Train may start all ranks anew, such as where a provider takes back a node. To begin
        again is the driver's to decide, which has the rows of this attempt.
        """
        if rank in self._begun:
            again = RuntimeError("Ray Train has started the workers a second time")
            self._reports.put(Report("running", end=ending_of(again, lost=True)))
            return False
        self._begun.add(rank)
        return True

    def bring(self, report: Report | None) -> str:
        """Take what rank 0 has to report; what to do next."""
        if report is not None:
            self._reports.put(report)
        return self._wish

    def ended(self, rank: int, end: Ending) -> None:
        """Hear how a rank ended."""
        self._ends[rank] = end

    def _train(self, factory: bytes, job: Job, this: Any) -> None:
        try:
            self._fit({"factory": factory, "job": job, "coordinator": this})
            end = self._ends[0]
        except BaseException as error:  # noqa: BLE001 - it is reported, whatever it is
            end = self._what_failed(error)
        self._reports.put(Report("running", end=end))

    def _fit(self, config: dict[str, Any]) -> None:
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        from lrwidget.ray.controller import Introduction

        places = self._places
        scaling = ScalingConfig(
            num_workers=places.workers,
            use_gpu=places.num_gpus > 0,
            resources_per_worker={"CPU": places.num_cpus, "GPU": places.num_gpus},
        )
        introduction: Any = Introduction(config["coordinator"])
        with tempfile.TemporaryDirectory() as folder:  # a sweep leaves no results behind
            TorchTrainer(
                work_in_team,
                train_loop_config=config,
                scaling_config=scaling,
                run_config=RunConfig(storage_path=folder, callbacks=[introduction]),
            ).fit()

    def _what_failed(self, error: BaseException) -> Ending:
        """Of the errors of all ranks the one that led to the others."""
        from ray.train import PreemptionError

        if isinstance(error, PreemptionError):  # what the ranks say of it only follows
            return ending_of(error, lost=True)
        deadline = time.monotonic() + GRACE
        while len(self._ends) < self._places.workers and time.monotonic() < deadline:
            time.sleep(0.05)
        ends = [end for end in self._ends.values() if end.error is not None]
        own = [end for end in ends if not _is_of_another(end.error)]
        if own:
            return own[0]
        if len(self._ends) < self._places.workers:
            return ending_of(error, lost=True)
        return ends[0] if ends else ending_of(error)


def work_in_team(config: dict[str, Any]) -> None:
    """What each of the trainer's workers does."""
    rank, coordinator, job = dist.get_rank(), config["coordinator"], config["job"]
    if not ray.get(coordinator.begin.remote(rank)):
        raise RuntimeError("this sweep was started a second time")
    try:
        if rank == 0:
            ray.get(coordinator.bring.remote(Report("starting")))
        task = together(task_of(unpickled(config["factory"]), job))
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
    ray.get(coordinator.ended.remote(rank, Ending(records.stop_reason or StopReason.FAILED)))


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
        super().__init__(task, self._agreed, records, job.options.steps)

    def _alone(self, task: TrainingTask) -> Generator[None, None, StopReason]:
        """The steps of this rank."""
        if self._results is None:
            return sweep(task, self._job.options, self.records, claimed=True)
        return checking(task, self._job.steps, self._results, claimed=True)

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


def together(task: TrainingTask) -> TrainingTask:
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


def _is_of_another(error: BaseException | None) -> bool:
    """Whether an error only says that another rank failed, or is lost."""
    return isinstance(error, TeamError) or is_of_the_wire(error)
