"""One sweep on several workers of a Ray cluster, under Ray Train's TorchTrainer.

A coordinator, an actor that needs no core, starts the trainer and stands for all workers towards
the driver: it answers the same calls as the worker of a sweep that needs one alone. Rank 0 brings
it the rows and takes back what to do next; the ranks agree on that between two steps.
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
from lrwidget.ray.job import Job, JobEnd, Report
from lrwidget.ray.ranks import work_in_team
from lrwidget.ray.worker import ending_of

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
        self._ends: dict[int, JobEnd] = {}

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

    def ended(self, rank: int, end: JobEnd) -> None:
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

    def _what_failed(self, error: BaseException) -> JobEnd:
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


def _is_of_another(error: BaseException | None) -> bool:
    """Whether an error only says that another rank failed, or is lost."""
    return isinstance(error, TeamError) or is_connection_error(error)
