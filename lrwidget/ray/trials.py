"""A refinement on a Ray cluster: trials that do not depend on each other run side by side.

The search runs here; up to three workers train. A trial goes on where it was begun, so each worker
stays until the end.
"""

import itertools
import math
import time
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import ray
from ray.exceptions import GetTimeoutError, RayError

from lrwidget.curve.ahead import Answer, certain_jobs
from lrwidget.curve.search import Job as SearchJob
from lrwidget.engine.refine import (
    cannot_be_judged,
    refinement_of,
    refuse_unused_rate,
    search_of,
    trial_of,
)
from lrwidget.engine.runner import RunState, Work
from lrwidget.ray.connection import LOCK, Session, WorkerLostError, next_reference
from lrwidget.ray.handle import REPORT_TIMEOUT, summarize_error
from lrwidget.ray.job import Job
from lrwidget.ray.steered import CLUSTER_QUERY_INTERVAL, POLL_INTERVAL, SteeredRunner
from lrwidget.ray.trial_worker import TrialReport
from lrwidget.records.records import LRRecords
from lrwidget.records.refinement import Refinement, Trial
from lrwidget.records.table import StopReason
from lrwidget.sources.base import RefinementRunner

# As many as there are starting rates, and states that a search keeps.
MOST_WORKERS = 3


class RemoteRefinement(SteeredRunner[Refinement], RefinementRunner):
    """Refines a suggestion on the workers of a cluster; `result` can be read while it runs.

    Args:
        start_actor: requests a worker from the cluster; returns its actor, a `TrialWorker`.
        factory, job, held_out: what each worker makes its task and held-out data of; factory and
            held_out are pickled.
        records: the records of a sweep of this task.
        budget, planned_steps: as in `lrwidget.refine`.
        wait_message: returns which resources a number of workers waits for, as a message.

    Raises:
        TypeError, ValueError: an argument is invalid.
    """

    def __init__(
        self,
        start_actor: Callable[[], Any],
        factory: bytes,
        job: Job,
        held_out: bytes,
        *,
        records: LRRecords,
        budget: int,
        planned_steps: int | None,
        wait_message: Callable[[int], str],
    ) -> None:
        result = refinement_of(records, budget, planned_steps)
        search_of(result)  # raises for a budget that is too small
        super().__init__(Work(self._search), result, budget)
        self._start_actor = start_actor
        self._arguments = (factory, job, held_out)
        self._kept_by = records
        self._describe_wait = wait_message
        self._waited_since = -math.inf
        self._workers: list[_Worker] = []
        self._trials: dict[int, Trial] = {}
        self._home: dict[int, _Worker] = {}  # the worker that has the state of a trial, by place
        self._scores: dict[SearchJob, tuple[float, int]] = {}

    def extend(self, budget: int) -> None:
        """Raise the budget; see `RefinementRunner.extend`."""
        self.steps = self.result.budget = budget

    def _search(self) -> Generator[None, None, StopReason]:
        result, reason = self.result, StopReason.FAILED
        try:
            search = search_of(result)
            jobs, answers = search.jobs(), list[Answer]()
            like_it = Refinement(
                result.centre, None, result.sweep_steps, result.budget, result.planned_steps
            )
            job = next(jobs)
            started: set[SearchJob] = set()
            while True:
                for ahead in certain_jobs(lambda: search_of(like_it), answers, MOST_WORKERS):
                    if ahead not in started:
                        started.add(ahead)
                        self._begin(ahead, search.wanted)
                while job not in self._scores:
                    if self._poll():
                        reason = StopReason.STOPPED
                        return reason
                    yield
                score, steps = self._scores[job]
                if math.isfinite(score):
                    self._trials[job.place].held_out[job.end] = score
                refuse_unused_rate(result, score)
                if cannot_be_judged(result):
                    reason = StopReason.FINISHED
                    return reason
                search.left = result.budget - result.sweep_steps
                answers.append(Answer(score, steps, search.left))
                try:
                    job = jobs.send((score, steps))
                except StopIteration:
                    reason = StopReason.FINISHED
                    return reason
                finally:
                    result.length = search.length
        except GeneratorExit:
            reason = StopReason.STOPPED
            raise
        finally:
            for worker in self._workers:
                worker.release()
            result.stop_reason = reason
            self._kept_by.meta["refinement"] = result.as_json()

    def _begin(self, job: SearchJob, wanted: frozenset[int]) -> None:
        trial = trial_of(job, self._trials, self.result)
        trial.records.stop_reason = StopReason.STOPPED
        worker = self._home[job.place] if job.begin else self._free_worker()
        self._home[job.place] = worker
        worker.order(job, wanted)

    def _free_worker(self) -> "_Worker":
        idle = [worker for worker in self._workers if not worker.orders]
        if idle:
            return idle[0]
        if len(self._workers) < MOST_WORKERS:
            self._workers.append(_Worker(self._start_actor(), *self._arguments))
            return self._workers[-1]
        return min(self._workers, key=lambda worker: len(worker.orders))

    def _poll(self) -> bool:
        """Take in what the workers report; return whether all have stopped."""
        time.sleep(POLL_INTERVAL)
        for worker in self._workers:
            for report in worker.receive():
                self._accept(worker, report)
            worker.steer(self._command)
        self._update_status()
        busy = [worker for worker in self._workers if worker.orders and worker.state != "waiting"]
        return self._command == "abort" or (self._command == "stop" and not busy)

    def _accept(self, worker: "_Worker", report: TrialReport) -> None:
        result = self.result
        worker.state = report.state
        if report.end is not None:
            error = report.end.error
            assert error is not None
            if report.end.traceback:
                error.add_note(f"On the worker:\n{report.end.traceback}")
            raise error
        if report.state == "ready":
            result.held_out, result.untrained = report.held_out, report.untrained
            result.held_out_samples = report.held_out_samples
        if report.place is None:
            return
        trial = self._trials[report.place]
        for loss in np.frombuffer(report.losses, dtype="<f8").tolist():
            trial.records.append(trial.lr, loss)
        if report.stop_reason is not None:
            worker.nbytes = report.nbytes
            result.repeated = max(result.repeated, report.repeated, key=tuple)
            result.kept_bytes = max(result.kept_bytes, sum(one.nbytes for one in self._workers))
            job = worker.orders.pop(0)
            trial.records.stop_reason = report.stop_reason
            if report.score is not None:
                self._scores[job] = (report.score, len(trial.records) - job.begin)

    def _update_status(self) -> None:
        states = [worker.state for worker in self._workers if worker.orders]
        waiting = states.count("waiting")
        if not waiting:
            starting = bool(states) and set(states) == {"starting"}
            self.notice = "The workers are starting." if starting else ""
        elif time.monotonic() - self._waited_since > CLUSTER_QUERY_INTERVAL:
            self._waited_since = time.monotonic()
            self.notice = self._describe_wait(waiting)
        active = {"running", "starting", "ready"} & set(states)
        paused = self._command == "pause" and not active
        state = RunState.PAUSED if paused else RunState.RUNNING
        if state != self.state:
            self._clock(not paused)
            self.state = state
            self.on_change()


class _Worker:
    """The driver's handle of a worker. Not thread-safe: one thread uses it.

    Attributes:
        orders: what it was ordered to train and has not finished, in order.
        state: "waiting" for resources, or as in `TrialReport`.
        nbytes: size of the states that it keeps.
    """

    def __init__(self, actor: Any, factory: bytes, job: Job, held_out: bytes) -> None:
        self.orders: list[SearchJob] = []
        self.state = "waiting"
        self.nbytes = 0
        self._command = "run"
        self._session = Session()
        self._pending: Any = None
        self._numbers = itertools.count()  # of the calls of this actor
        with self._session:
            self._actor: Any = actor
            stream = actor.stream.options(num_returns="streaming")
            self._stream: Any = stream.remote(factory, job, held_out)

    def order(self, job: SearchJob, wanted: frozenset[int]) -> None:
        """Order a trial; returns at once."""
        self.orders.append(job)
        with self._session:
            self._actor.order.remote(next(self._numbers), job, wanted)

    def steer(self, command: str) -> None:
        """Send a command if it is a new one."""
        if command not in (self._command, "abort"):
            self._command = command
            with self._session:
                self._actor.steer.remote(next(self._numbers), command)

    def receive(self) -> list[TrialReport]:
        """Return the reports that have arrived.

        Raises:
            WorkerLostError: the worker is lost.
        """
        found: list[TrialReport] = []
        with self._session:
            try:
                while (report := self._next_report()) is not None:
                    found.append(report)
                    if report.end is not None:
                        break
            except (RayError, StopIteration) as error:
                raise WorkerLostError(
                    "a worker of the trials was lost: its process or its node died, or cannot be "
                    f"reached ({summarize_error(error)}); the states of its trials are lost with "
                    "it, and the trials so far are kept. Start the refinement again"
                ) from error
        return found

    def release(self) -> None:
        """Stop the worker, even during a step."""
        with LOCK:  # deleting an actor handle calls Ray, too
            actor, self._actor, self._stream, self._pending = self._actor, None, None, None
            if actor is not None and self._session.is_current():
                ray.kill(actor)
            del actor

    def _next_report(self) -> TrialReport | None:
        if self._pending is None:
            self._pending = next_reference(self._stream)
        if self._pending is None:
            return None
        try:
            report: TrialReport = ray.get(self._pending, timeout=REPORT_TIMEOUT)
        except GetTimeoutError:
            return None
        self._pending = None
        return report
