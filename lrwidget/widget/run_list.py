"""The widget's runs: starting and ending them, naming them, and telling the page of them."""

import time
from collections.abc import Sequence
from typing import Any

from lrwidget.records.records import LRRecords
from lrwidget.sources.base import NONE, Overrides
from lrwidget.sources.recorded import RecordedRunner
from lrwidget.stream.protocol import rows_message, saved
from lrwidget.stream.threads import in_background
from lrwidget.widget.background import BackgroundRun
from lrwidget.widget.check_widget import CheckWidget
from lrwidget.widget.figure import STYLES
from lrwidget.widget.labels import label_of, unique_label, validate_label
from lrwidget.widget.sweep_run import SweepRun
from lrwidget.widget.traits import LiveAny


class RunsWidget(CheckWidget):
    """The runs' part of the widget.

    One of them is the active run, which the traits, `records`, `check()` and `apply()` speak of:
    the one started last, until `activate()` makes it another. Before the first start it is one that
    is not among `runs`.
    """

    # The active run's number; number, label and style of all; whether several may be under way.
    _legend = LiveAny().tag(sync=True)
    # Never set: all rows of all runs, encoded whenever the state is asked for. A page that opens or
    # reloads, and a notebook that is saved, get everything with the state.
    _runs = LiveAny(None).tag(sync=True, to_json=lambda _, widget: widget._saved_runs())

    lr_range: Any
    _hidden: Any
    _run: SweepRun | None = None
    _kept: dict[int, SweepRun]

    # -- what a person does with them -----------------------------------------------------------

    def start(self, *, label: str | None = None, **options: Any) -> None:
        """Run a sweep in the background; returns at once. Earlier runs stay beside it.

        Args:
            label: what the run is called; by default what is different about it ("batch_size=64"),
                or how many there were ("run 1"). A label that is taken gets a number after it.
            options: any argument of the constructor but `height` and `layout`, for this run only:
                `start(batch_size=64)`, `start(optimizer=torch.optim.Adam, end_lr=0.1)`. Without
                them it runs with the constructor's. With `batch_size` a ready DataLoader is made
                anew over its data set.

        Raises:
            RuntimeError: a sweep or a check is under way, or the widget is closed.
            TypeError, ValueError: what was given, what is expected, and how to mend it.
        """
        named = None if label is None else validate_label(label)
        with self._lock:
            if not self._open_source.parallel:
                self._refuse_while_under_way("sweep")
            run = self._current
            name = self._free_label(named or label_of(options) or f"run {self._starts + 1}")
            if options or run.started or run.number != self._numbers:
                run = self._new_run(name, options)
            run.label = name
            run.start()
            self._starts += 1
            self._keep(run)
            self._latest = run
            self._make_active(run)

    def pause(self) -> None:
        """Pause after the step in hand; nothing happens unless it is running."""
        for run in self._under_way():
            run.pause()

    def resume(self) -> None:
        """Go on after a pause; nothing happens unless it is paused."""
        for run in self._under_way():
            run.resume()

    def extend(self, end_lr: float | None = None) -> None:
        """Let the sweep go on to a higher rate, as dense as before.

        With `spacing="log"` at the same steps per decade; with "linear" at the same difference
        between rates, so that ten times the end takes about nine times the steps so far. The rates
        up to the present end stay as they are; the last is exactly `end_lr`.

        Args:
            end_lr: the new end, above the present one; by default ten times as high.

        Raises:
            TypeError, ValueError: it is no rate, or not above the present end.
            RuntimeError: no sweep is running or paused, or several processes run it.
        """
        with self._lock:
            active, under_way = self._current, self._under_way()
            run = active if active.under_way or not under_way else under_way[0]
            run.extend(end_lr)
            self._catch_up()

    def stop(self) -> None:
        """End what is under way, sweep or check, after the step in hand; the rows are kept."""
        for run in self._under_way():
            run.stop()
        if self._checking is not None:
            self._checking.stop()

    def wait(self, timeout: float | None = None) -> LRRecords:
        """Block until the sweep, or the check, has ended and the model is restored.

        Where several sweeps are under way it waits for all of them. An interrupt
        (KeyboardInterrupt) ends the waiting only; the sweep goes on.

        The kernel may hear what was picked in the page meanwhile only when the cell ends: `lr` is
        the suggestion until then, so read it in the next cell.

        Returns:
            The records of the active run; `check()` has returned those of the check.

        Args:
            timeout: seconds to wait at most; None waits without end.

        Raises:
            RuntimeError: no sweep has been started, so there is nothing to wait for.
            TimeoutError: it has not ended in time; it goes on.
            Exception: what the model, the loss or the data raised.
        """
        latest, active = self._latest, self._current
        if in_background():
            raise RuntimeError("wait() inside the sweep would wait for itself; call it elsewhere")
        if latest is None:
            raise RuntimeError("no sweep has been started; press Start or call start() first")
        awaited: list[BackgroundRun[Any, Any]] = [
            latest,
            *(run for run in self._under_way() if run is not latest),
        ]
        deadline = None if timeout is None else time.monotonic() + timeout
        for work in awaited:
            while True:
                left = 0.5 if deadline is None else min(0.5, deadline - time.monotonic())
                ended = work.wait(max(0.0, left))
                # Observers and linked widgets live on while this cell waits.
                self._catch_up(tell=True)
                if ended:
                    if work.replacement is not None:
                        awaited.append(work.replacement)
                    break
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError(f"the {work.what} has not ended in {timeout} s; it goes on")
        for work in awaited:
            work.raise_error()
        while active.replacement is not None:
            active = active.replacement
        return active.records

    def add(self, records: LRRecords, label: str | None = None) -> LRRecords:
        """Show records beside the runs, from `lr_find`, another widget or `LRRecords.load`.

        Args:
            records: what is shown, as it is now.
            label: what it is called; by default as before, or "records".

        Returns:
            The copy that is shown, for `activate`, `rename` and `remove`.

        Raises:
            TypeError: not LRRecords.
            RuntimeError: the widget is closed.
        """
        if not isinstance(records, LRRecords):
            raise TypeError(
                f"records is a {type(records).__name__}; expected LRRecords, as lr_find() returns "
                "and LRRecords.load(path) reads them"
            )
        named = None if label is None else validate_label(label)
        with self._lock:
            _ = self._open_source
            run = SweepRun(self._next_number(), RecordedRunner(records.copy()), self._page)
            run.label = self._free_label(named or _label_in(records) or "records")
            run.show()
            self._keep(run)
            self._catch_up()
            self._tell(run)
            self._save_where_no_page_does()
            return run.records

    def activate(self, run: LRRecords | str) -> None:
        """Make a run the active one: the marker, the suggestion and `records` then refer to it.

        Your own pick stays where it is.

        Args:
            run: its records, or its label.

        Raises:
            RuntimeError: another one is under way, or a check.
            ValueError, TypeError: there is no such run.
        """
        self._activate(self._find(run))

    def rename(self, run: LRRecords | str, label: str) -> None:
        """Give a run another label; one that is taken gets a number after it.

        Args:
            run: its records, or its label.
            label: the new one.

        Raises:
            ValueError, TypeError: there is no such run, or the label is no name.
        """
        self._rename(self._find(run), label)

    def remove(self, run: LRRecords | str) -> None:
        """Forget a run; where it was the active one, the last of the others becomes it.

        Args:
            run: its records, or its label.

        Raises:
            RuntimeError: it is under way, or a check is.
            ValueError, TypeError: there is no such run.
        """
        self._remove(self._find(run))

    def reset(self) -> None:
        """Back to idle: stop what is under way, forget all runs, the check, the pick, its range."""
        _ = self._open_source
        # Not under the lock: the sweep may be in the middle of a long step.
        self._close_runs()
        self._forget_check()
        with self._lock:
            self._latest = None
            self._kept.clear()
            self._hidden = ()
            self.lr = self.lr_range = None
            self._page.picked = False
            self._make_active(self._new_run())
            self._tell()

    @property
    def runs(self) -> list[LRRecords]:
        """The records of all runs that were started or added, in that order."""
        self._catch_up()
        return [run.records for run in self._all]

    @property
    def records(self) -> LRRecords:
        """The rows of the active run so far, empty before the first."""
        self._catch_up()
        return self._current.records

    # -- what the page may ask for too, by SweepRun ------------------------------------------------

    def _activate(self, run: SweepRun) -> None:
        with self._lock:
            if run is self._run:
                return
            if not self._open_source.parallel:
                self._refuse_while_under_way("run")
            self._current.notice = ""
            self._make_active(run)
            self._tell()

    def _rename(self, run: SweepRun, label: str) -> None:
        label = validate_label(label)
        with self._lock:
            run.label = ""  # its own is free
            run.label = self._free_label(label)
            self._catch_up()

    def _remove(self, run: SweepRun) -> None:
        with self._lock:
            if run.under_way:
                raise RuntimeError(f"{run.label!r} is {run.state}; stop() it and wait() first")
            if self._checking is not None and self._checking.under_way:
                raise RuntimeError("a check is running; wait() for it, or stop() it first")
            del self._kept[run.number]
            self._hidden = [number for number in self._hidden if number in self._kept]
            run.close()
            if self._latest is run:
                self._latest = None
            if run is self._run:
                others = self._all
                self._make_active(others[-1] if others else self._new_run())
                self._tell()
            self._catch_up()

    # -- the book of runs -------------------------------------------------------------------------

    def _open_runs(self) -> None:
        """The beginning: nothing but a run that may be started."""
        self._kept, self._numbers, self._starts = {}, 0, 0
        self._run = self._new_run()
        self._page.active = self._run.number

    def _new_run(self, label: str = "", overrides: Overrides = NONE) -> SweepRun:
        runner = self._open_source.runner(label, overrides)
        return SweepRun(self._next_number(), runner, self._page, overrides)

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _keep(self, run: SweepRun) -> None:
        used = {other.style for other in self._all}
        free = [style for style in range(STYLES) if style not in used]
        run.style = free[0] if free else run.number % STYLES
        self._kept[run.number] = run

    def _adopt_replacements(self) -> None:
        """Show what has gone on in place of a run as a run of its own."""
        for run in self._all:
            if run.next_runner is None or run.replacement is not None or self._source is None:
                continue
            replacement = SweepRun(self._next_number(), run.next_runner, self._page, run.overrides)
            replacement.label = self._free_label(run.label)
            replacement.start()
            self._keep(replacement)
            run.replacement = replacement
            if self._latest is run:
                self._latest = replacement
            if self._run is run:
                self._make_active(replacement)

    def _make_active(self, run: SweepRun) -> None:
        self._run = run
        self._page.active = run.number
        self._catch_up()

    @property
    def _all(self) -> list[SweepRun]:
        return list(self._kept.values())

    def _under_way(self) -> list[SweepRun]:
        return [run for run in self._all if run.under_way]

    def _close_runs(self) -> None:
        for run in [self._current, *self._all]:
            run.close()

    def _free_label(self, label: str) -> str:
        return unique_label(label, {run.label for run in self._all})

    def _find(self, run: object) -> SweepRun:
        if not isinstance(run, (LRRecords, str)):
            raise TypeError(f"run is {run!r}; expected its records, one of w.runs, or its label")
        for kept in self._all:
            if kept.records is run or kept.label == run:
                return kept
        labels = ", ".join(repr(kept.label) for kept in self._all) or "none yet"
        what = repr(run) if isinstance(run, str) else "with these records"
        raise ValueError(f"there is no run {what}; there are: {labels}")

    @property
    def _current(self) -> SweepRun:
        assert self._run is not None
        return self._run

    # -- for the page ---------------------------------------------------------------------------

    def _runs_news(self) -> dict[str, Any]:
        runs = [[run.number, run.label, run.style] for run in self._all]
        source = self._source
        parallel = source is not None and source.parallel
        return {"_legend": {"active": self._current.number, "runs": runs, "parallel": parallel}}

    def _shown(self) -> Sequence[SweepRun]:
        """All that the page is to know of: the active run, whether it was started or not, last."""
        active = self._current
        return [*(run for run in self._all if run is not active), active]

    def _saved_runs(self) -> list[dict[str, Any]]:
        return [saved(run.status(), run.records) for run in self._shown()]

    def _save_where_no_page_does(self) -> None:
        """Send all rows in the state where no page has said hello.

        Whoever executes the notebook without one saves it with that state.
        """
        if not self._page.greeted:
            self.send_state("_runs")

    def _tell(
        self,
        run: SweepRun | None = None,
        kind: str = "rows",
        offset: int | None = 0,
        **more: Any,
    ) -> None:
        """Send rows from `offset` on, and all there is to say; by default of the active run."""
        active = self._current
        run = active if run is None else run
        if run is active and run.outcome is not None and not self._page.picked:
            more["lr"] = self._page.clamp(run.outcome.suggestion)
        self.send(*rows_message(run.status(), run.records, offset, kind=kind, detail=True, **more))


def _label_in(records: LRRecords) -> str | None:
    """The label that records bring with them, where it is one."""
    try:
        return validate_label(records.meta.get("label"))
    except (TypeError, ValueError):
        return None
