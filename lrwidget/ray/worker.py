"""A worker of a Ray cluster: an actor that runs one job and streams its rows.

The stream is a Ray generator: its items arrive in order and none is lost while the worker lives.
Pause, resume and stop are calls of the same actor beside it, so nothing else has to stay alive for
them, and the loss of the worker ends the stream with an error.
"""

import contextlib
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from ray import cloudpickle

from lrwidget.engine.runner import UNDER_WAY, Runner, RunState
from lrwidget.ray.job import Job, JobEnd, Report, runner_of, task_of
from lrwidget.records.records import LRRecords
from lrwidget.records.table import StopReason

# Seconds between two reports: what ten rows or a hundred have to say takes one message.
INTERVAL = 0.1


class Reporter:
    """Says what is new of a runner since it was last asked."""

    def __init__(self, runner: Runner[Any], records: LRRecords) -> None:
        self._runner = runner
        self._records = records
        self._sent = 0
        self._state = ""
        self._met = False

    def news(self) -> Report | None:
        """What is new; None where nothing is."""
        runner, records = self._runner, self._records
        # Asked before the rows are read, so that the last report has all of them.
        state = runner.state
        over = state not in UNDER_WAY
        rows = records.rows(self._sent)
        if not over and not len(rows) and state == self._state:
            return None
        numbered = enumerate(records.numbered(self._sent), start=self._sent)
        offset, count = self._sent, self._sent + len(rows)
        extra = {row: values for row, (_, _, values) in numbered if values and row < count}
        tells = over or (not self._met and len(rows) > 0)
        self._sent, self._state, self._met = count, state, self._met or tells
        return Report(
            state="paused" if state == RunState.PAUSED else "running",
            offset=offset,
            rows=np.ascontiguousarray(rows, dtype="<f8").tobytes(),
            extra=extra,
            elapsed=runner.elapsed,
            meta=dict(records.meta) if tells else None,
            end=self._ending() if over else None,
        )

    def _ending(self) -> JobEnd:
        reason = self._records.stop_reason or StopReason.FAILED
        error = self._runner.error
        return JobEnd(reason) if error is None else ending_of(error)


class SweepWorker:
    """Runs one job; `stream` is called once, the other methods while it goes on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runner: Runner[Any] | None = None
        self._wish = "go"
        self._news = threading.Event()

    def stream(self, factory: bytes, job: Job) -> Iterator[Report]:
        """Make the task, run it, and report until it has ended."""
        yield Report("starting")
        try:
            task = task_of(unpickled(factory), job)
            runner, records = runner_of(task, job)
            self._begin(runner)
        except BaseException as error:  # noqa: BLE001 - it is reported; SystemExit would end all
            yield Report("starting", end=ending_of(error))
            return
        reporter = Reporter(runner, records)
        end = None
        while end is None:
            self._news.clear()
            report = reporter.news()
            if report is not None:
                end = report.end
                yield report
            if end is None:
                self._news.wait(INTERVAL)

    def steer(self, wish: str) -> None:
        """Let it "go", "hold" it after the step in hand, or "stop" it there."""
        with self._lock:
            self._wish = wish
            if self._runner is not None:
                follow(self._runner, wish)

    def _begin(self, runner: Runner[Any]) -> None:
        runner.on_change = self._news.set
        with self._lock:
            runner.start()
            follow(runner, self._wish)
            self._runner = runner


def follow(runner: Runner[Any], wish: str) -> None:
    """Steer a runner."""
    {"go": runner.resume, "hold": runner.pause, "stop": runner.stop}[wish]()


def unpickled(factory: bytes) -> Callable[..., Any]:
    """The user's factory.

    Raises:
        RuntimeError: this worker lacks what it needs.
    """
    try:
        made: Callable[..., Any] = cloudpickle.loads(factory)
    except Exception as error:
        raise RuntimeError(
            f"task_factory cannot be read on the worker ({type(error).__name__}: {error}); what it "
            "imports must be installed on every node, in the same versions as here"
        ) from error
    return made


def ending_of(error: BaseException, lost: bool = False) -> JobEnd:
    """The end by an error, in a form that travels."""
    text = "".join(traceback.format_exception(error))
    travels: BaseException = RuntimeError(f"{type(error).__name__}: {error}")
    with contextlib.suppress(Exception):
        # Frames do not travel, and what is raised from others may not.
        pickled = cloudpickle.dumps(error.with_traceback(None))  # type: ignore[no-untyped-call]
        alone = cloudpickle.loads(pickled)
        # What is no Exception would end the process that waits for it.
        if type(alone) is type(error) and isinstance(error, Exception):
            travels = error
    travels.__cause__ = travels.__context__ = None
    return JobEnd(StopReason.FAILED, travels, text, lost)
