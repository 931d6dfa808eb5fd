"""One sweep on several workers of a Ray cluster, under Ray Train's TorchTrainer.

The coordinator is an actor that needs no core. It starts the trainer and represents all workers to
the driver, with the same methods as the single worker of a sweep (`lrwidget.ray.worker`). Rank 0
sends it the rows and gets the present command back; the ranks synchronize on that command between
two steps.
"""

import dataclasses
import queue
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import ray

from lrwidget.process_group.alarm import is_connection_error
from lrwidget.process_group.team import TeamError
from lrwidget.ray.in_order import InOrder
from lrwidget.ray.job import Job, JobEnd, Report
from lrwidget.ray.ranks import run_rank
from lrwidget.ray.worker import job_failure

# Seconds to wait for the errors of the other ranks, once one has failed.
FAILURE_TIMEOUT = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class ScalingRequest:
    """The number of workers, and the resources of each, that the trainer requests."""

    workers: int
    num_cpus: float
    num_gpus: float


class Coordinator:
    """Runs one job on several workers; see `lrwidget.ray.worker.SweepWorker`.

    Ray calls its methods on several threads; `_lock` guards the start and the shutdown.
    """

    def __init__(self, request: ScalingRequest) -> None:
        self._request = request
        self._calls = InOrder()
        self._command = "run"
        self._reports: queue.Queue[Report] = queue.Queue()
        self._started_ranks: set[int] = set()
        self._lock = threading.Lock()
        self._training: threading.Thread | None = None
        self._controller: Any = None
        self._shutting_down = False
        self._rank_ends: dict[int, JobEnd] = {}

    def stream(self, factory: bytes, job: Job) -> Iterator[Report]:
        """Start the trainer, unless shut down, and yield reports until it has ended."""
        this = ray.get_runtime_context().current_actor
        with self._lock:
            if self._shutting_down:
                return
            self._training = threading.Thread(
                target=self._train, args=(factory, job, this), daemon=True
            )
            self._training.start()
        while True:
            report = self._reports.get()
            yield report
            if report.job_end is not None:
                return

    def steer(self, number: int, command: str) -> None:
        """Set the command: "run"; "pause" or "stop" after the present step.

        Calls are numbered from 0.
        """
        self._calls.run(number, lambda: self._obey(command))

    def _obey(self, command: str) -> None:
        self._command = command

    def set_controller(self, controller: Any) -> None:
        """Register the actor of Ray Train that starts the workers and can abort them."""
        with self._lock:
            self._controller = controller
            if self._shutting_down:
                controller.abort.remote()

    def is_shutting_down(self) -> bool:
        """Return whether `shut_down` was called."""
        return self._shutting_down

    def shut_down(self) -> None:
        """End the trainer at once, even during a step that hangs, and then this actor.

        Without its controller's `abort`, a run keeps its cores reserved in a cluster without a
        dashboard: Ray Train asks the dashboard which processes are alive.
        """
        with self._lock:
            self._shutting_down = True
            if self._controller is not None:
                self._controller.abort.remote()
        if self._training is not None:
            self._training.join()
        ray.actor.exit_actor()  # type: ignore[no-untyped-call]

    def rank_started(self, rank: int) -> bool:
        """Record the start of a rank; return False if it has started before.

        Ray Train may restart all ranks, for example after a preemption. Only the driver may decide
        to begin again, since it has the rows of this attempt.
        """
        if rank in self._started_ranks:
            again = RuntimeError("Ray Train has started the workers a second time")
            self._reports.put(Report("running", job_end=job_failure(again, lost=True)))
            return False
        self._started_ranks.add(rank)
        return True

    def report(self, report: Report | None) -> str:
        """Forward a report of rank 0, if there is one; return the present command."""
        if report is not None:
            self._reports.put(report)
        return self._command

    def rank_ended(self, rank: int, end: JobEnd) -> None:
        """Record how a rank ended."""
        self._rank_ends[rank] = end

    def has_ended(self, rank: int) -> bool:
        """Return whether `rank_ended` was called for a rank."""
        return rank in self._rank_ends

    def _train(self, factory: bytes, job: Job, this: Any) -> None:
        try:
            self._fit({"factory": factory, "job": job, "coordinator": this})
            end = self._rank_ends[0]
        except BaseException as error:  # noqa: BLE001 - it is reported to the driver
            end = self._root_failure(error)
        self._reports.put(Report("running", job_end=end))

    def _fit(self, config: dict[str, Any]) -> None:
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        from lrwidget.ray.controller import CoordinatorCallback

        request = self._request
        scaling = ScalingConfig(
            num_workers=request.workers,
            use_gpu=request.num_gpus > 0,
            resources_per_worker={"CPU": request.num_cpus, "GPU": request.num_gpus},
        )
        callback: Any = CoordinatorCallback(config["coordinator"])
        with tempfile.TemporaryDirectory() as folder:  # a sweep keeps none of Ray Train's results
            TorchTrainer(
                run_rank,
                train_loop_config=config,
                scaling_config=scaling,
                run_config=RunConfig(storage_path=folder, callbacks=[callback]),
            ).fit()

    def _root_failure(self, error: BaseException) -> JobEnd:
        """Return the end of the rank whose error caused the errors of the others."""
        from ray.train import PreemptionError

        if isinstance(error, PreemptionError):  # the errors of the ranks are its consequences
            return job_failure(error, lost=True)
        deadline = time.monotonic() + FAILURE_TIMEOUT
        while len(self._rank_ends) < self._request.workers and time.monotonic() < deadline:
            time.sleep(0.05)
        ends = [end for end in self._rank_ends.values() if end.error is not None]
        primary = [end for end in ends if not _is_secondary(end.error)]
        if primary:
            return primary[0]
        if len(self._rank_ends) < self._request.workers:
            return job_failure(error, lost=True)
        return ends[0] if ends else job_failure(error)


def _is_secondary(error: BaseException | None) -> bool:
    """Return whether an error only says that another rank failed or is lost."""
    return isinstance(error, TeamError) or is_connection_error(error)
