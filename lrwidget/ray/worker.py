"""A worker of a Ray cluster: an actor that runs one job and streams its rows.

The stream is a Ray generator: its items arrive in order and none is lost while the worker lives.
Pause, resume and stop are calls of the same actor during the stream, so they need no other process.
The loss of the worker ends the stream with an error.
"""

import contextlib
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from ray import cloudpickle

from lrwidget.engine.runner import UNDER_WAY, Runner, RunState
from lrwidget.ray.in_order import InOrder
from lrwidget.ray.job import Job, JobEnd, Report, build_task, make_runner
from lrwidget.records.records import LRRecords
from lrwidget.records.table import StopReason

# Seconds between two reports; a report has all new rows.
INTERVAL = 0.1


class Reporter:
    """Makes reports of the changes of a runner since the previous report."""

    def __init__(self, runner: Runner[Any], records: LRRecords) -> None:
        self._runner = runner
        self._records = records
        self._sent = 0
        self._state = ""
        self._meta_sent = False

    def new_report(self) -> Report | None:
        """Return a report of the changes, or None if nothing has changed."""
        runner, records = self._runner, self._records
        # Read before the rows, so that the last report has all of them.
        state = runner.state
        over = state not in UNDER_WAY
        rows = records.rows(self._sent)
        if not over and not len(rows) and state == self._state:
            return None
        numbered = enumerate(records.numbered(self._sent), start=self._sent)
        offset, count = self._sent, self._sent + len(rows)
        extra = {row: values for row, (_, _, values) in numbered if values and row < count}
        with_meta = over or (not self._meta_sent and len(rows) > 0)
        self._sent, self._state = count, state
        self._meta_sent = self._meta_sent or with_meta
        return Report(
            state="paused" if state == RunState.PAUSED else "running",
            offset=offset,
            rows=np.ascontiguousarray(rows, dtype="<f8").tobytes(),
            extra=extra,
            elapsed=runner.elapsed,
            meta=dict(records.meta) if with_meta else None,
            job_end=self._job_end() if over else None,
        )

    def _job_end(self) -> JobEnd:
        reason = self._records.stop_reason or StopReason.FAILED
        error = self._runner.error
        return JobEnd(reason) if error is None else job_failure(error)


class SweepWorker:
    """Runs one job; `stream` is called once, and `steer` while it runs."""

    def __init__(self) -> None:
        self._calls = InOrder()
        self._lock = threading.Lock()
        self._runner: Runner[Any] | None = None
        self._command = "run"
        self._changed = threading.Event()

    def stream(self, factory: bytes, job: Job) -> Iterator[Report]:
        """Make the task, run the job, and yield reports until it has ended."""
        yield Report("starting")
        try:
            task = build_task(load_factory(factory), job)
            runner, records = make_runner(task, job)
            self._begin(runner)
        except BaseException as error:  # noqa: BLE001 - reported; SystemExit would end the actor
            yield Report("starting", job_end=job_failure(error))
            return
        reporter = Reporter(runner, records)
        end = None
        while end is None:
            self._changed.clear()
            report = reporter.new_report()
            if report is not None:
                end = report.job_end
                yield report
            if end is None:
                self._changed.wait(INTERVAL)

    def steer(self, number: int, command: str) -> None:
        """Set the command: "run"; "pause" or "stop" after the present step.

        Calls are numbered from 0.
        """
        self._calls.run(number, lambda: self._obey(command))

    def _obey(self, command: str) -> None:
        with self._lock:
            self._command = command
            if self._runner is not None:
                apply_command(self._runner, command)

    def _begin(self, runner: Runner[Any]) -> None:
        runner.on_change = self._changed.set
        with self._lock:
            runner.start()
            apply_command(runner, self._command)
            self._runner = runner


def apply_command(runner: Runner[Any], command: str) -> None:
    """Resume, pause or stop a runner."""
    {"run": runner.resume, "pause": runner.pause, "stop": runner.stop}[command]()


def load_factory(factory: bytes) -> Callable[..., Any]:
    """Return the user's factory from its pickle.

    Raises:
        RuntimeError: it cannot be unpickled on this worker, for example for lack of a package.
    """
    try:
        made: Callable[..., Any] = cloudpickle.loads(factory)
    except Exception as error:
        raise RuntimeError(
            f"task_factory cannot be read on the worker ({type(error).__name__}: {error}); what it "
            "imports must be installed on every node, in the same versions as here"
        ) from error
    return made


def job_failure(error: BaseException, lost: bool = False) -> JobEnd:
    """Return the end of a job by an error, as a value that can be pickled."""
    text = "".join(traceback.format_exception(error))
    portable: BaseException = RuntimeError(f"{type(error).__name__}: {error}")
    with contextlib.suppress(Exception):
        # Frames cannot be pickled, and the causes of an error may not be.
        pickled = cloudpickle.dumps(error.with_traceback(None))  # type: ignore[no-untyped-call]
        unpickled = cloudpickle.loads(pickled)
        # A BaseException such as SystemExit would end the driver, which raises it.
        if type(unpickled) is type(error) and isinstance(error, Exception):
            portable = error
    portable.__cause__ = portable.__context__ = None
    return JobEnd(StopReason.FAILED, portable, text, lost)
