"""Work in the background as the widget sees it: a runner, the sender that shows it, its outcome."""

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
    """How the work ended, in plain values."""

    state: str
    step: int
    elapsed: float
    error: str | None
    traceback: str | None


End = TypeVar("End", bound=RunEnd)


class BackgroundRun(Generic[Result, End]):
    """One start of a runner, shown to the page.

    A subclass gives it the table of its rows, `records`, and says in `settle`, `_rate_of` and
    `_detail` what the work came to.

    Args:
        number: says which work a message belongs to; a higher number is a newer table.
        runner: does the work; not started yet.
        page: where the messages go.
        kind: the type of the messages.
    """

    what = "sweep"
    records: Rows
    # What went on with another sweep in place of this one.
    replacement: "BackgroundRun[Any, Any] | None" = None

    def __init__(self, number: int, runner: Runner[Result], page: PageState, kind: str) -> None:
        self.number = number
        self.started = False
        self.outcome: End | None = None
        self._steps = runner.steps
        self._runner: Runner[Result] | None = runner
        self._runner.on_change = self._changed
        self._page = page
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
        """Wait for the end, at most so long; whether it has come and the page has all of it."""
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
        """The state to show. Work has ended only when what it came to is published."""
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
        """How many steps there are, when nothing ends them before; it may change on the way."""
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
        """What there is to say now."""
        end = self.outcome
        return Status(
            run=self.number,
            state=self.state,
            step=end.step if end else len(self.records),
            steps=self.steps,
            elapsed=self.elapsed,
            error=end.error if end else None,
            suggestion=self._rate_of(end) if end else None,
            detail=self._detail(),
        )

    def _rate_of(self, end: End) -> float | None:
        """The rate that it came to."""
        raise NotImplementedError

    def _detail(self) -> dict[str, Any]:
        """What else there is to say, as plain JSON values."""
        raise NotImplementedError

    # -- from the background threads --------------------------------------------------------------

    def settle(self) -> None:
        """Publish in `outcome` what it came to, on the sender's thread."""
        raise NotImplementedError

    def _changed(self) -> None:
        """The runner's news of a change of state, on its thread."""
        mark_background()
        self._sender.wake()
        self._page.catch_up_soon()

    def _ending(self, step: int) -> RunEnd:
        """How the runner, which has ended, did so."""
        runner = self._the_runner()
        error = None
        if runner.error is not None:
            error = redact_paths(describe(runner.error, runner.hint))
        return RunEnd(
            state=RunState(runner.state).value,
            step=step,
            elapsed=runner.elapsed,
            error=error,
            traceback=None if runner.traceback is None else redact_paths(runner.traceback),
        )

    def _the_runner(self) -> Runner[Result]:
        if self._runner is None:
            raise RuntimeError("the widget is closed; make a new LRFinderWidget")
        return self._runner


def describe(error: BaseException, hint: str = "") -> str:
    """`Type: message` on one line, and what else there is to know about it."""
    text = " ".join(str(error).split())
    if hint:
        text = f"{text}{'' if text.endswith(('.', '!', '?')) else '.'} {hint}" if text else hint
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
