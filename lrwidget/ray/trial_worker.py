"""A worker of a Ray cluster that trains trials of a refinement, one after the other.

It makes the task once and stays, since the states of trials that may go on are in its memory.
"""

import contextlib
import dataclasses
import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from ray import cloudpickle

from lrwidget.curve.search import Job as SearchJob
from lrwidget.engine.refine import validate_refinement
from lrwidget.engine.trial_trainer import TrialTrainer, trial_trainer
from lrwidget.ray.in_order import InOrder
from lrwidget.ray.job import Job, JobEnd, build_task
from lrwidget.ray.worker import INTERVAL, job_failure, load_factory
from lrwidget.records.refinement import Refinement, Trial
from lrwidget.records.table import StopReason
from lrwidget.restore.model_lock import exclusive
from lrwidget.restore.snapshot import prepared

# A place that no rate has: keeping it only drops others.
NO_PLACE = 10**6


@dataclasses.dataclass(frozen=True, slots=True)
class TrialReport:
    """The news of a worker since its previous report.

    Args:
        state: "starting", "ready", "running" or "paused".
        place: place of the rate that is trained; None if there is none.
        losses: new losses of this trial, little-endian float64.
        score: the held-out loss at the end of an order, infinite if the trial broke off.
        stop_reason: how an order ended; None before.
        nbytes: size of the states that the worker keeps, at the end of an order.
        repeated: as in `Refinement`, of the batches that this worker has read.
        held_out, held_out_samples, untrained: what the trials are judged by, how many samples that
            has, and the loss on it before the first step; in the report that the worker is ready.
        end: how the worker failed; in the last report only.
    """

    state: str
    place: int | None = None
    losses: bytes = b""
    score: float | None = None
    stop_reason: StopReason | None = None
    nbytes: int = 0
    repeated: Sequence[int] = (0, 0)
    held_out: str = ""
    held_out_samples: int | None = None
    untrained: float = 0.0
    end: JobEnd | None = None


class TrialWorker:
    """Trains what it is ordered to; `stream` is called once, the other methods while it runs."""

    def __init__(self) -> None:
        self._calls = InOrder()
        self._orders: queue.Queue[tuple[SearchJob, frozenset[int]]] = queue.Queue()
        self._reports: queue.Queue[TrialReport] = queue.Queue()
        self._go, self._stopped = threading.Event(), threading.Event()
        self._go.set()
        self._trials: dict[int, Trial] = {}
        # What the reports are about; both threads write them.
        self._lock = threading.Lock()
        self._place: int | None = None
        self._sent = 0
        self._state = "running"

    def stream(self, factory: bytes, job: Job, held_out: bytes) -> Iterator[TrialReport]:
        """Make the task, train what is ordered, and yield reports until the worker is killed."""
        yield TrialReport("starting")
        # One thread for all: the modes of gradients and autocast belong to a thread.
        arguments = (factory, job, held_out)
        threading.Thread(target=self._serve, args=arguments, daemon=True).start()
        while True:
            try:
                report = self._reports.get(timeout=INTERVAL)
            except queue.Empty:
                self._report(self._state)
                continue
            yield report
            if report.end is not None:
                return

    def order(self, number: int, job: SearchJob, wanted: frozenset[int]) -> None:
        """Train a trial, after the orders before; of the states, keep those of `wanted` only.

        Calls of `order` and `steer` are numbered together, from 0.
        """
        self._calls.run(number, lambda: self._orders.put((job, wanted)))

    def steer(self, number: int, command: str) -> None:
        """Set the command: "run"; "pause" or "stop" after the present step."""
        self._calls.run(number, lambda: self._obey(command))

    def _obey(self, command: str) -> None:
        if command == "stop":
            self._stopped.set()
        if command == "pause":
            self._go.clear()
        else:
            self._go.set()

    def _serve(self, factory: bytes, job: Job, held_out: bytes) -> None:
        try:
            task = build_task(load_factory(factory), job)
            wanted = cloudpickle.loads(held_out)
            validate_refinement(task, None, wanted)
            facts = Refinement(1.0)
            with (
                exclusive(task),
                task.session(),
                prepared(task, None) as parts,
                trial_trainer(task, parts) as trainer,
                trainer.evaluating_on(wanted, facts),
            ):
                self._reports.put(
                    TrialReport(
                        "ready",
                        held_out=facts.held_out,
                        held_out_samples=facts.held_out_samples,
                        untrained=facts.untrained,
                    )
                )
                kept: frozenset[int] = frozenset()
                while True:
                    order, kept_elsewhere = self._orders.get()
                    kept &= kept_elsewhere
                    trainer.keep(NO_PLACE, kept)
                    if self._train(trainer, order):
                        kept |= {order.place}
                        trainer.keep(order.place, kept)
        except BaseException as error:  # noqa: BLE001 - reported; SystemExit would end the actor
            self._report("running")
            self._reports.put(TrialReport("running", end=job_failure(error)))

    def _train(self, trainer: TrialTrainer, job: SearchJob) -> bool:
        """Train a trial and report its rows; return whether it can go on."""
        if job.begin == 0:
            self._trials[job.place] = Trial(job.lr)
        trial = self._trials[job.place]
        with self._lock:
            self._place, self._sent = job.place, len(trial.records)
        score = None
        with contextlib.closing(trainer.run(job, trial)) as work:
            while not self._stopped.is_set():
                try:
                    next(work)
                except StopIteration as end:
                    score = float(end.value)
                    break
                if not self._go.is_set():
                    self._report("paused")
                    self._go.wait()
                    self._report("running")
        reason = StopReason.STOPPED if score is None else trial.records.stop_reason
        self._report(
            "running",
            score=score,
            stop_reason=reason,
            nbytes=trainer.nbytes,
            repeated=trainer.repeated,
        )
        return score is not None and reason is StopReason.FINISHED

    def _report(self, state: str, **facts: Any) -> None:
        """Report the new rows of the present trial; called from both threads."""
        with self._lock:
            if self._place is None:
                return
            losses = self._trials[self._place].records.rows(self._sent)[:, 1]
            if state == self._state and not facts and not len(losses):
                return
            self._sent += len(losses)
            self._state = state
            rows = np.ascontiguousarray(losses, dtype="<f8").tobytes()
            self._reports.put(TrialReport(state, self._place, rows, **facts))
            if "stop_reason" in facts:
                self._place = None
