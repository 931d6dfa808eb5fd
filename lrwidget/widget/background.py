"""A background run of the widget: a runner, the sender of its rows and its outcome."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from lrwidget.engine.runner import UNDER_WAY, Runner, RunState
from lrwidget.stream.protocol import AnyDetail, Rows, Status
from lrwidget.stream.redact import redact_paths
from lrwidget.stream.sender import PageState, Sender
from lrwidget.stream.threads import mark_background

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RunEnd:
    """The end of a run, in plain values."""

    state: str
    step: int
    elapsed: float
    error: str | None
    traceback: str | None
    suggestion: float | None = None


End = TypeVar("End", bound=RunEnd)


class BackgroundRun(Generic[Result, End]):
    """One start of a runner, whose rows and status go to the page.

    Args:
        number: identifies the run in messages; a newer run has a higher number.
        runner: runs the sweep or check; not started yet.
        page: sends the messages.
        kind: the type of the messages.
        detail: returns the status' `detail` as plain JSON values; called from any thread.
        conclude: adds the results to the runner's end; called on the sender's thread.
        sweep: the number of the sweep whose marker the outcome moves; by default its own if it is a
            sweep, else none.
    """

    what = "sweep"
    records: Rows
    # The run of the sweep that has replaced this run's sweep.
    replacement: "BackgroundRun[Any, Any] | None" = None

    def __init__(
        self,
        number: int,
        runner: Runner[Result],
        page: PageState,
        kind: str,
        *,
        detail: Callable[[], AnyDetail],
        conclude: Callable[[RunEnd], End],
        sweep: int | None = None,
    ) -> None:
        self.number = number
        self.started: bool = False
        self.outcome: End | None = None
        self._steps = runner.steps
        self._runner: Runner[Result] | None = runner
        self._runner.on_change = self._changed
        self._page = page
        self._detail = detail
        self._conclude = conclude
        self._sender = Sender(self, page, kind, sweep)

    # -- from the widget ------------------------------------------------------------------------

    def start(self) -> None:
        """Start the runner and the sender; if the runner raises, neither is started."""
        self._the_runner().start()
        self.started = True
        self._sender.start()

    def pause(self) -> None:
        """Pause after the current step; no effect unless the run is under way."""
        if self.under_way:
            self._the_runner().pause()

    def resume(self) -> None:
        """Continue, or cancel a pending pause; no effect unless the run is under way."""
        if self.under_way:
            self._the_runner().resume()

    def stop(self) -> None:
        """End after the current step; no effect unless the run is under way."""
        if self.under_way:
            self._the_runner().stop()

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds`; return whether the run has ended and all rows are sent."""
        return self._left_behind or self._sender.join(seconds)

    def raise_error(self) -> None:
        """Raise the exception that ended the run, if any; not after `close`."""
        if self._runner is not None:
            self._runner.wait()

    def close(self) -> None:
        """Stop, wait for both threads, and release the task; the rows stay."""
        runner = self._runner
        if runner is None:
            return
        runner.close()
        if not self._left_behind:
            self._sender.join()
        self._runner = None  # it holds the exception, whose frames hold the model

    @property
    def closed(self) -> bool:
        """Whether `close` has released the task."""
        return self._runner is None

    # -- from any thread ------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """The state to show. A run counts as ended only once its outcome is published."""
        if self.outcome is not None:
            return self.outcome.state
        if not self.started:
            return RunState.IDLE.value
        if self._left_behind:
            return RunState.STOPPED.value
        paused = self._runner is not None and self._runner.state == RunState.PAUSED
        return RunState.PAUSED.value if paused else RunState.RUNNING.value

    @property
    def under_way(self) -> bool:
        """Whether the run is running or paused."""
        return self.state in UNDER_WAY

    @property
    def on_its_thread(self) -> bool:
        """Whether the run itself calls this, from within a step."""
        return self._runner is not None and self._runner.on_its_thread

    @property
    def over(self) -> bool:
        """Whether the runner has ended, with its last row in the table and the model restored."""
        runner = self._runner
        return runner is None or (self.started and runner.state not in {*UNDER_WAY, RunState.IDLE})

    @property
    def steps(self) -> int:
        """The number of planned steps, which may change while the run is under way."""
        runner = self._runner
        if runner is not None:
            self._steps = runner.steps
        return self._steps

    @property
    def elapsed(self) -> float:
        """Running time in seconds, without pauses."""
        if self.outcome is not None:
            return self.outcome.elapsed
        return self._runner.elapsed if self._runner is not None and self.started else 0.0

    def status(self) -> Status:
        """Return the current status."""
        end = self.outcome
        return Status(
            run=self.number,
            state=self.state,
            step=end.step if end else len(self.records),
            steps=self.steps,
            elapsed=self.elapsed,
            error=end.error if end else None,
            suggestion=end.suggestion if end else None,
            detail=self._detail(),
        )

    # -- from the background threads --------------------------------------------------------------

    def settle(self) -> None:
        """Publish the outcome; called on the sender's thread."""
        self.outcome = self._conclude(self._ending())

    def _changed(self) -> None:
        """Handle a change of the runner's state; called on its thread."""
        mark_background()
        self._sender.wake()
        if not self.over:  # else the traits change once the outcome is known
            self._page.catch_up_soon()

    def _ending(self) -> RunEnd:
        """Return the end of the runner, which must have ended."""
        runner = self._the_runner()
        error = None
        if runner.error is not None:
            error = redact_paths(describe(runner.error, runner.hint))
        return RunEnd(
            state=RunState(runner.state).value,
            step=len(self.records),
            elapsed=runner.elapsed,
            error=error,
            traceback=None if runner.traceback is None else redact_paths(runner.traceback),
        )

    @property
    def _left_behind(self) -> bool:
        """Whether this process was forked while the run was under way, and has no thread of it."""
        if self.outcome is not None or not self.started:
            return False
        return self._runner is None or self._runner.forked

    def _the_runner(self) -> Runner[Result]:
        if self._runner is None:
            raise RuntimeError("the widget is closed; make a new LRFinderWidget")
        return self._runner


def describe(error: BaseException, hint: str = "") -> str:
    """Return `Type: message` on one line, followed by the hint."""
    text = " ".join(str(error).split())
    if hint:
        text = f"{text}{'' if text.endswith(('.', '!', '?')) else '.'} {hint}" if text else hint
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
