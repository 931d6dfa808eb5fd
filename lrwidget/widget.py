"""LRFinderWidget: traits and wiring. Threads and locks are explained in `lrwidget.livetraits`."""

import logging
import time
from typing import Any, ClassVar

import bqplot as bq
import torch
import traitlets
from ipywidgets import Widget, widget_serialization

from lrwidget.bundle import NOT_BUILT, bundled
from lrwidget.export import Exported, export_rate
from lrwidget.livecheck import CheckWidget
from lrwidget.liverun import LiveRun
from lrwidget.livetraits import (
    LiveAny,
    LiveInt,
    LiveNumber,
    LiveText,
    LockedText,
    Number,
    NumberPair,
    Rate,
    in_background,
)
from lrwidget.options import whole_number
from lrwidget.pagemessages import Command, Export, Hello, Resync, parse
from lrwidget.parts import close_figure, new_figure
from lrwidget.records import LRRecords
from lrwidget.stream import Page, rows_message, table
from lrwidget.task import TrainingTask, rate_groups, set_rate, task_and_options

logger = logging.getLogger(__name__)


class LRFinderWidget(CheckWidget):
    """A learning rate range test to watch live, with a marker to drag to the rate to use.

    Args:
        model: a torch.nn.Module, with the three arguments that follow; a TrainingTask, alone; or
            another framework's object, in the forms that `lr_find` and `lrwidget.adapters` list.
        optimizer: an optimizer over the model's parameters, or a class or factory.
        loss_fn: `loss_fn(output, target)`, or None where the model returns its own loss.
        data: a DataLoader, a Dataset, or any iterable of batches.
        height: of the figure, in pixels (360).
        layout: ipywidgets' own, for the whole widget.
        options: any option of `TrainingTask` and of `SweepOptions`: `start_lr=1e-7`, `end_lr=10.0`,
            `steps=100` and so on.

    Raises:
        TypeError, ValueError: what was given, what is expected, and how to mend it.
    """

    _esm = bundled("widget.js", otherwise=NOT_BUILT)
    _css = bundled("widget.css", otherwise="")

    # -- set by the user, in Python or in the page
    lr = Rate(None, allow_none=True, help="The chosen learning rate, in the sweep's range.").tag(
        sync=True
    )
    lr_range = NumberPair(None, allow_none=True, help="A chosen range (low, high).").tag(sync=True)
    smoothing = Number(0.9, help="Weight of the past in the smoothed line, 0 to 0.99.").tag(
        sync=True
    )
    y_max = Number(
        None, allow_none=True, help="Upper end of the loss axis; None is automatic."
    ).tag(sync=True)
    variable = LockedText("lr", help="The variable that Export writes.").tag(sync=True)

    # -- moved by the program
    state = LiveText("idle", help="Where the sweep is.").tag(sync=True)
    step = LiveInt(0, help="Steps done, over all repeats.").tag(sync=True)
    steps = LiveInt(0, help="Steps in all.").tag(sync=True)
    suggestion = LiveNumber(None, allow_none=True, help="The suggested rate.").tag(sync=True)
    error = LiveText(None, allow_none=True, help="`Type: message` of a failed run.").tag(sync=True)

    # -- for the page
    figure = traitlets.Instance(bq.Figure).tag(sync=True, **widget_serialization)
    _range = LiveAny().tag(sync=True)
    _detail = LiveAny().tag(sync=True)
    # Never set: all rows, encoded whenever the state is asked for. A page that opens or reloads,
    # and a notebook that is saved, get everything with the state.
    _rows = LiveAny(None).tag(sync=True, to_json=lambda _, widget: widget._table())

    _from_page: ClassVar[frozenset[str]] = CheckWidget._from_page | {
        "lr",
        "lr_range",
        "smoothing",
        "y_max",
        "variable",
    }
    _streamed: ClassVar[frozenset[str]] = frozenset({"step"})

    # For a widget whose construction failed.
    _run: LiveRun | None = None
    _task: TrainingTask | None = None

    def __init__(
        self,
        model: Any,
        optimizer: Any = None,
        loss_fn: Any = None,
        data: Any = None,
        *,
        height: int = 360,
        layout: Any = None,
        **options: Any,
    ) -> None:
        height = whole_number("height", height, 100)
        self._layout_is_ours = not isinstance(layout, Widget)
        self._task, self._options = task_and_options(model, optimizer, loss_fn, data, **options)
        self._page = Page(send=self.send, catch_up_soon=self._catch_up_soon, clamp=self._clamped)
        self._run = LiveRun(1, self._task, self._options, self._page)
        with new_figure(self._options.start_lr, self._options.end_lr, height) as figure:
            super().__init__(figure=figure, **({} if layout is None else {"layout": layout}))
        self.on_msg(self._on_page_message)

    # -- what a person does ---------------------------------------------------------------------

    def start(self) -> None:
        """Run the sweep in the background; returns at once. A new start is a new table.

        Raises:
            RuntimeError: it, or a check, is under way, or the widget is closed.
        """
        with self._lock:
            run = self._run
            if self._task is None or run is None:
                raise RuntimeError("the widget is closed; make a new LRFinderWidget")
            self._refuse_while_active("sweep")
            if run.started:
                run = LiveRun(run.number + 1, self._task, self._options, self._page)
            run.start()
            self._run = self._latest = run
            self._catch_up()

    def pause(self) -> None:
        """Pause after the step in hand; nothing happens unless it is running."""
        self._current.pause()

    def resume(self) -> None:
        """Go on after a pause; nothing happens unless it is paused."""
        self._current.resume()

    def stop(self) -> None:
        """End what is under way, sweep or check, after the step in hand; the rows are kept."""
        self._current.stop()
        if self._checking is not None:
            self._checking.stop()

    def wait(self, timeout: float | None = None) -> LRRecords:
        """Block until the sweep, or the check, has ended and the model is restored.

        An interrupt (KeyboardInterrupt) ends the waiting only; the sweep goes on.

        Returns:
            The records of the sweep; `check()` has returned those of the check.

        Args:
            timeout: seconds to wait at most; None waits without end.

        Raises:
            RuntimeError: no sweep has been started, so there is nothing to wait for.
            TimeoutError: it has not ended in time; it goes on.
            Exception: what the model, the loss or the data raised.
        """
        latest, records = self._latest, self.records
        if in_background():
            raise RuntimeError("wait() inside the sweep would wait for itself; call it elsewhere")
        if latest is None:
            raise RuntimeError("no sweep has been started; press Start or call start() first")
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = 0.5 if deadline is None else min(0.5, deadline - time.monotonic())
            ended = latest.wait(max(0.0, left))
            # Observers and linked widgets live on while this cell waits.
            self._catch_up(tell=True)
            if ended:
                latest.raise_error()
                return records
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"the {latest.what} has not ended in {timeout} s; it goes on")

    def export(self, name: str | None = None) -> float:
        """Write the chosen rate, a plain float, into a variable of the notebook; returns it.

        A cell that is already queued when this runs still has the old value.

        Args:
            name: of the variable; by default `variable`.

        Raises:
            ValueError: no rate is chosen, the name cannot be a variable, or it holds anything but a
                number.
            RuntimeError: this is not an IPython session.
        """
        return self._export(self.variable if name is None else name).value

    def apply(self, optimizer: Any = None) -> None:
        """Set the chosen rate on an optimizer, keeping the ratios of its param groups.

        The first group gets the rate; rates that are tensors are filled in place.

        Args:
            optimizer: which one; by default the one that the widget was given.

        Raises:
            ValueError: no rate is chosen, or the widget was given a class or factory, so that there
                is no optimizer of yours.
            TypeError: not an optimizer.
            RuntimeError: a sweep or check is under way and would undo it; or the widget is closed.
        """
        lr, task, latest = self.lr, self._task, self._latest
        if lr is None:
            raise ValueError("there is no learning rate to apply yet; run the sweep or pick one")
        if isinstance(optimizer, torch.optim.Optimizer):
            target = optimizer
        elif optimizer is not None:
            raise TypeError(f"optimizer is {optimizer!r}; expected a torch.optim.Optimizer")
        elif task is None:
            raise RuntimeError("the widget is closed; give the optimizer: w.apply(optimizer)")
        else:
            target = task.optimizer
        if task is None:
            set_rate(rate_groups([target]), lr)
            return
        if latest is not None and latest.active and target is task.optimizer:
            raise RuntimeError(
                f"the {latest.what} is {latest.state} and puts the optimizer back at its end; "
                "wait() for it or stop() it first"
            )
        task.apply(lr, optimizer)

    def reset(self) -> None:
        """Back to idle: stop what is under way, forget rows, check, the pick and its range."""
        run = self._current
        if self._task is None:
            raise RuntimeError("the widget is closed; make a new LRFinderWidget")
        # Not under the lock: the sweep may be in the middle of a long step.
        run.close()
        self._forget_check()
        with self._lock:
            self._latest = None
            self._run = LiveRun(run.number + 1, self._task, self._options, self._page)
            self.lr = self.lr_range = None
            self._page.picked = False
            self._catch_up()
            self._tell()

    def close(self) -> None:
        """Stop what is under way, close the views, let go of model, optimizer and data.

        The rows stay: `records`, `lr` and `export()` go on working.
        """
        run, self._task = self._run, None
        if run is not None:
            run.close()
            if self._checking is not None:
                self._checking.close()
            self._catch_up()
        if self.comm is not None:
            close_figure(self.figure)
            if self._layout_is_ours:
                self.layout.close()
        self._loop = None
        super().close()

    @property
    def records(self) -> LRRecords:
        """The rows of the latest run so far, empty before the first."""
        return self._current.records

    def __repr__(self) -> str:
        run = self._run
        if run is None:
            return f"{type(self).__name__}()"
        status = run.status()
        whole = status.step in (0, status.steps)
        steps = f"{status.steps} steps" if whole else f"{status.step} of {status.steps} steps"
        lr = self.lr
        rate = "" if lr is None else f", lr={lr:.1e}"
        return f"{type(self).__name__}({status.state}, {steps}{rate})"

    # -- what was picked ------------------------------------------------------------------------

    def _note_pick(self) -> None:
        self._page.picked = True

    def _clamped(self, lr: float | None) -> float | None:
        return None if lr is None else min(max(lr, self._options.start_lr), self._options.end_lr)

    @traitlets.validate("lr")
    def _lr_in_range(self, proposal: Any) -> float | None:
        return self._clamped(proposal["value"])

    @traitlets.validate("lr_range")
    def _lr_range_in_range(self, proposal: Any) -> tuple[float | None, float | None] | None:
        if proposal["value"] is None:
            return None
        low, high = (self._clamped(rate) for rate in proposal["value"])
        if low == high:
            raise traitlets.TraitError(
                f"lr_range is {proposal['value']}, outside of the sweep's range {self._range}"
            )
        return low, high

    @traitlets.validate("smoothing")
    def _smoothing_in_range(self, proposal: Any) -> float:
        value: float = proposal["value"]
        if not 0 <= value <= 0.99:
            raise traitlets.TraitError(f"smoothing is {value!r}; expected 0 to 0.99")
        return value

    # -- what the program moves -----------------------------------------------------------------

    def _news(self) -> dict[str, Any]:
        run = self._current
        status = run.status()
        news = {
            "_range": [self._options.start_lr, self._options.end_lr],
            "steps": status.steps,
            "step": status.step,
            "suggestion": status.suggestion,
            "error": status.error,
            "_detail": status.detail,
        }
        if run.outcome is not None and not self._page.picked:
            news["lr"] = status.suggestion
        # Last: who sees a run ended also sees what it came to.
        return news | self._check_news() | {"state": status.state}

    @traitlets.observe("state")
    def _state_changed(self, _change: Any) -> None:
        # The last step is news to linked widgets. And where no page has said hello, whoever
        # executes the notebook without one saves the rows from the state.
        saves = not self._page.greeted and not self._current.active
        self.send_state(["step", "_rows"] if saves else "step")

    # -- what the page says ---------------------------------------------------------------------

    def _on_page_message(self, _widget: Widget, content: Any, _buffers: Any) -> None:
        try:
            message = parse(content)
        except ValueError as problem:
            logger.warning("ignored a message of the page: %s", problem)
            return
        match message:
            case Hello():
                self._page.greeted = True
                self._tell("sync", model_id=self.model_id)
                self._tell_check()
            case Resync(run, start, "check"):
                self._tell_check(start if run == self._checks else 0)
            case Resync(run, start):
                self._tell(offset=start if run == self._current.number else 0)
            case Export(name):
                ok, text = self._attempt(lambda: str(self._export(name)))
                self.send({"type": "exported", "ok": ok, "text": text})
            case Command(name):
                action = self._apply_in_words if name == "apply" else getattr(self, name)
                _, text = self._attempt(action)
                self._current.notice = text if isinstance(text, str) else ""
                self._catch_up()
                self._tell(offset=None)  # also where nothing was to be done: the page waits

    def _attempt(self, action: Any) -> tuple[bool, Any]:
        """Do what a button asks for; what goes wrong is for the page, not for the running cell."""
        try:
            return True, action()
        except (RuntimeError, ValueError, TypeError) as error:
            return False, str(error)
        except Exception as error:
            logger.exception("a command of the page failed")
            return False, f"{type(error).__name__}: {error}"

    def _export(self, name: str) -> Exported:
        return export_rate(name, self.lr)

    def _apply_in_words(self) -> str:
        self.apply()
        return f"The optimizer's learning rate is now {self.lr!r}."

    def _tell(self, kind: str = "rows", offset: int | None = 0, **more: Any) -> None:
        """Send the rows from `offset` on, and all there is to say."""
        run = self._current
        if run.outcome is not None and not self._page.picked:
            more["lr"] = self._clamped(run.outcome.suggestion)
        self.send(*rows_message(run.status(), run.records, offset, kind=kind, detail=True, **more))

    # -- small change ---------------------------------------------------------------------------

    @property
    def _current(self) -> LiveRun:
        assert self._run is not None
        return self._run

    def _table(self) -> dict[str, Any]:
        return table(self._current.number, self._current.records)
