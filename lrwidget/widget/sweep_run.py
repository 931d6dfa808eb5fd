"""One sweep of the widget, from Start to its outcome."""

import dataclasses
import logging
from collections.abc import Callable

from lrwidget.curve.search import BUDGET, LENGTH
from lrwidget.engine.optimizer_code import optimizer_code
from lrwidget.records.records import LRRecords
from lrwidget.records.table import StopReason
from lrwidget.sources.base import NONE, Overrides, RecordsRunner
from lrwidget.stream.protocol import Detail, Landmarks, number_or_none
from lrwidget.stream.sender import PageState
from lrwidget.text.numbers import rate_in_words
from lrwidget.widget.background import BackgroundRun, RunEnd

logger: logging.Logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome(RunEnd):
    """How a sweep ended and what its records suggest, in plain values."""

    stop_reason: str | None = None
    reason: str = ""
    confidence: str | None = None
    spread: float | None = None
    landmarks: Landmarks = dataclasses.field(default_factory=Landmarks)
    suggestions: dict[str, float | None] = dataclasses.field(default_factory=dict)


class SweepRun(BackgroundRun[LRRecords, Outcome]):
    """A sweep that the widget runs or shows.

    Args:
        number: identifies the run in messages; a newer run has a higher number.
        runner: runs the sweep; not started yet.
        page: sends the messages.
        overrides: options that replace the constructor's.

    Attributes:
        style: index of its style while it is not the active run; no other run of the widget has it.
        cannot_refine: why its suggestion cannot be refined; empty if it can.
        refined: the end of the refinement of its suggestion; None before that.
        notice: the answer to the last press of a button.
        stop_other: ends the sweep of another widget, for which that button was refused.
    """

    records: LRRecords
    replacement: "SweepRun | None" = None

    def __init__(
        self, number: int, runner: RecordsRunner, page: PageState, overrides: Overrides = NONE
    ) -> None:
        super().__init__(
            number, runner, page, "rows", detail=self._describe, conclude=self._suggest
        )
        self.records = runner.records
        self._sweeps: RecordsRunner | None = runner
        self._span = runner.span
        self.overrides: Overrides = overrides
        self.style = 0
        self.cannot_refine: str = runner.cannot_refine
        self.refined: RunEnd | None = None
        self.notice: str = ""
        self.stop_other: Callable[[], None] | None = None
        self._label = ""
        self._elsewhere, self._extends = runner.elsewhere, runner.extends

    @property
    def span(self) -> tuple[float, float]:
        """The lowest and the highest rate; the highest grows when the sweep is extended."""
        if self._sweeps is not None:
            self._span = self._sweeps.span
        return self._span

    @property
    def rate(self) -> float | None:
        """The rate for the marker: the refined one, else the suggestion."""
        end = self.refined or self.outcome
        return None if end is None else end.suggestion

    @property
    def budget(self) -> int:
        """Steps that a refinement may usually take, those of the sweep included; 0 if it cannot."""
        return 0 if self.cannot_refine else max(BUDGET, self.steps + 3 * LENGTH)

    @property
    def label(self) -> str:
        """The run's name, which its records keep too."""
        return self._label

    @label.setter
    def label(self, label: str) -> None:
        self._label = self.records.meta["label"] = label

    def answer(self, notice: str, stop_other: Callable[[], None] | None = None) -> None:
        """Answer a press of a button; without words, take the last answer back."""
        self.notice, self.stop_other = notice, stop_other

    def show(self) -> None:
        """Publish the outcome of a sweep that has already ended, instead of `start`."""
        self.started = True
        self.settle()

    def extend(self, end_lr: float | None) -> None:
        """Extend the sweep to a higher rate, by default ten times its current end.

        Raises:
            TypeError, ValueError: `end_lr` is not a rate, or not above the current end.
            RuntimeError: the sweep is not under way, or its runner cannot extend it.
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
        """The runner that has replaced this run's runner, if any."""
        return None if self._sweeps is None else self._sweeps.replacement

    def close(self) -> None:
        """Stop, wait for both threads, and release the task; the rows stay."""
        super().close()
        self._span, self._sweeps, self.overrides = self.span, None, NONE

    def _describe(self) -> Detail:
        end = self.outcome
        return {
            "reason": end.reason if end else "",
            "traceback": end.traceback if end else None,
            "stop_reason": end.stop_reason if end else None,
            "suggestions": end.suggestions if end else {},
            "landmarks": end.landmarks if end else {},
            "confidence": end.confidence if end else None,
            # Of the suggestions of the single sweeps, in decades; None without repeats.
            "spread": end.spread if end else None,
            # Only at the end: a running clock would make every status differ from the last.
            "elapsed": round(end.elapsed, 3) if end else 0.0,
            "span": list(self.span),
            "elsewhere": self._elsewhere,
            "extends": self._extends,
            # The number of steps that the Extend button adds to each sweep.
            "budget": self.budget,
            "adds": 0 if self._sweeps is None else self._sweeps.steps_to(10 * self.span[1]),
            # For the page's snippets.
            "optimizer": optimizer_code(self.records.meta),
            "blocked": self.stop_other is not None,
            "notice": self.notice or (self._sweeps.notice if self._sweeps is not None else ""),
        }

    def _suggest(self, end: RunEnd) -> Outcome:
        records = self.records
        lr, reason, confidence, spread = None, "", None, None
        landmarks = Landmarks()
        by_rule: dict[str, float | None] = {}
        try:
            suggestion = records.suggestion
            lr = number_or_none(suggestion.lr)
            # Advice about the sweep's range does not help if the model failed.
            failed = records.stop_reason is StopReason.FAILED
            reason = "" if failed and lr is None else suggestion.reason
            confidence, spread = suggestion.confidence, number_or_none(suggestion.spread)
            landmarks = Landmarks(
                falls_at=number_or_none(suggestion.falls_at),
                minimum=number_or_none(suggestion.minimum),
                explodes_at=number_or_none(suggestion.explodes_at),
            )
            by_rule = {rule: number_or_none(rate) for rule, rate in records.suggestions.items()}
            refinement = records.refinement
            if refinement is not None and refinement.lr is not None:
                # Records that were added: the page has no trials to show for the rate.
                self.refined = dataclasses.replace(end, suggestion=refinement.lr)
                chosen = f"trials after the sweep chose {rate_in_words(refinement.lr)}"
                reason = "; ".join(filter(None, (reason, chosen)))
        except Exception:
            logger.exception("no rate could be suggested")
            reason = "the rules failed on this curve; the log has the details"
        return Outcome(
            **dataclasses.asdict(dataclasses.replace(end, suggestion=lr)),
            stop_reason=None if records.stop_reason is None else str(records.stop_reason),
            reason=reason,
            confidence=confidence,
            spread=spread,
            landmarks=landmarks,
            suggestions=by_rule,
        )
