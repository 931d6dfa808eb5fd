"""One refinement of the widget: short trials in the background, shown live."""

import dataclasses
import threading

import numpy as np
from numpy.typing import NDArray

from lrwidget.engine.runner import RunState
from lrwidget.records.refinement import Refinement, Trial
from lrwidget.records.table import RecordsTable, StopReason
from lrwidget.sources.base import RefinementRunner
from lrwidget.stream.protocol import number_or_none
from lrwidget.stream.refinement import RefinementDetail, TrialDetail
from lrwidget.stream.sender import PageState
from lrwidget.validation import whole_number
from lrwidget.widget.background import BackgroundRun, RunEnd
from lrwidget.widget.sweep_run import SweepRun

# Steps that the button adds to the budget.
MORE_STEPS = 500


class TrialRows:
    """The rows of all trials in one table, each with the rate of its trial.

    A trial may be continued after others have run, and several may run at once, so the rows are
    appended as they are found. Safe to read from any thread.
    """

    def __init__(self, result: Refinement) -> None:
        self._result = result
        self._lock = threading.Lock()
        self._table = RecordsTable()
        self._read: list[tuple[Trial, int]] = []  # a trial, and how many of its rows were read
        self._dropped: dict[int, int] = {}

    def rows(self, offset: int = 0) -> NDArray[np.float64]:
        """Return a copy of the rows (n, 2), rate and loss, from `offset` on."""
        with self._lock:
            self._read_on()
            return self._table.rows(offset)

    def __len__(self) -> int:
        with self._lock:
            self._read_on()
            return len(self._table)

    @property
    def sweep_starts(self) -> list[int]:
        """The rows are not divided: the rate tells the trial."""
        return [0]

    def dropped(self, trial: Trial) -> int:
        """Return the number of rows with the rate of a trial from before it began anew."""
        with self._lock:
            self._read_on()
            return self._dropped.get(id(trial), 0)

    def _read_on(self) -> None:
        known = {id(trial) for trial, _ in self._read}
        self._read += [(one, 0) for one in list(self._result.trials) if id(one) not in known]
        for i, (trial, done) in enumerate(self._read):
            if id(trial) not in self._dropped:
                before = [n for other, n in self._read[:i] if other.lr == trial.lr]
                self._dropped[id(trial)] = sum(before)
            fresh = trial.records.rows(done)
            for loss in fresh[:, 1].tolist():
                self._table.append(trial.lr, loss)
            self._read[i] = (trial, done + len(fresh))


class RefineRun(BackgroundRun[Refinement, RunEnd]):
    """A refinement that the widget runs.

    Args:
        number: identifies the refinement in messages; a newer one has a higher number.
        runner: runs the trials; not started yet.
        page: sends the messages.
        sweep: the run whose suggestion is refined.
    """

    what = "refinement"
    records: TrialRows

    def __init__(
        self, number: int, runner: RefinementRunner, page: PageState, sweep: SweepRun
    ) -> None:
        super().__init__(
            number,
            runner,
            page,
            "refinement",
            detail=self._describe,
            conclude=self._choose,
            sweep=sweep.number,
        )
        self.result: Refinement = runner.result
        self.records = TrialRows(self.result)
        self.sweep: SweepRun = sweep
        self._trials: RefinementRunner | None = runner
        self._kept_in = runner.kept_in

    @property
    def rates(self) -> list[float]:
        """The rates that were tried, and the one that was chosen."""
        rates = [trial.lr for trial in list(self.result.trials)]
        end = self.outcome
        return rates if end is None or end.suggestion is None else [*rates, end.suggestion]

    def extend(self, budget: int | None) -> None:
        """Raise the budget, by default by MORE_STEPS.

        Raises:
            TypeError, ValueError: `budget` is not a whole number above the current budget.
            RuntimeError: the refinement has ended.
        """
        least = self.result.budget + 1
        budget = least - 1 + MORE_STEPS if budget is None else whole_number("budget", budget, least)
        if self._trials is None or not self.under_way:
            raise RuntimeError(
                f"the refinement is {self.state}, and only one that is running or paused can be "
                f"extended; call refine(budget={budget})"
            )
        self._trials.extend(budget)

    def close(self) -> None:
        """Stop, wait for both threads, and release the task; the rows stay."""
        super().close()
        self._trials = None

    def _describe(self) -> RefinementDetail:
        result, end = self.result, self.outcome
        return {
            "sweep": self.sweep.number,
            "sweep_steps": result.sweep_steps,
            "trials": [self._describe_trial(trial) for trial in list(result.trials)],
            "best": number_or_none(result.best),
            # Only at the end: the reason counts the steps.
            "reason": result.reason if end else "",
            "confidence": result.confidence if end else None,
            "untrained": number_or_none(result.untrained),
            "held_out": result.held_out,
            "planned_steps": result.planned_steps,
            "kept_bytes": result.kept_bytes,
            "kept_in": self._kept_in,
            "traceback": end.traceback if end else None,
            "notice": "" if self._runner is None else self._runner.notice,
        }

    def _describe_trial(self, trial: Trial) -> TrialDetail:
        reason = trial.records.stop_reason
        if reason is StopReason.STOPPED and self.outcome is None:
            reason = None  # a trial counts as stopped until it ends in another way
        return {
            "lr": trial.lr,
            "dropped": self.records.dropped(trial),
            "held_out": [(step, loss) for step, loss in list(trial.held_out.items())],
            "stop_reason": reason and reason.value,
        }

    def _choose(self, end: RunEnd) -> RunEnd:
        if end.state == RunState.FAILED:
            return end
        end = dataclasses.replace(end, suggestion=number_or_none(self.result.lr))
        self.sweep.refined = end
        return end
