"""A runner for the records of an earlier sweep, to show them beside new ones."""

import math
from collections.abc import Generator
from typing import Any

import numpy as np

from lrwidget.engine.runner import ENDED, RunState, Work
from lrwidget.records.records import LRRecords
from lrwidget.records.table import StopReason
from lrwidget.sources.base import RecordsRunner
from lrwidget.task.options import SweepOptions


class RecordedRunner(RecordsRunner):
    """The runner of a sweep that has ended.

    Args:
        records: the records of the sweep.
    """

    cannot_refine = (
        "these records were added, and do not tell which task they are of; start() a sweep of "
        "this widget's task, or call refine(task, records)"
    )

    def __init__(self, records: LRRecords) -> None:
        self._span = _span_of(records)
        super().__init__(Work(_nothing), records, _steps_of(records))
        self.state: RunState = ENDED[records.stop_reason or StopReason.STOPPED]
        self._work = None

    @property
    def span(self) -> tuple[float, float]:
        """The ends of the range of rates; those of the rows if meta holds no options."""
        return self._span


def _nothing() -> Generator[None, None, StopReason]:
    yield from ()
    return StopReason.STOPPED


def _steps_of(records: LRRecords) -> int:
    """Return the planned number of steps; that of the rows if meta holds no options."""
    options: Any = records.meta.get("options")
    try:
        planned = SweepOptions(steps=options["steps"], repeats=options["repeats"])
    except (TypeError, ValueError, KeyError):
        return len(records)
    return max(planned.steps * planned.repeats, len(records))


def _span_of(records: LRRecords) -> tuple[float, float]:
    options: Any = records.meta.get("options")
    try:
        swept = SweepOptions(start_lr=options["start_lr"], end_lr=options["end_lr"])
    except (TypeError, ValueError, KeyError):
        rates = records.lr
        rates = rates[np.isfinite(rates) & (rates > 0)]
        if rates.size == 0:
            usual = SweepOptions()
            return usual.start_lr, usual.end_lr
        low, high = float(rates.min()), float(rates.max())
        # An axis needs two ends.
        return (low, high) if low < high else (low / 2, min(high * 2, math.nextafter(math.inf, 0)))
    return swept.start_lr, swept.end_lr
