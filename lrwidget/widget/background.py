"""A run in the background as the widget sees it: a runner, the sender of its rows, its outcome."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from lrwidget.engine.runner import UNDER_WAY, Runner, RunState
from lrwidget.stream.protocol import Rows, Status
from lrwidget.stream.redact import redact_paths
from lrwidget.stream.sender import PageState, Sender
from lrwidget.stream.threads import mark_background

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended, in plain values."""

    state: str
    step: int
    elapsed: float
    error: str | None
    traceback: str | None
    suggestion: float | None = None


End = TypeVar("End", bound=RunEnd)


class BackgroundRun(Generic[Result, End]):
    """One start of a runner, shown to the page.

    Args:
        number: says which run a message belongs to; a higher number is a newer table.
        runner: does the work; not started yet.
        page: where the messages go.
        kind: the type of the messages.
        detail: gives the status' `detail`, as plain JSON values; called from any thread.
        conclude: adds to how the runner ended what it found; called on the sender's thread.
    """

    what = "sweep"
    records: Rows
    # The run of the sweep that has replaced this one's.
    replacement: "BackgroundRun[Any, Any] | None" = None

    def __init__(
        self,
        number: int,
        runner: Runner[Result],
        page: PageState,
        kind: str,
        *,
        detail: Callable[[], dict[str, Any]],
        conclude: Callable[[RunEnd], End],
    ) -> None:
        self.number = number
        self.started = False
        self.outcome: End | None = None
        self._steps = runner.steps
        self._runner: Runner[Result] | None = runner
        self._runner.on_change = self._changed
        self._page = page
        self._detail = detail
        self._conclude = conclude
        self._sender = Sender(self, page, kind)

    # -- from the widget ------------------------------------------------------------------------

    def start(self) -> None:
        """Run. Raises what the runner refuses; then nothing has been started."""
        self._the_runner().start()
        self.started = True
        self._sender.start()

    def pause(self) -> None:
        """Hold after the step in hand; nothing where it is not under way."""
        if self.under_way:
            self._the_runner().pause()

    def resume(self) -> None:
        """Go on, also where a pause still waits for its step; nothing where it is not under way."""
        if self.under_way:
            self._the_runner().resume()

    def stop(self) -> None:
        """End after the step in hand; nothing where it is not under way."""
        if self.under_way:
            self._the_runner().stop()

    def wait(self, seconds: float) -> bool:
        """Wait at most so long; returns whether it has ended and all of it has been sent."""
        return self._sender.join(seconds)

    def raise_error(self) -> None:
        """Raise the exception that ended it, if one did, until `close`."""
        if self._runner is not None:
            self._runner.wait()

    def close(self) -> None:
        """Stop, wait for both threads, and let go of the task; the rows stay."""
        runner = self._runner
        if runner is None:
            return
        runner.close()
        self._sender.join()
        self._runner = None  # it holds the exception, whose frames hold the model

    # -- from any thread ------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """The state to show. A run has ended only when its outcome is published."""
        if self.outcome is not None:
            return self.outcome.state
        if not self.started:
            return RunState.IDLE.value
        paused = self._runner is not None and self._runner.state == RunState.PAUSED
        return RunState.PAUSED.value if paused else RunState.RUNNING.value

    @property
    def under_way(self) -> bool:
        """Whether it is under way."""
        return self.state in UNDER_WAY

    @property
    def over(self) -> bool:
        """Whether the runner has ended, with its last row in the table and the model restored."""
        runner = self._runner
        return runner is None or (self.started and runner.state not in {*UNDER_WAY, RunState.IDLE})

    @property
    def steps(self) -> int:
        """How many steps are planned; the number may change while it runs."""
        runner = self._runner
        if runner is not None:
            self._steps = runner.steps
        return self._steps

    @property
    def elapsed(self) -> float:
        """Seconds that it has been running, without pauses."""
        if self.outcome is not None:
            return self.outcome.elapsed
        return self._runner.elapsed if self._runner is not None and self.started else 0.0

    def status(self) -> Status:
        """The status now."""
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
        """The runner's state has changed; called on its thread."""
        mark_background()
        self._sender.wake()
        self._page.catch_up_soon()

    def _ending(self) -> RunEnd:
        """How the runner, which has ended, did so."""
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

    def _the_runner(self) -> Runner[Result]:
        if self._runner is None:
            raise RuntimeError("the widget is closed; make a new LRFinderWidget")
        return self._runner


def describe(error: BaseException, hint: str = "") -> str:
    """`Type: message` on one line, and the hint."""
    text = " ".join(str(error).split())
    if hint:
        text = f"{text}{'' if text.endswith(('.', '!', '?')) else '.'} {hint}" if text else hint
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
