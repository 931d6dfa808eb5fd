"""The driver's end of one job on a Ray cluster: its worker, its stream, and its rows so far."""

import contextlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import ray
from ray.exceptions import GetTimeoutError, RayError

from lrwidget.ray.connection import LOCK, Session, WorkerLostError, next_of
from lrwidget.ray.job import Job, JobEnd, Report
from lrwidget.records.records import LRRecords
from lrwidget.records.table import StopReason

# Seconds for a report to come over from another node, before it is asked for again.
COMES_WITHIN = 1.0

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class JobHandle:
    """One job. All of it is used by one thread.

    Args:
        hire: asks the cluster for a worker; returns its actor.
        dismiss: lets that actor go, whatever it does; returns at once.
        factory: the user's, pickled.
        job: what to do.
        retries: how often to begin again where the worker is lost.

    Attributes:
        records: the rows of the attempt in hand.
        state: "waiting" for a worker, "starting", "running" or "paused".
        end: how it ended; None before.
        attempt: from 1.
        lost: why the attempt before was lost; None for the first.
    """

    def __init__(
        self,
        hire: Callable[[], Any],
        dismiss: Callable[[Any], None],
        factory: bytes,
        job: Job,
        retries: int,
    ) -> None:
        self.job = job
        self.attempt = 0
        self.lost: WorkerLostError | None = None
        self.end: JobEnd | None = None
        self._hire = hire
        self._dismiss = dismiss
        self._factory = factory
        self._retries = retries
        self._wish = "go"
        self._session: Session | None = None
        self._actor: Any = None
        self._stream: Any = None
        self._next: Any = None  # the reference to a report that has not come over yet
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.records = LRRecords()
        self.state = "waiting"
        self.elapsed = 0.0

    def submit(self) -> None:
        """Ask for a worker and give it the job; returns at once.

        Raises:
            WorkerLostError: this process has left the cluster; so do `steer` and `take`.
        """
        self._session = Session()
        with self._session:
            self.attempt += 1
            self._actor = self._hire()
            stream = self._actor.stream.options(num_returns="streaming")
            self._stream = stream.remote(self._factory, self.job)
            if self._wish != "go":
                self._actor.steer.remote(self._wish)

    def steer(self, wish: str) -> None:
        """Let it "go", "hold" or "stop" it after the step in hand, or "leave" that step as well."""
        if wish == self._wish or self.end is not None:
            return
        self._wish = wish
        if wish == "leave" or (wish == "stop" and self.state == "waiting"):
            self._finish(JobEnd(StopReason.STOPPED))
        elif self._session is not None:
            with self._session:
                self._actor.steer.remote(wish)

    def take(self) -> None:
        """Take over what has come; where the worker is lost, begin again or end."""
        assert self._session is not None
        with self._session:
            try:
                while self.end is None and (report := self._arrived()) is not None:
                    self._accept(report)
            except (RayError, StopIteration) as error:
                self._lose(error)

    def refuse(self, error: WorkerLostError) -> None:
        """End it: what came after the loss of its worker is of no use."""
        if self.end is None:
            self._finish(JobEnd(StopReason.FAILED, error))
        else:
            self.end = JobEnd(StopReason.FAILED, error)

    def release(self) -> None:
        """Let the worker go, whatever it does."""
        with LOCK:  # to forget it also tells Ray
            actor, self._actor, self._stream, self._next = self._actor, None, None, None
            if actor is not None and self._session is not None and self._session.lasts():
                with contextlib.suppress(Exception):  # whatever it raises, the worker is gone
                    self._dismiss(actor)
            del actor

    def _arrived(self) -> Report | None:
        """The next report, where it is here."""
        if self._next is None:
            self._next = next_of(self._stream)
        if self._next is None:
            return None
        try:
            report: Report = ray.get(self._next, timeout=COMES_WITHIN)
        except GetTimeoutError:
            return None
        self._next = None
        return report

    def _accept(self, report: Report) -> None:
        self.state = report.state
        self.elapsed = report.elapsed
        rows = np.frombuffer(report.rows, dtype="<f8").reshape(-1, 2).tolist()
        for number, (lr, loss) in enumerate(rows, start=report.offset):
            self.records.append(lr, loss, report.extra.get(number))
        if report.meta is not None:
            self.records.meta.update(report.meta)
        if report.end is not None and report.end.lost:
            assert report.end.error is not None
            self._lose(report.end.error)
        elif report.end is not None:
            self._finish(report.end)

    def _finish(self, end: JobEnd) -> None:
        self.end = end
        self.records.stop_reason = end.reason
        self.release()

    def _lose(self, error: BaseException) -> None:
        self.lost = WorkerLostError(
            f"the worker was lost after {len(self.records)} steps: its process or its node died, "
            f"or cannot be reached ({in_short(error)})"
        )
        self.lost.__cause__ = error.with_traceback(None)  # its frames hold on to what Ray counts
        if self._wish == "stop":
            self._finish(JobEnd(StopReason.STOPPED))
        elif self.attempt > self._retries:
            self._finish(JobEnd(StopReason.FAILED, self.lost))
        else:
            self.release()
            self._begin_anew()
            self.submit()


def in_short(error: BaseException) -> str:
    """The kind of an error of Ray's, and the line of its text that says most."""
    lines = [line.strip() for line in COLOURS.sub("", str(error)).splitlines() if line.strip()]
    because = [line for line in lines if "because" in line or "unavailable" in line]
    # After this Ray lists what it may have been, in general.
    text = (because or lines or [""])[0].partition(" Some common causes include")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
