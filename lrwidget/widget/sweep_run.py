"""One press of Start: a runner, the sender that shows it to the page, and what it came to."""

import dataclasses
import logging
from typing import Any

from lrwidget.engine.optimizer_code import optimizer_code
from lrwidget.records.records import LRRecords
from lrwidget.records.table import StopReason
from lrwidget.sources.base import NONE, Overrides, RecordsRunner
from lrwidget.stream.protocol import number_or_none
from lrwidget.stream.sender import PageState
from lrwidget.widget.background import BackgroundRun, RunEnd

logger = logging.getLogger(__name__)

LANDMARKS = ("falls_at", "minimum", "explodes_at")


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome(RunEnd):
    """What an ended run came to, in plain values."""

    stop_reason: str | None
    suggestion: float | None
    reason: str
    confidence: str | None = None
    spread: float | None = None
    landmarks: dict[str, float | None] = dataclasses.field(default_factory=dict)
    suggestions: dict[str, float | None] = dataclasses.field(default_factory=dict)


class SweepRun(BackgroundRun[LRRecords, Outcome]):
    """A run as the widget sees it.

    Args:
        number: says which run a message belongs to; a higher number is a newer table.
        runner: sweeps; not started yet.
        page: where its messages go.
        overrides: what it has instead of the constructor's options.

    Attributes:
        style: which way of drawing it is its own, where it is not the active run.
        notice: what the last button that was pressed came to.
    """

    records: LRRecords
    replacement: "SweepRun | None" = None

    def __init__(
        self, number: int, runner: RecordsRunner, page: PageState, overrides: Overrides = NONE
    ) -> None:
        super().__init__(number, runner, page, "rows")
        self.records = runner.records
        self._sweeps: RecordsRunner | None = runner
        self._span = runner.span
        self.overrides = overrides
        self.style = 0
        self.notice = ""
        self._label = ""
        self._elsewhere, self._extends = runner.elsewhere, runner.extends

    @property
    def span(self) -> tuple[float, float]:
        """The ends of the range of rates; the upper one grows where the sweep is extended."""
        if self._sweeps is not None:
            self._span = self._sweeps.span
        return self._span

    @property
    def label(self) -> str:
        """What it is called; the records keep it too."""
        return self._label

    @label.setter
    def label(self, label: str) -> None:
        self._label = self.records.meta["label"] = label

    def show(self) -> None:
        """In place of `start` for what was run before."""
        self.started = True
        self.settle()

    def extend(self, end_lr: float | None) -> None:
        """Let the sweep go on to a higher rate, by default ten times its present end.

        Raises:
            TypeError, ValueError: `end_lr` is no rate, or not above the present end.
            RuntimeError: it is not under way, or cannot be extended where it runs.
        """
        if end_lr is None:
            end_lr = 10 * self.span[1]
        if self._sweeps is None or not self.under_way:
            raise RuntimeError(
                f"the sweep is {self.state}, and only one that is running or paused can be "
                f"extended; call start(end_lr={end_lr!r})"
            )
        self._sweeps.extend(end_lr)

    @property
    def next_runner(self) -> RecordsRunner | None:
        """The runner that goes on in place of its own, where that is so."""
        return None if self._sweeps is None else self._sweeps.replacement

    def close(self) -> None:
        """Stop, wait for both threads, and let go of the task; the rows stay."""
        super().close()
        self._span, self._sweeps, self.overrides = self.span, None, NONE

    def _rate_of(self, end: Outcome) -> float | None:
        return end.suggestion

    def _detail(self) -> dict[str, Any]:
        end = self.outcome
        return {
            "reason": end.reason if end else "",
            "traceback": end.traceback if end else None,
            "stop_reason": end.stop_reason if end else None,
            "suggestions": end.suggestions if end else {},
            "landmarks": end.landmarks if end else {},
            "confidence": end.confidence if end else None,
            # Between the suggestions of the single sweeps, in decades; None without repeats.
            "spread": end.spread if end else None,
            # Seconds at the end: a clock that ticks here would be news at every look.
            "elapsed": round(end.elapsed, 3) if end else 0.0,
            # Between which rates; the upper one grows where the sweep is extended.
            "span": list(self.span),
            "elsewhere": self._elsewhere,
            "extends": self._extends,
            # Steps that Extend adds to each sweep: tens in a logarithmic one, hundreds in a linear.
            "adds": 0 if self._sweeps is None else self._sweeps.steps_to(10 * self.span[1]),
            # How the page writes it in its snippets.
            "optimizer": optimizer_code(self.records.meta),
            "notice": self.notice or (self._sweeps.notice if self._sweeps is not None else ""),
        }

    def settle(self) -> None:
        """Publish what the run came to, on the sender's thread."""
        records = self.records
        lr, reason, confidence, spread = None, "", None, None
        landmarks: dict[str, float | None] = {}
        by_rule: dict[str, float | None] = {}
        try:
            suggestion = records.suggestion
            lr = number_or_none(suggestion.lr)
            # What to change about the sweep is no help where the model broke it off.
            failed = records.stop_reason is StopReason.FAILED
            reason = "" if failed and lr is None else suggestion.reason
            confidence, spread = suggestion.confidence, number_or_none(suggestion.spread)
            landmarks = {name: number_or_none(getattr(suggestion, name)) for name in LANDMARKS}
            by_rule = {rule: number_or_none(rate) for rule, rate in records.suggestions.items()}
        except Exception:
            logger.exception("no rate could be suggested")
            reason = "the rules failed on this curve; the log has the details"
        self.outcome = Outcome(
            **dataclasses.asdict(self._ending(len(records))),
            stop_reason=None if records.stop_reason is None else str(records.stop_reason),
            suggestion=lr,
            reason=reason,
            confidence=confidence,
            spread=spread,
            landmarks=landmarks,
            suggestions=by_rule,
        )
