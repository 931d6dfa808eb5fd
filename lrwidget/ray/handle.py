"""The driver's handle of one job on a Ray cluster: its actor, its stream of reports, its rows."""

import contextlib
import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import ray
from ray.exceptions import GetTimeoutError, RayError

from lrwidget.ray.connection import LOCK, Session, WorkerLostError, next_reference
from lrwidget.ray.job import Job, JobEnd, Report
from lrwidget.records.records import LRRecords
from lrwidget.records.table import StopReason
from lrwidget.text.numbers import steps_in_words

# Seconds to wait for a report to arrive from another node in one poll.
REPORT_TIMEOUT = 1.0

ANSI_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class JobHandle:
    """One job on a cluster. Not thread-safe: one thread uses it.

    Args:
        start_actor: requests a worker from the cluster; returns its actor.
        stop_actor: ends that actor, even during a step; returns at once.
        factory: the user's task factory, pickled.
        job: the job to run.
        retries: how often to begin again when the worker is lost.

    Attributes:
        records: the rows of the present attempt.
        state: "waiting" for a worker, "starting", "running" or "paused".
        job_end: how the job ended; None before.
        attempt: number of the present attempt, from 1.
        lost: why the previous attempt was lost; None in the first.
    """

    def __init__(
        self,
        start_actor: Callable[[], Any],
        stop_actor: Callable[[Any], None],
        factory: bytes,
        job: Job,
        retries: int,
    ) -> None:
        self.job = job
        self.attempt: int = 0
        self.lost: WorkerLostError | None = None
        self.job_end: JobEnd | None = None
        self._start_actor = start_actor
        self._stop_actor = stop_actor
        self._factory = factory
        self._retries = retries
        self._command = "run"
        self._session: Session | None = None
        self._actor: Any = None
        self._numbers = itertools.count()  # of the calls of this actor
        self._stream: Any = None
        self._pending: Any = None  # the reference to a report that has not arrived yet
        self._reset()

    def _reset(self) -> None:
        self.records: LRRecords = LRRecords()
        self.state: str = "waiting"
        self.elapsed: float = 0.0

    def submit(self) -> None:
        """Request a worker for the job; returns at once.

        Raises:
            WorkerLostError: this process is disconnected from the cluster; `steer` and `receive`
                raise it too.
        """
        self._session = Session()
        with self._session:
            self.attempt += 1
            self._actor = self._start_actor()
            self._numbers = itertools.count()
            stream = self._actor.stream.options(num_returns="streaming")
            self._stream = stream.remote(self._factory, self.job)
            if self._command != "run":
                self._actor.steer.remote(next(self._numbers), self._command)

    def steer(self, command: str) -> None:
        """Send a command to the worker.

        Args:
            command: "run"; "pause" or "stop" after the present step; "abort" ends at once.
        """
        if command == self._command or self.job_end is not None:
            return
        self._command = command
        if command == "abort" or (command == "stop" and self.state == "waiting"):
            self._finish(JobEnd(StopReason.STOPPED))
        elif self._session is not None:
            with self._session:
                self._actor.steer.remote(next(self._numbers), command)

    def receive(self) -> None:
        """Process the reports that have arrived; if the worker is lost, begin again or end."""
        assert self._session is not None
        with self._session:
            try:
                while self.job_end is None and (report := self._next_report()) is not None:
                    self._accept(report)
            except (RayError, StopIteration) as error:
                self._handle_lost_worker(error)

    def fail(self, error: WorkerLostError) -> None:
        """End the job with an error, in place of the attempt that followed a lost worker."""
        if self.job_end is None:
            self._finish(JobEnd(StopReason.FAILED, error))
        else:
            self.job_end = JobEnd(StopReason.FAILED, error)

    def release(self) -> None:
        """Stop the worker, even during a step."""
        with LOCK:  # deleting an actor handle calls Ray, too
            actor, self._actor, self._stream, self._pending = self._actor, None, None, None
            if actor is not None and self._session is not None and self._session.is_current():
                with contextlib.suppress(Exception):  # it raises only when the worker is gone
                    self._stop_actor(actor)
            del actor

    def _next_report(self) -> Report | None:
        """Return the next report, or None if none has arrived."""
        if self._pending is None:
            self._pending = next_reference(self._stream)
        if self._pending is None:
            return None
        try:
            report: Report = ray.get(self._pending, timeout=REPORT_TIMEOUT)
        except GetTimeoutError:
            return None
        self._pending = None
        return report

    def _accept(self, report: Report) -> None:
        self.state = report.state
        self.elapsed = report.elapsed
        rows = np.frombuffer(report.rows, dtype="<f8").reshape(-1, 2).tolist()
        for number, (lr, loss) in enumerate(rows, start=report.offset):
            self.records.append(lr, loss, report.extra.get(number))
        if report.meta is not None:
            self.records.meta.update(report.meta)
        if report.job_end is not None and report.job_end.lost:
            assert report.job_end.error is not None
            self._handle_lost_worker(report.job_end.error)
        elif report.job_end is not None:
            self._finish(report.job_end)

    def _finish(self, end: JobEnd) -> None:
        self.job_end = end
        self.records.stop_reason = end.reason
        self.release()

    def _handle_lost_worker(self, error: BaseException) -> None:
        self.lost = WorkerLostError(
            f"the worker was lost after {steps_in_words(len(self.records))}: its process or "
            f"its node died, or cannot be reached ({summarize_error(error)})"
        )
        self.lost.__cause__ = error.with_traceback(None)  # frames would keep Ray's references alive
        if self._command == "stop":
            self._finish(JobEnd(StopReason.STOPPED))
        elif self.attempt > self._retries:
            self._finish(JobEnd(StopReason.FAILED, self.lost))
        else:
            self.release()
            self._reset()
            self.submit()


def summarize_error(error: BaseException) -> str:
    """Return the type of an error of Ray's and the most informative line of its message."""
    lines = [line.strip() for line in ANSI_COLOURS.sub("", str(error)).splitlines() if line.strip()]
    reasons = [line for line in lines if "because" in line or "unavailable" in line]
    # After this phrase Ray lists possible causes in general.
    text = (reasons or lines or [""])[0].partition(" Some common causes include")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
