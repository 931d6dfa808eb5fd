"""Answers the messages of the page, and sends it the rows of runs."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from lrwidget.curve.search import BUDGET
from lrwidget.records.check_results import CheckResults
from lrwidget.records.records import LRRecords
from lrwidget.records.refinement import Refinement
from lrwidget.restore.in_use import InUseError
from lrwidget.stream.protocol import (
    Command,
    Export,
    Hello,
    Pick,
    Resync,
    RunCommand,
    exported_message,
    parse,
    rows_message,
    saved,
)
from lrwidget.stream.redact import redact_paths
from lrwidget.stream.sender import PageState
from lrwidget.widget.check_run import CheckRun
from lrwidget.widget.export import export_rate
from lrwidget.widget.refine_run import RefineRun
from lrwidget.widget.run_list import RunList
from lrwidget.widget.sweep_run import SweepRun

logger: logging.Logger = logging.getLogger(__name__)


class Widget(Protocol):
    """The methods of the widget that `Page` calls."""

    lr: Any
    model_id: Any

    def start(self) -> None:
        """Start a sweep."""

    def pause(self) -> None:
        """Pause the sweep."""

    def resume(self) -> None:
        """Resume the sweep."""

    def stop(self) -> None:
        """Stop the sweep, check or refinement."""

    def reset(self) -> None:
        """Forget all runs."""

    def extend(self) -> None:
        """Extend the sweep or refinement."""

    def check(self) -> CheckResults:
        """Start a check."""

    def refine(self, budget: int) -> Refinement:
        """Start a refinement."""

    def apply(self) -> None:
        """Set the chosen rate on the optimizer."""

    def activate(self, run: LRRecords | str) -> None:
        """Make a run the active one."""

    def rename(self, run: LRRecords | str, label: str) -> None:
        """Rename a run."""

    def remove(self, run: LRRecords | str) -> None:
        """Remove a run."""

    def send(self, content: Any, buffers: Any = None) -> None:
        """Send a message to the page."""

    def send_state(self, key: Any = None) -> None:
        """Send traits to the page."""


class Page:
    """Receives the page's messages and sends the widget's answers.

    Args:
        widget: carries out the page's commands.
        runs: the runs of the widget.
        state: the state of the page that the senders' threads share.
        catch_up: brings the widget's traits up to date.
    """

    def __init__(
        self, widget: Widget, runs: RunList, state: PageState, catch_up: Callable[[], None]
    ) -> None:
        self.state = state
        self._widget = widget
        self._runs = runs
        self._catch_up = catch_up

    # -- messages from the page -------------------------------------------------------------------

    def on_message(self, _widget: object, content: Any, _buffers: Any) -> None:
        """Answer a message; an invalid one is logged."""
        try:
            message = parse(content)
        except ValueError as problem:
            logger.warning("ignored a message of the page: %s", problem)
            return
        widget = self._widget
        match message:
            case Hello():
                self.state.greeted = True
                for run in self._runs.shown:
                    self.send_rows(run, "sync", model_id=widget.model_id)
                for trying in self._runs.trying:
                    self.send_trying(trying)
            case Resync(number, start, "check" | "refinement" as kind):
                for trying in self._runs.trying:
                    if trying.what == kind:
                        self.send_trying(trying, start if number == trying.number else 0)
            case Resync(number, start):
                # A removed run gets no answer: the legend already says that it is gone.
                for run in self._runs.shown:
                    if run.number == number:
                        self.send_rows(run, offset=start)
            case Export(name):
                ok, text = self._attempt(lambda: str(export_rate(name, widget.lr)))
                widget.send(exported_message(ok, text))
            case Pick(lr):
                self._attempt(lambda: setattr(widget, "lr", lr))
            case Command("apply"):
                self._do(self._apply)
            case Command("unblock"):
                self._do(self._stop_other)
            case Command("refine"):
                self._do(lambda: widget.refine(self._runs.active.budget or BUDGET))
            case Command(name):
                self._do(getattr(widget, name))
            case RunCommand(action, number, label):
                self._do(lambda: self._do_with_run(action, number, label))

    def _do(self, action: Callable[[], Any]) -> None:
        stop_other = when_over = None

        def noting_who_is_in_the_way() -> Any:
            nonlocal stop_other, when_over
            try:
                return action()
            except InUseError as error:
                stop_other, when_over = error.stop, error.when_over
                raise

        def take_back() -> None:
            if active.notice == text:
                active.answer("")
                self.state.catch_up_soon()

        _, text = self._attempt(noting_who_is_in_the_way)
        active = self._runs.active
        active.answer(text if isinstance(text, str) else "", stop_other)
        if when_over is not None:
            when_over(take_back)
        self._catch_up()
        self.send_rows(active, offset=None)  # always answers: the page waits for it

    def _do_with_run(self, action: str, number: int, label: str) -> None:
        run = self._runs.kept.get(number)
        if run is None:
            raise ValueError("that run is gone")
        arguments = [label] if action == "rename" else []
        getattr(self._widget, action)(run.records, *arguments)

    def _apply(self) -> str:
        self._widget.apply()
        return f"The optimizer's learning rate is now {self._widget.lr!r}."

    def _stop_other(self) -> str:
        stop = self._runs.active.stop_other
        if stop is None:  # pressed in two views
            return ""
        stop()
        return "The other sweep ends after its current step, and keeps its rows; then try again."

    def _attempt(self, action: Callable[[], Any]) -> tuple[bool, Any]:
        """Run a button's action; return an error for the page instead of raising into a cell.

        Its text has no folders, since the page is saved and shared.
        """
        try:
            return True, action()
        except (RuntimeError, ValueError, TypeError) as error:
            return False, redact_paths(str(error))
        except Exception as error:
            logger.exception("a command of the page failed")
            return False, redact_paths(f"{type(error).__name__}: {error}")

    # -- messages to the page ---------------------------------------------------------------------

    def send_rows(
        self, run: SweepRun, kind: str = "rows", offset: int | None = 0, **more: Any
    ) -> None:
        """Send a run's status and its rows from `offset` on; no rows if `offset` is None."""
        end = run.outcome
        if run is self._runs.active and end is not None and not self.state.picked:
            more["lr"] = self.state.clamp(run.rate)
        self._widget.send(
            *rows_message(run.status(), run.records, offset, kind=kind, detail=True, **more)
        )

    def send_trying(self, trying: CheckRun | RefineRun, offset: int = 0) -> None:
        """Send the status of the check or the refinement and its rows from `offset` on."""
        status, table = trying.status(), trying.records
        self._widget.send(*rows_message(status, table, offset, kind=trying.what, detail=True))

    def send_rows_without_page(self) -> None:
        """Send all rows in the widget state if no page has said hello.

        A notebook that is executed without a page is saved with this state.
        """
        if not self.state.greeted:
            self._widget.send_state("_runs")

    # -- the widget state for the page ------------------------------------------------------------

    def traits(self) -> dict[str, Any]:
        """Return the current values of the page's own traits."""
        runs = self._runs
        trying = {run.what: (run.number, run.state) for run in runs.trying}
        return {
            "_check": trying.get("check"),
            "_refinement": trying.get("refinement"),
            "_legend": {
                "active": runs.active.number,
                "runs": [[run.number, run.label, run.style] for run in runs.all],
                "parallel": runs.parallel,
            },
        }

    def saved_runs(self) -> Sequence[dict[str, Any]]:
        """Return all rows of all runs."""
        return [saved(run.status(), run.records) for run in self._runs.shown]

    def saved_trying(self, what: str) -> dict[str, Any] | None:
        """Return all rows of the "check" or the "refinement"; None without one."""
        for run in self._runs.trying:
            if run.what == what:
                return saved(run.status(), run.records, what)
        return None
