"""A runner does work step by step in a background thread: start, pause, resume, stop, wait.

Ownership: only the runner's thread writes the records, the state, the error and the clock. Callers
set the state once, to running, before the thread starts; after that they only set flags (`_go`,
`_stop`) and extend the ladder, which the thread reads between two steps.
"""

import contextlib
import contextvars
import dataclasses
import enum
import os
import threading
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, Protocol, TypeVar

from lrwidget.backup.interrupts import uninterrupted
from lrwidget.records.table import StopReason
from lrwidget.stream.at_exit import end_at_exit


class RunState(enum.StrEnum):
    """The state of a run."""

    IDLE = "idle"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    DIVERGED = "diverged"
    STOPPED = "stopped"
    FAILED = "failed"


ENDED = {
    StopReason.FINISHED: RunState.FINISHED,
    StopReason.DIVERGED: RunState.DIVERGED,
    StopReason.NON_FINITE: RunState.DIVERGED,
    StopReason.STOPPED: RunState.STOPPED,
    StopReason.EXHAUSTED: RunState.FINISHED,
    StopReason.FAILED: RunState.FAILED,
}


UNDER_WAY = frozenset({RunState.RUNNING, RunState.PAUSED})

Result = TypeVar("Result")


class Lock(Protocol):
    """A lock that a runner holds while it works."""

    def acquire(self, stop: Callable[[], None]) -> None:
        """Acquire the lock, or raise RuntimeError and change nothing; `stop` ends the work."""

    def release(self) -> None:
        """Release the lock; may be called again."""


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """The work of a runner.

    Args:
        steps: returns the generator of steps, whose `next` is one step; called on the thread.
        lock: returns the lock that is held from start to end; None if there is none.
        context: called on the starting thread; returns the context that is entered around the
            steps.
        explain: adds notes to an exception of the steps; returns a hint to show beside it.
    """

    steps: Callable[[], Generator[None, None, StopReason]]
    lock: Callable[[], Lock | None] = lambda: None
    context: Callable[[], AbstractContextManager[object]] = nullcontext
    explain: Callable[[Exception], str] = lambda error: ""  # noqa: ARG005


class Runner(Generic[Result]):
    """Does work step by step in a background thread.

    Args:
        work: the work to do.
        result: the object that the steps fill; `wait` returns it, and it may be read at any time.
        steps: planned number of steps.

    Attributes:
        state: the state of the run.
        error: the exception that ended the run, or None; `traceback` is its text.
        hint: a hint on that exception; may be empty.
        notice: a message about the run for the user; may be empty.
        on_change: called from the run's thread after each change of `state`.
    """

    def __init__(self, work: Work, result: Result, steps: int) -> None:
        self.steps: int = steps
        self.state: RunState = RunState.IDLE
        self.error: BaseException | None = None
        self.traceback: str | None = None
        self.hint: str = ""
        self.notice: str = ""
        self.on_change: Callable[[], None] = lambda: None
        self.result = result
        self._work: Work | None = work
        self._go = threading.Event()
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        self._running_for = 0.0
        self._running_since: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds that the work has been running, without pauses."""
        since = self._running_since
        return self._running_for + (0.0 if since is None else time.monotonic() - since)

    @property
    def on_its_thread(self) -> bool:
        """Whether the work is what calls this."""
        return self._thread is threading.current_thread()

    @property
    def forked(self) -> bool:
        """Whether the work was started in a process that this one was forked from.

        No thread is forked, so that nothing ends the work here.
        """
        return os.getpid() != self._process

    def start(self) -> None:
        """Start the work and return at once.

        Raises:
            RuntimeError: it was started before, or another sweep of the model is running.
        """
        if self._thread is not None or self._work is None:
            raise RuntimeError(
                f"this sweep is {self.state.value}; a runner starts once: make another one"
            )
        lock = self._work.lock()
        # Acquired by the one that releases `lock`: the thread, or this call if it fails before.
        over = threading.Lock()
        try:
            if lock is not None:
                lock.acquire(self.stop)
            self._go.set()
            self._process = os.getpid()
            # A copy of the context: ipykernel 7.0 looks up the cell's context in any thread that
            # sends messages.
            context = contextvars.copy_context()
            self._running_since = time.monotonic()
            self._thread = threading.Thread(
                target=context.run,
                args=(self._run, self._work, lock, over, self._work.context()),
                name="lrwidget sweep",
                daemon=True,
            )
            self.state = RunState.RUNNING
            self._thread.start()
            end_at_exit(self._thread, self.stop)
        except BaseException:
            if over.acquire(blocking=False):
                last = [] if lock is None else [lock.release]
                try:
                    uninterrupted(last)
                finally:
                    uninterrupted(last)
                self._thread, self.state, self._running_since = None, RunState.IDLE, None
            raise

    def pause(self) -> None:
        """Pause after the current step; no effect unless the work is running."""
        self._go.clear()

    def resume(self) -> None:
        """Continue after a pause; no effect unless the work is paused."""
        self._go.set()

    def stop(self) -> None:
        """End the work after the current step and keep its rows; return at once."""
        self._stop.set()
        self._go.set()

    def wait(self, timeout: float | None = None) -> Result:
        """Block until the work has ended and everything is restored; return the result.

        Args:
            timeout: most seconds to wait; None waits without a limit.

        Raises:
            RuntimeError: the work was never started, or goes on in the process that this one was
                forked from.
            TimeoutError: the work has not ended in time; it continues.
            Exception: any exception of the task.
        """
        if self._thread is None:
            raise RuntimeError("the sweep has not been started; call start() first")
        if self.forked and not self._ended.is_set():
            raise RuntimeError(
                f"the sweep runs in process {self._process}, from which this one was forked with "
                "the rows until then; wait() there, before the fork"
            )
        if not self._ended.wait(timeout):
            raise TimeoutError(f"the sweep has not ended within {timeout} seconds; it goes on")
        self._thread.join()
        if self.error is not None:
            raise self.error
        return self.result

    def close(self) -> None:
        """Stop, wait for the thread to end, and release model, optimizer and data."""
        self.stop()
        if self._thread is not None and not self.on_its_thread and not self.forked:
            # Before Python 3.13 an interrupted join() marks a living thread as ended.
            self._ended.wait()
            self._thread.join()
        self._work = None
        self.on_change = lambda: None

    def _run(
        self,
        work: Work,
        lock: Lock | None,
        over: threading.Lock,
        context: AbstractContextManager[object],
    ) -> None:
        if not over.acquire(blocking=False):
            return
        reason = StopReason.FAILED
        try:
            with context:
                reason = self._take_steps(work.steps())
        except BaseException as error:  # noqa: BLE001 - wait() raises it, whatever it is
            self.error = error
            if isinstance(error, Exception):
                self.hint = work.explain(error)
            self.traceback = "".join(traceback.format_exception(error))
        finally:
            self._work = None
            del work, context  # they hold the model
            if lock is not None:
                lock.release()
            self._clock(False)
            self.state = ENDED[reason]
            self._ended.set()
            self.on_change()

    def _take_steps(self, steps: Generator[None, None, StopReason]) -> StopReason:
        with contextlib.closing(steps):
            self.on_change()
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    reason: StopReason = end.value
                    return reason
                if not self._go.is_set():
                    self._pause()
                if self._stop.is_set():
                    return StopReason.STOPPED

    def _pause(self) -> None:
        self._clock(False)
        self.state = RunState.PAUSED
        self.on_change()
        self._go.wait()
        if not self._stop.is_set():
            self._clock(True)
            self.state = RunState.RUNNING
            self.on_change()

    def _clock(self, running: bool) -> None:
        if self._running_since is not None:
            self._running_for += time.monotonic() - self._running_since
        self._running_since = time.monotonic() if running else None
