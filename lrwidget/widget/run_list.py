"""Keeps, starts and ends the runs of a widget. Does not depend on Jupyter."""

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lrwidget.records.check_results import CheckResults
from lrwidget.records.records import LRRecords
from lrwidget.sources.base import NONE, Overrides, Source
from lrwidget.sources.recorded import RecordedRunner
from lrwidget.stream.sender import PageState
from lrwidget.stream.threads import in_background
from lrwidget.text.articles import a_kind
from lrwidget.validation import number
from lrwidget.widget.background import BackgroundRun
from lrwidget.widget.check_run import CheckRun
from lrwidget.widget.labels import label_of, unique_label, validate_label
from lrwidget.widget.refine_run import RefineRun
from lrwidget.widget.sweep_run import SweepRun


class RunList:
    """The sweeps of a widget, in the order of their starts, its check and its refinement.

    One run is active: the last one started, until another is activated. Before the first start the
    active run is not in `kept`. A thread that changes the list must hold the widget's lock; any
    thread may read it.

    Args:
        source: creates the runs.
        page: receives their rows.

    Attributes:
        kept: the started and added runs, by number.
        active: the active run.
        check: the last check; None before the first.
        refinement: the last refinement; None before the first.
        latest: the last sweep, check or refinement that was started.
    """

    def __init__(self, source: Source, page: PageState) -> None:
        self.kept: dict[int, SweepRun] = {}
        self.check: CheckRun | None = None
        self.refinement: RefineRun | None = None
        self.latest: BackgroundRun[Any, Any] | None = None
        self._source: Source | None = source
        self._page = page
        self._numbers = self._starts = self._checks = self._refinements = 0
        self.active: SweepRun = self._new_run()
        page.active = self.active.number

    # -- reading --------------------------------------------------------------------------------

    @property
    def all(self) -> list[SweepRun]:
        """The started and added runs, in that order."""
        return list(self.kept.values())

    @property
    def shown(self) -> Sequence[SweepRun]:
        """The runs that the page shows; the active one is last, even if not started."""
        return [*(run for run in self.all if run is not self.active), self.active]

    @property
    def under_way(self) -> list[SweepRun]:
        """The runs that are running or paused."""
        return [run for run in self.all if run.under_way]

    @property
    def trying(self) -> list[CheckRun | RefineRun]:
        """The check and the refinement, as far as there are any."""
        return [run for run in (self.check, self.refinement) if run is not None]

    @property
    def at_rest(self) -> bool:
        """Whether no sweep, check or refinement is under way."""
        return not self.under_way and not any(run.under_way for run in self.trying)

    @property
    def source(self) -> Source:
        """The source of the runs; raises RuntimeError if the widget is closed."""
        if self._source is None:
            raise RuntimeError("the widget is closed; make a new LRFinderWidget")
        return self._source

    @property
    def closed(self) -> bool:
        """Whether the widget is closed."""
        return self._source is None

    @property
    def parallel(self) -> bool:
        """Whether several sweeps may be under way at once."""
        return self._source is not None and self._source.parallel

    def find(self, run: object) -> SweepRun:
        """Return the run with these records or this label; else raise ValueError or TypeError."""
        if not isinstance(run, (LRRecords, str)):
            raise TypeError(f"run is {run!r}; expected its records, one of w.runs, or its label")
        for kept in self.all:
            if kept.records is run or kept.label == run:
                return kept
        labels = ", ".join(repr(kept.label) for kept in self.all) or "none yet"
        what = repr(run) if isinstance(run, str) else "with these records"
        raise ValueError(f"there is no run {what}; there are: {labels}")

    def clamp(self, lr: float | None) -> float | None:
        """Return the nearest rate within the active run's range.

        The range includes the rates that its refinement has tried or chosen.
        """
        if lr is None:
            return None
        rates = [*self.active.span]
        if self.active.rate is not None:
            rates.append(self.active.rate)
        if self.refinement is not None and self.refinement.sweep is self.active:
            rates += self.refinement.rates
        return min(max(lr, min(rates)), max(rates))

    # -- starting -------------------------------------------------------------------------------

    def start(self, label: str | None, options: Mapping[str, Any]) -> None:
        """Start a sweep and make it the active run; see `LRFinderWidget.start`."""
        named = None if label is None else validate_label(label)
        if not self.source.parallel:
            self._refuse_while_under_way("sweep")
        run = self.active
        name = self._unique(named or label_of(options) or f"run {self._starts + 1}")
        if options or run.started or run.closed or run.number != self._numbers:
            run = self._new_run(name, options)
        run.label = name
        run.start()
        run.answer("")
        self._starts += 1
        self._keep(run)
        self.latest = run
        self._make_active(run)

    def start_check(
        self, lrs: Sequence[float] | None, steps: int, lr: float | None
    ) -> CheckResults:
        """Start a check, by default around the rate `lr`; see `LRFinderWidget.check`."""
        source = self.source
        self._refuse_while_under_way("check")
        if lrs is None:
            if lr is None:
                raise ValueError(
                    "there is no learning rate to check yet: the active run has suggested none; "
                    "run a sweep, pick a rate, or say which: check(lrs=[1e-3, 1e-2])"
                )
            lrs = rates_around(lr, self.active.span)
        runner = source.checker(lrs, steps, self.active.overrides)
        check = CheckRun(self._checks + 1, runner, self._page)
        check.start()
        previous, self.check, self.latest = self.check, check, check
        self._checks = check.number
        if previous is not None:
            previous.close()
        return check.results

    def start_refinement(self, budget: int, planned_steps: int | None, held_out: Any) -> RefineRun:
        """Refine the suggestion of the active run; see `LRFinderWidget.refine`."""
        source, sweep = self.source, self.active
        self._refuse_while_under_way("refinement")
        if sweep.cannot_refine:
            raise RuntimeError(sweep.cannot_refine)
        if not len(sweep.records):
            raise ValueError(
                "there is no sweep yet whose suggestion could be refined: start() one and wait() "
                "for it first"
            )
        runner = source.refiner(sweep.records, budget, planned_steps, held_out, sweep.overrides)
        refinement = RefineRun(self._refinements + 1, runner, self._page, sweep)
        refinement.start()
        previous, self.refinement, self.latest = self.refinement, refinement, refinement
        self._refinements = refinement.number
        if previous is not None:
            previous.close()
        return refinement

    def add(self, records: LRRecords, label: str | None) -> SweepRun:
        """Add a copy of records as a run that has ended; see `LRFinderWidget.add`."""
        if not isinstance(records, LRRecords):
            raise TypeError(
                f"records is {a_kind(records)}; expected LRRecords, as lr_find() returns "
                "and LRRecords.load(path) reads them"
            )
        named = None if label is None else validate_label(label)
        _ = self.source
        run = SweepRun(self._next_number(), RecordedRunner(records.copy()), self._page)
        run.label = self._unique(named or _label_in(records) or "records")
        run.show()
        self._keep(run)
        return run

    def adopt_replacements(self) -> None:
        """Start the runners that have replaced others, each as a new run."""
        for run in self.all:
            if run.next_runner is None or run.replacement is not None or self.closed:
                continue
            replacement = SweepRun(self._next_number(), run.next_runner, self._page, run.overrides)
            replacement.label = self._unique(run.label)
            replacement.start()
            self._keep(replacement)
            run.replacement = replacement
            if self.latest is run:
                self.latest = replacement
            if self.active is run:
                self._make_active(replacement)

    # -- while something is under way -------------------------------------------------------------

    def pause(self) -> None:
        """Pause the sweeps and the refinement."""
        for run in self._with_refinement():
            run.pause()

    def resume(self) -> None:
        """Resume the sweeps and the refinement."""
        for run in self._with_refinement():
            run.resume()

    def extend(self, end_lr: float | None, budget: int | None) -> None:
        """Extend the refinement, or the active sweep, or the first one that is under way."""
        refinement = self.refinement
        if end_lr is not None and budget is not None:
            raise ValueError("give end_lr, of a sweep, or budget, of a refinement, but not both")
        if refinement is not None and end_lr is None and (refinement.under_way or budget):
            refinement.extend(budget)
            return
        if budget is not None:
            raise RuntimeError(
                "there is no refinement whose budget could be raised; start one with "
                f"refine(budget={budget!r})"
            )
        under_way = self.under_way
        run = self.active if self.active.under_way or not under_way else under_way[0]
        run.extend(end_lr)

    def stop(self) -> None:
        """Stop the sweeps, the check and the refinement."""
        for run in (*self.under_way, *self.trying):
            run.stop()

    def wait(self, timeout: float | None, meanwhile: Callable[[], None]) -> LRRecords:
        """Wait for all runs that are under way, and call `meanwhile` every half second.

        See `LRFinderWidget.wait`.
        """
        if timeout is not None and math.isnan(number(timeout)):
            raise TypeError(f"timeout is {timeout!r}; expected seconds such as 10, or None")
        latest, active = self.latest, self.active
        if in_background():
            raise RuntimeError("wait() inside the sweep would wait for itself; call it elsewhere")
        if latest is None and not active.started:
            raise RuntimeError("no sweep has been started; press Start or call start() first")
        awaited: list[BackgroundRun[Any, Any]] = [] if latest is None else [latest]
        awaited += [run for run in self.under_way if run is not latest]
        deadline = None if timeout is None else time.monotonic() + timeout
        for run in awaited:
            while True:
                left = 0.5 if deadline is None else min(0.5, deadline - time.monotonic())
                ended = run.wait(max(0.0, left))
                meanwhile()
                if ended:
                    if run.replacement is not None:
                        awaited.append(run.replacement)
                    break
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError(f"the {run.what} has not ended in {timeout} s; it goes on")
        for run in awaited:
            run.raise_error()
        while active.replacement is not None:
            active = active.replacement
        return active.records

    # -- changing the list ------------------------------------------------------------------------

    def activate(self, run: SweepRun) -> bool:
        """Make a run the active one; return whether it was not active before."""
        if run is self.active:
            return False
        if not self.source.parallel:
            self._refuse_while_under_way("run")
        self.active.answer("")
        self._make_active(run)
        return True

    def rename(self, run: SweepRun, label: str) -> None:
        """Give a run a new label, with a number after it if the label is taken."""
        label = validate_label(label)
        run.label = ""  # so that its current label does not count as taken
        run.label = self._unique(label)

    def remove(self, run: SweepRun) -> bool:
        """Remove a run that has ended; return whether another run has become active."""
        _ = self.source
        if run.under_way:
            raise RuntimeError(f"{run.label!r} is {run.state}; stop() it and wait() first")
        self._refuse_while_trying()
        del self.kept[run.number]
        run.close()
        if self.refinement is not None and self.refinement.sweep is run:
            if self.latest is self.refinement:
                self.latest = None
            self.refinement.close()
            self.refinement = None
        if self.latest is run:
            self.latest = None
        if run is not self.active:
            return False
        others = self.all
        self._make_active(others[-1] if others else self._new_run())
        return True

    def end_all(self) -> None:
        """Stop everything, wait for the ends, and release the tasks."""
        for run in self._each:
            run.close()

    def refuse_within(self, call: str) -> None:
        """Raise RuntimeError if a run calls what waits for its end."""
        if any(run.on_its_thread for run in self._each):
            raise RuntimeError(f"{call} inside the sweep would wait for itself; call stop() there")

    def clear(self) -> None:
        """Remove all runs, check and refinement; the active run stays until `renew`."""
        self.check = self.refinement = self.latest = None
        self.kept.clear()

    def renew(self) -> None:
        """Make a new run, which is not started, the active one."""
        self._make_active(self._new_run())

    def refuse_new(self) -> Source | None:
        """Refuse new runs from now on; return the source if it is not closed yet."""
        source, self._source = self._source, None
        return source

    # -- details ----------------------------------------------------------------------------------

    @property
    def _each(self) -> list[SweepRun | CheckRun | RefineRun]:
        return [self.active, *self.all, *self.trying]

    def _new_run(self, label: str = "", overrides: Overrides = NONE) -> SweepRun:
        runner = self.source.runner(label, overrides)
        return SweepRun(self._next_number(), runner, self._page, overrides)

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _keep(self, run: SweepRun) -> None:
        used = {other.style for other in self.all}
        run.style = next(style for style in itertools.count() if style not in used)
        self.kept[run.number] = run

    def _make_active(self, run: SweepRun) -> None:
        self.active = run
        self._page.active = run.number

    def _unique(self, label: str) -> str:
        return unique_label(label, {run.label for run in self.all})

    def _with_refinement(self) -> list[SweepRun | RefineRun]:
        """Return what can be paused: the runs that are under way, and the refinement."""
        return [*self.under_way, *([] if self.refinement is None else [self.refinement])]

    def _refuse_while_under_way(self, what: str) -> None:
        """Raise RuntimeError if a sweep, a check or a refinement is under way."""
        for run in self.under_way:
            state = f"already {run.state}" if what == "sweep" else run.state
            mend = "resume() it" if run.state == "paused" else "wait() for it"
            raise RuntimeError(f"the sweep is {state}; {mend}, or stop() it first")
        self._refuse_while_trying(what)

    def _refuse_while_trying(self, what: str = "") -> None:
        """Raise RuntimeError if a check or a refinement is under way."""
        for trying in self.trying:
            if trying.under_way:
                state = f"already {trying.state}" if what == trying.what else trying.state
                mend = "resume() it" if trying.state == "paused" else "wait() for it"
                raise RuntimeError(f"a {trying.what} is {state}; {mend}, or stop() it first")


def rates_around(lr: float, span: tuple[float, float]) -> list[float]:
    """Return a third of a rate, the rate, and three times it, clamped to a sweep's range."""
    return [min(max(rate, span[0]), span[1]) for rate in (lr / 3, lr, 3 * lr)]


def _label_in(records: LRRecords) -> str | None:
    """Return the label in the meta of records, or None if it is not valid."""
    try:
        return validate_label(records.meta.get("label"))
    except (TypeError, ValueError):
        return None
