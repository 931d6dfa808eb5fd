"""A sweep in the background: start, pause, resume, stop, wait.

Who owns what: the sweep's thread alone writes the records, the state, the error and the clock;
callers set the state once, to running, before it starts, and from then on only raise flags (`_go`,
`_stop`) and extend the ladder, which the thread looks at between two steps.
"""

import contextlib
import contextvars
import enum
import threading
import time
import traceback
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

import torch

from lrwidget.backup.interrupts import uninterrupted
from lrwidget.backup.rng import cuda_in_use
from lrwidget.engine.error_notes import THREAD, attach, comes_of_thread, note_ending
from lrwidget.engine.ladder import Ladder
from lrwidget.engine.meta import plain
from lrwidget.engine.sweep import sweep
from lrwidget.process_group.processes import process_count
from lrwidget.records.records import LRRecords, StopReason
from lrwidget.restore.captured import not_swept
from lrwidget.restore.model_lock import Claim
from lrwidget.task.options import SweepOptions
from lrwidget.task.task import TrainingTask


class RunState(enum.StrEnum):
    """Where a run is."""

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


Result = TypeVar("Result")


class Runner(Generic[Result]):
    """Something that goes on step by step, in a thread of its own.

    Args:
        task: what is trained; None where nothing is.
        work: makes the generator of steps; its `next` is one step. The runner holds the `Claim` to
            the task's model meanwhile.
        result: what the steps fill; `wait` returns it, and it may be read at any time.
        steps: how many there are, when nothing ends them before.

    Attributes:
        state: where the run is.
        error: the exception that ended it, or None; `traceback` is its text.
        hint: what else there is to know about that exception, in words; may be empty.
        notice: what else there is to say about it now, in words; may be empty.
        on_change: called from the run's thread after each change of `state`.
    """

    def __init__(
        self,
        task: TrainingTask | None,
        work: Callable[[Any], Generator[None, None, StopReason]],
        result: Result,
        steps: int,
    ) -> None:
        self.steps = steps
        self.state = RunState.IDLE
        self.error: BaseException | None = None
        self.traceback: str | None = None
        self.hint = ""
        self.notice = ""
        self.on_change: Callable[[], None] = lambda: None
        self.result = result
        self._work: tuple[TrainingTask | None, Callable[..., Any]] | None = (task, work)
        self._go = threading.Event()
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._running_for = 0.0
        self._running_since: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds that the sweep has been running, without pauses."""
        since = self._running_since
        return self._running_for + (0.0 if since is None else time.monotonic() - since)

    def start(self) -> None:
        """Start the sweep; returns at once.

        Raises:
            RuntimeError: it was started before, or another sweep of the model is running.
        """
        if self._thread is not None or self._work is None:
            raise RuntimeError(
                f"this sweep is {self.state.value}; a runner starts once: make another one"
            )
        task = self._work[0]
        claim = None if task is None else Claim(task)
        # Acquired by who lets go of the claim: the thread, or this call where it breaks off before.
        over = threading.Lock()
        try:
            if claim is not None:
                claim.take()
            self._go.set()
            # A copy of the context: ipykernel 7.0 looks up the cell's context in any thread that
            # talks. Devices and streams are per thread in torch, so the thread takes over those of
            # the caller: what the caller has queued comes first.
            context = contextvars.copy_context()
            devices = torch.get_default_device(), _cuda_stream()
            self._running_since = time.monotonic()
            self._thread = threading.Thread(
                target=context.run,
                args=(self._run, claim, over, *devices),
                name="lrwidget sweep",
                daemon=True,
            )
            self.state = RunState.RUNNING
            self._thread.start()
        except BaseException:
            if over.acquire(blocking=False):
                last = [] if claim is None else [claim.release]
                try:
                    uninterrupted(last)
                finally:
                    uninterrupted(last)
                self._thread, self.state, self._running_since = None, RunState.IDLE, None
            raise

    def pause(self) -> None:
        """Pause after the step in hand; nothing happens unless it is running."""
        self._go.clear()

    def resume(self) -> None:
        """Go on after a pause; nothing happens unless it is paused."""
        self._go.set()

    def stop(self) -> None:
        """End the sweep after the step in hand and keep its rows; returns at once."""
        self._stop.set()
        self._go.set()

    def wait(self, timeout: float | None = None) -> Result:
        """Block until the sweep has ended and everything is restored.

        Args:
            timeout: seconds to wait at most; None waits without end.

        Raises:
            RuntimeError: the sweep was never started.
            TimeoutError: it has not ended in time; it goes on.
            Exception: what the task raised.
        """
        if self._thread is None:
            raise RuntimeError("the sweep has not been started; call start() first")
        if not self._ended.wait(timeout):
            raise TimeoutError(f"the sweep has not ended within {timeout} seconds; it goes on")
        self._thread.join()
        if self.error is not None:
            raise self.error
        return self.result

    def close(self) -> None:
        """Stop, wait for the thread to end, and let go of model, optimizer and data."""
        self.stop()
        if self._thread is not None and self._thread is not threading.current_thread():
            # Before Python 3.13 an interrupted join() marks a living thread as ended.
            self._ended.wait()
            self._thread.join()
        self._work = None
        self.on_change = lambda: None

    def _run(
        self,
        claim: Claim | None,
        over: threading.Lock,
        device: torch.device,
        stream: torch.cuda.Stream | None,
    ) -> None:
        if not over.acquire(blocking=False):
            return
        assert self._work is not None
        task, work = self._work
        reason = StopReason.FAILED
        try:
            with device if device.type != "cpu" else contextlib.nullcontext():
                if stream is not None:
                    torch.cuda.set_stream(stream)  # and its device
                reason = self._take_steps(work(task))
        except BaseException as error:  # noqa: BLE001 - wait() raises it, whatever it is
            self.error = error
            if isinstance(error, Exception):
                self._annotate(error)
            self.traceback = "".join(traceback.format_exception(error))
        finally:
            self._work = None
            if claim is not None:
                claim.release()
            self._clock(False)
            self.state = ENDED[reason]
            self._ended.set()
            self.on_change()

    def _annotate(self, error: Exception) -> None:
        """Say in notes what else there is to know, and in `hint` what must be seen beside it."""

    def _annotate_here(self, error: Exception, what: str, rows: int) -> None:
        """The same where the model was trained in this thread and is put back."""
        note_ending(error, what, self.result, rows)
        if comes_of_thread(error):
            self.hint = THREAD
            attach(error, THREAD)

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


class RecordsRunner(Runner[LRRecords]):
    """A runner that fills a table of records, wherever the sweep itself may run.

    Attributes:
        extends: whether it can be extended.
        elsewhere: why nothing but the records is here, in words; empty where the model is.
        successor: what goes on with another sweep, where this one has ended for that; not started.
    """

    extends = False
    elsewhere = ""
    successor: "RecordsRunner | None" = None

    @property
    def span(self) -> tuple[float, float]:
        """The ends of the range of rates, (start_lr, end_lr); the upper one may grow."""
        raise NotImplementedError

    def extend(self, end_lr: float) -> None:
        """Let the sweep go on to a higher rate, as dense as before; from any thread.

        The rates up to its present end stay as they are, and the last is exactly `end_lr`.

        Args:
            end_lr: the new end (a rate above the present one).

        Raises:
            TypeError, ValueError: it is no rate, or not above the present end.
            RuntimeError: the sweep is not under way, or several processes run it.
        """
        raise RuntimeError(
            f"what runs elsewhere cannot be extended; start another sweep, with end_lr={end_lr!r}"
        )

    def steps_to(self, end_lr: float) -> int:  # noqa: ARG002 - where it can be extended
        """How many steps an extension to `end_lr` adds to each sweep; 0 where there is none."""
        return 0

    @property
    def records(self) -> LRRecords:
        """The rows so far."""
        return self.result


class SweepRunner(RecordsRunner):
    """One sweep of a task in a thread of its own.

    Args:
        task: what is swept.
        options: how.
        records: gets the rows; by default a new table.
    """

    extends = True

    def __init__(
        self, task: TrainingTask, options: SweepOptions, records: LRRecords | None = None
    ) -> None:
        records = LRRecords() if records is None else records
        self.ladder = ladder = Ladder(options)
        super().__init__(
            task,
            lambda task: sweep(task, options, records, ladder, claimed=True),
            records,
            ladder.total,
        )
        self.notice = not_swept(task)

    @property
    def span(self) -> tuple[float, float]:
        """The ends of the range of rates, (start_lr, end_lr)."""
        return self.ladder.options.start_lr, self.ladder.options.end_lr

    def steps_to(self, end_lr: float) -> int:
        """How many steps an extension to `end_lr` adds to each sweep."""
        return self.ladder.steps_to(end_lr)

    def _annotate(self, error: Exception) -> None:
        self._annotate_here(error, "the sweep", len(self.records))

    def extend(self, end_lr: float) -> None:
        """Let the sweep go on to a higher rate; see `RecordsRunner.extend`."""
        if self.state not in (RunState.RUNNING, RunState.PAUSED):
            raise RuntimeError(
                f"the sweep is {self.state.value}, and only one that is running or paused can be "
                f"extended; start one with end_lr={end_lr!r}"
            )
        if process_count() > 1:
            raise RuntimeError(
                f"{process_count()} processes climb this ladder in step, and the others would not "
                f"know of a new end; start another sweep, with end_lr={end_lr!r}"
            )
        self.ladder.extend(end_lr)
        self.steps = self.ladder.total
        if "options" in self.records.meta:  # before its first step the sweep says it itself
            self.records.meta["options"] = plain(self.ladder.options)


def _cuda_stream() -> torch.cuda.Stream | None:
    return torch.cuda.current_stream() if cuda_in_use() else None
