"""One press of Start: a runner, the sender that shows it to the page, and what it came to."""

import logging
import math
import re
from dataclasses import dataclass, field
from typing import Any

from lrwidget.livetraits import mark_background
from lrwidget.options import SweepOptions
from lrwidget.records import LRRecords
from lrwidget.runner import RunState, SweepRunner
from lrwidget.stream import Page, Sender, Status
from lrwidget.task import TrainingTask

logger = logging.getLogger(__name__)

ACTIVE = frozenset({RunState.RUNNING, RunState.PAUSED})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an ended run came to, in plain values."""

    state: str
    step: int
    elapsed: float
    error: str | None
    traceback: str | None
    stop_reason: str | None
    suggestion: float | None
    reason: str
    suggestions: dict[str, float | None] = field(default_factory=dict)


class LiveRun:
    """A run as the widget sees it.

    Args:
        number: says which run a message belongs to; a higher number is a newer table.
        task, options: what is swept, and how.
        page: where its messages go.
        label: a name for people.
    """

    def __init__(
        self, number: int, task: TrainingTask, options: SweepOptions, page: Page, label: str = ""
    ) -> None:
        self.number = number
        self.label = label
        self.notice = ""
        self.started = False
        self._runner: SweepRunner | None = SweepRunner(task, options)
        self._runner.on_change = self._changed
        self.records: LRRecords = self._runner.records
        self.steps = self._runner.steps
        self.outcome: Outcome | None = None
        self._page = page
        self._sender = Sender(self, page)

    # -- from the widget ------------------------------------------------------------------------

    def start(self) -> None:
        """Run. Raises what the runner refuses; then nothing has been started."""
        self._the_runner().start()
        self.started = True
        self._sender.start()

    def pause(self) -> None:
        """Hold after the step in hand; nothing where the run is not under way."""
        if self.active:
            self._the_runner().pause()

    def resume(self) -> None:
        """Go on, also where a pause still waits for its step; nothing where it is not under way."""
        if self.active:
            self._the_runner().resume()

    def stop(self) -> None:
        """End after the step in hand; nothing where it is not under way."""
        if self.active:
            self._the_runner().stop()

    def wait(self, seconds: float) -> bool:
        """Wait for the end, at most so long; whether it has come and the page has all of it."""
        return self._sender.join(seconds)

    def result(self) -> LRRecords:
        """The records of an ended run; raises the exception that ended it, until `close`."""
        return self.records if self._runner is None else self._runner.wait()

    def close(self) -> None:
        """Stop, wait for both threads, and let go of the task; the rows stay."""
        runner = self._runner
        if runner is None:
            return
        runner.stop()
        self._sender.join()
        runner.close()
        self._runner = None  # it holds the exception, whose frames hold the model

    # -- from any thread ------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """The state to show. A run has ended only when what it came to is published."""
        if self.outcome is not None:
            return self.outcome.state
        if not self.started:
            return RunState.IDLE.value
        paused = self._runner is not None and self._runner.state == RunState.PAUSED
        return RunState.PAUSED.value if paused else RunState.RUNNING.value

    @property
    def active(self) -> bool:
        """Whether it is under way."""
        return self.state in ACTIVE

    @property
    def over(self) -> bool:
        """Whether the sweep has ended, with its last row in the table and the model restored."""
        runner = self._runner
        return runner is None or (self.started and runner.state not in {*ACTIVE, RunState.IDLE})

    def status(self) -> Status:
        """What there is to say now."""
        end, runner = self.outcome, self._runner
        if end is not None:
            elapsed = end.elapsed
        else:
            elapsed = runner.elapsed if runner is not None and self.started else 0.0
        return Status(
            run=self.number,
            state=self.state,
            step=end.step if end else len(self.records),
            steps=self.steps,
            elapsed=elapsed,
            error=end.error if end else None,
            suggestion=end.suggestion if end else None,
            detail=self._detail(),
        )

    def _detail(self) -> dict[str, Any]:
        end = self.outcome
        return {
            "reason": end.reason if end else "",
            "traceback": end.traceback if end else None,
            "stop_reason": end.stop_reason if end else None,
            "suggestions": end.suggestions if end else {},
            # Seconds at the end: a clock that ticks here would be news at every look.
            "elapsed": round(end.elapsed, 3) if end else 0.0,
            "label": self.label,
            "notice": self.notice,
        }

    # -- from the background threads --------------------------------------------------------------

    def _changed(self) -> None:
        """The runner's news of a change of state, on the sweep's thread."""
        mark_background()
        self._sender.wake()
        self._page.catch_up_soon()

    def settle(self) -> None:
        """Publish what the run came to, on the sender's thread."""
        runner, records = self._the_runner(), self.records
        error = runner.error
        lr, reason = None, ""
        by_rule: dict[str, float | None] = {}
        try:
            suggestion = records.suggestion
            lr, reason = number_or_none(suggestion.lr), suggestion.reason
            by_rule = {rule: number_or_none(rate) for rule, rate in records.suggestions.items()}
        except Exception:
            logger.exception("no rate could be suggested")
            reason = "the rules failed on this curve; the log has the details"
        self.outcome = Outcome(
            state=RunState(runner.state).value,
            step=len(records),
            elapsed=runner.elapsed,
            error=None if error is None else describe(error),
            traceback=None if runner.traceback is None else without_folders(runner.traceback),
            stop_reason=None if records.stop_reason is None else str(records.stop_reason),
            suggestion=lr,
            reason=reason,
            suggestions=by_rule,
        )

    def _the_runner(self) -> SweepRunner:
        if self._runner is None:
            raise RuntimeError("the widget is closed; make a new LRFinderWidget")
        return self._runner


def describe(error: BaseException) -> str:
    """`Type: message` on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def without_folders(traceback: str) -> str:
    """A traceback with bare file names: what is shown is saved and shared with the notebook."""
    return re.sub(r'\bFile "[^"\n]*[\\/]([^"\\/\n]+)"', r'File "\1"', traceback)


def number_or_none(value: float | None) -> float | None:
    """A plain finite float, or None: JSON has no NaN."""
    if value is None or not math.isfinite(value):
        return None
    return float(value)
