"""One check of the widget: trains at a few rates in the background and shows them live."""

import dataclasses
from itertools import pairwise, zip_longest

import numpy as np
from numpy.typing import NDArray

from lrwidget.engine.runner import Runner, RunState
from lrwidget.records.check_results import CheckResults
from lrwidget.records.table import StopReason
from lrwidget.stream.protocol import CheckDetail, number_or_none
from lrwidget.stream.sender import PageState
from lrwidget.widget.background import BackgroundRun, RunEnd


class Trials:
    """The rows of all trials of a check, in trial order; safe to read from any thread."""

    def __init__(self, results: CheckResults) -> None:
        self._trials = results.trials

    def rows(self, offset: int = 0) -> NDArray[np.float64]:
        """Return a copy of the rows (n, 2), lr and loss, from `offset` on."""
        parts = []
        for trial, following in zip_longest(self._trials, self._trials[1:]):
            # Read before the rows: once the next trial has begun, this one is complete.
            last = following is None or following.stop_reason is None
            rows = trial.rows(max(0, offset))
            parts.append(rows)
            if last:
                break
            offset -= len(trial)
        return np.concatenate(parts)

    @property
    def sweep_starts(self) -> list[int]:
        """The first row of each started trial; an empty trial starts at its end."""
        starts = [0]
        for trial, following in pairwise(self._trials):
            if following.stop_reason is None:
                break
            starts.append(starts[-1] + len(trial))
        return starts

    def __len__(self) -> int:
        return sum(len(trial) for trial in self._trials)


class CheckRun(BackgroundRun[CheckResults, RunEnd]):
    """A check that the widget runs.

    Args:
        number: identifies the check in messages; a newer check has a higher number.
        runner: runs the check; not started yet.
        page: sends the messages.
    """

    what = "check"
    records: Trials

    def __init__(self, number: int, runner: Runner[CheckResults], page: PageState) -> None:
        super().__init__(
            number, runner, page, "check", detail=self._describe, conclude=self._choose
        )
        self.results: CheckResults = runner.result
        self.records = Trials(self.results)

    def _describe(self) -> CheckDetail:
        trials, end = self.results.trials, self.outcome
        reasons = [trial.stop_reason and trial.stop_reason.value for trial in trials]
        if end is None:
            # A trial counts as stopped until it ends in another way.
            reasons = [None if reason == StopReason.STOPPED else reason for reason in reasons]
        return {
            "lrs": self.results.lrs,
            "final_losses": [number_or_none(loss) for loss in self.results.ranking],
            "stop_reasons": reasons,
            "traceback": end.traceback if end else None,
            "notice": self._notice(),
        }

    def _notice(self) -> str:
        if self.outcome is not None:
            return self.results.not_the_rates
        return "" if self._runner is None else self._runner.notice

    def _choose(self, end: RunEnd) -> RunEnd:
        # Trials of different lengths cannot be compared.
        best = self.results.best if end.state == RunState.FINISHED else None
        return dataclasses.replace(end, suggestion=best)
