"""The check's part of the widget: which rates, one check at a time, and what the page hears."""

from collections.abc import Sequence
from typing import Any

from lrwidget.records.check_results import CheckResults
from lrwidget.sources.base import Source
from lrwidget.stream.protocol import rows_message, saved
from lrwidget.stream.sender import PageState
from lrwidget.widget.background import BackgroundRun
from lrwidget.widget.base import ThreadSafeWidget
from lrwidget.widget.check_run import CheckRun
from lrwidget.widget.sweep_run import SweepRun
from lrwidget.widget.traits import LiveAny


def rates_around(lr: float, span: tuple[float, float]) -> list[float]:
    """A third of a rate, the rate, and three times it, within the range of a sweep."""
    return [min(max(rate, span[0]), span[1]) for rate in (lr / 3, lr, 3 * lr)]


class CheckWidget(ThreadSafeWidget):
    """The check's part of the widget: its method, its state, and its conversation with the page."""

    # The value only says when to send; what is sent is all of the check, encoded at that moment.
    _check = LiveAny(None).tag(sync=True, to_json=lambda _, widget: widget._saved_check())

    lr: Any
    _source: Source | None = None  # also where construction failed
    _page: PageState
    _checking: CheckRun | None = None
    _checks = 0
    # What wait() waits for: the sweep or the check, whichever was started last.
    _latest: BackgroundRun[Any, Any] | None = None

    def check(self, lrs: Sequence[float] | None = None, steps: int = 100) -> CheckResults:
        """Train a few steps at each of a few rates in the background, to see which is best.

        Each rate starts from the model's present state and gets the same batches; the model is
        restored after each. The curves are drawn below the chart, and at the end the best rate is
        offered there; the marker stays where it is. `stop()` ends it, `wait()` waits for it.

        Args:
            lrs: learning rates for the first param group; by default a third of, at, and three
                times the chosen one, within the sweep's range.
            steps: optimizer steps at each rate, at least 2.

        Returns:
            The results, which fill while it runs: `.frame`, `.summary`, `.best`.

        Raises:
            ValueError: there is neither `lrs` nor a chosen rate, or they are no learning rates, or
                the data can be read only once.
            TypeError: `lrs` or `steps` is of another type.
            RuntimeError: a sweep or a check is under way, or the widget is closed.
        """
        with self._lock:
            source, run = self._open_source, self._current
            self._refuse_while_under_way("check")
            if lrs is None:
                if self.lr is None:
                    raise ValueError(
                        "there is no learning rate to check yet; run the sweep, pick a rate, or "
                        "say which: check(lrs=[1e-3, 1e-2])"
                    )
                lrs = rates_around(self.lr, run.span)
            runner = source.checker(lrs, steps, run.overrides)
            check = CheckRun(self._checks + 1, runner, self._page)
            check.start()
            previous, self._checking, self._latest = self._checking, check, check
            self._checks = check.number
            if previous is not None:
                previous.close()
            self._catch_up()
            return check.results

    @property
    def _open_source(self) -> Source:
        """Where runs come from; raises in words where the widget is closed."""
        if self._source is None:
            raise RuntimeError("the widget is closed; make a new LRFinderWidget")
        return self._source

    def _refuse_while_under_way(self, what: str) -> None:
        """Raise in words where a sweep or a check is under way."""
        check = self._checking
        for run in self._under_way():
            state = f"already {run.state}" if what == "sweep" else run.state
            mend = "resume() it" if run.state == "paused" else "wait() for it"
            raise RuntimeError(f"the sweep is {state}; {mend}, or stop() it first")
        if check is not None and check.under_way:
            state = "already running" if what == "check" else "running"
            raise RuntimeError(f"a check is {state}; wait() for it, or stop() it first")

    def _under_way(self) -> list[SweepRun]:
        """The sweeps that are under way."""
        raise NotImplementedError

    @property
    def _current(self) -> SweepRun:
        """The active run."""
        raise NotImplementedError

    def _forget_check(self) -> None:
        """Stop a check that is under way, and show none."""
        check = self._checking
        if check is not None:
            check.close()
            self._checking = None

    def _check_news(self) -> dict[str, Any]:
        check = self._checking
        return {"_check": None if check is None else (check.number, check.state)}

    def _saved_check(self) -> dict[str, Any] | None:
        check = self._checking
        return None if check is None else saved(check.status(), check.records, "check")

    def _tell_check(self, offset: int = 0) -> None:
        """Send the rows of the check from `offset` on, and all there is to say; nothing if none."""
        check = self._checking
        if check is not None:
            status, table = check.status(), check.records
            self.send(*rows_message(status, table, offset, kind="check", detail=True))
