"""LRFinderWidget: its traits and all of its public methods."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, SupportsFloat

import bqplot as bq
import traitlets
from ipywidgets import Widget, widget_serialization

from lrwidget.curve.search import BUDGET
from lrwidget.records.check_results import CheckResults
from lrwidget.records.records import LRRecords
from lrwidget.records.refinement import Refinement
from lrwidget.sources.log import LogSource
from lrwidget.sources.resolve import source_of
from lrwidget.stream.sender import PageState
from lrwidget.text.articles import a
from lrwidget.text.numbers import rate_in_words
from lrwidget.validation import whole_number
from lrwidget.widget.base import ThreadSafeWidget
from lrwidget.widget.bundle import NO_WIDGETS, NOT_BUILT, bundled
from lrwidget.widget.export import export_rate
from lrwidget.widget.figure import close_figure, new_figure
from lrwidget.widget.page import Page
from lrwidget.widget.run_list import RunList
from lrwidget.widget.traits import (
    Counts,
    LiveAny,
    LiveFlag,
    LiveInt,
    LiveNumber,
    LiveText,
    LockedText,
    Number,
    NumberPair,
    Rate,
)
from lrwidget.widget.unknown import unknown_attribute


class LRFinderWidget(ThreadSafeWidget):
    """Shows a learning rate range test live, with a marker to drag to the rate to use.

    Args:
        model: a torch.nn.Module, with the three arguments that follow; a TrainingTask, alone; or
            another framework's object, in the forms that `lr_find` and `lrwidget.adapters` list.
        optimizer: an optimizer over the model's parameters, or a class or factory.
        loss_fn: `loss_fn(output, target)`, or None where the model returns its own loss.
        data: a DataLoader, a data set, samples in a list, `(X, y)`, or any iterable of batches.
        height: height of the figure in pixels (360).
        layout: an ipywidgets layout for the whole widget.
        runner: a `lrwidget.distributed.RayRunner`, to run the sweeps on a Ray cluster. Then `model`
            must be a function that makes the task on a worker and be given alone, and options that
            are not a sweep's are its arguments.
        options: any option of `TrainingTask` and of `SweepOptions`: `start_lr=1e-7`, `end_lr=10.0`,
            `steps=100`, `also=[ema]` and so on.

    Raises:
        TypeError, ValueError: an argument is invalid.
        ConnectionError: the runner's cluster does not answer.
    """

    _esm = bundled("widget.js", otherwise=NOT_BUILT)
    _css = bundled("widget.css", otherwise="")

    # The page may set a trait with the tag `page`; messages also carry one with the tag `streamed`.

    # -- set by the user, in Python or in the page
    lr: Rate = Rate(
        None, allow_none=True, help="The chosen learning rate, in the sweep's range."
    ).tag(sync=True, page=True)
    lr_range: NumberPair = NumberPair(
        None, allow_none=True, help="A chosen range (low, high)."
    ).tag(sync=True, page=True)
    smoothing: Number[float, SupportsFloat] = Number(
        0.9, help="How much the drawn line is smoothed, 0 to 0.99."
    ).tag(sync=True, page=True)
    y_max: Number[float | None, SupportsFloat | None] = Number(
        None, allow_none=True, help="Upper end of the loss axis; None is automatic."
    ).tag(sync=True, page=True)
    log_y: traitlets.Bool[bool, bool | int] = traitlets.Bool(
        False, help="Whether the loss axis is logarithmic."
    ).tag(sync=True, page=True)
    variable: LockedText = LockedText("lr", help="The variable that Export writes.").tag(
        sync=True, page=True
    )

    # -- moved by the program
    state: LiveText[str] = LiveText("idle", help="Where the sweep is.").tag(sync=True)
    step: LiveInt = LiveInt(0, help="Steps done, over all repeats.").tag(sync=True, streamed=True)
    steps: LiveInt = LiveInt(0, help="Steps in all.").tag(sync=True)
    suggestion: LiveNumber = LiveNumber(None, allow_none=True, help="The suggested rate.").tag(
        sync=True
    )
    error: LiveText[str | None] = LiveText(
        None, allow_none=True, help="`Type: message` of a failed run."
    ).tag(sync=True)

    # -- for the page
    figure: traitlets.Instance[Any] = traitlets.Instance(bq.Figure).tag(
        sync=True, **widget_serialization
    )
    _range = LiveAny().tag(sync=True)
    _detail = LiveAny().tag(sync=True)
    _picked = LiveFlag(False, help="Whether `lr` was chosen by hand.").tag(sync=True)
    _hidden = Counts((), help="Numbers of the runs that are not drawn.").tag(sync=True, page=True)
    # The active run's number; number, label and style of all runs; whether runs are parallel.
    _legend = LiveAny().tag(sync=True)
    # Never set: all rows of all runs, encoded each time the state is read. A page that opens or
    # reloads, and a notebook that is saved, get everything with the state.
    _runs = LiveAny(None).tag(sync=True, to_json=lambda _, widget: widget._page.saved_runs())
    # The value only decides when to send; the message has everything, encoded at that time.
    _check = LiveAny(None).tag(
        sync=True, to_json=lambda _, widget: widget._page.saved_trying("check")
    )
    _refinement = LiveAny(None).tag(
        sync=True, to_json=lambda _, widget: widget._page.saved_trying("refinement")
    )

    _refuses_unknown = False

    def __init__(
        self,
        model: Any,
        optimizer: Any = None,
        loss_fn: Any = None,
        data: Any = None,
        *,
        height: int = 360,
        layout: Any = None,
        runner: Any = None,
        **options: Any,
    ) -> None:
        # Not later: `add_traits` gives a widget a class of its own.
        self._refuses_unknown = type(self) is LRFinderWidget
        height = whole_number("height", height, 100)
        self._layout_is_ours = not isinstance(layout, Widget)
        source = source_of(model, optimizer, loss_fn, data, runner=runner, **options)
        page = PageState(send=self.send, catch_up_soon=self._catch_up_soon, clamp=self._clamped)
        self._run_list = runs = RunList(source, page)
        self._page = Page(self, runs, page, self._catch_up)
        with new_figure(*runs.active.span, height) as figure:
            more = {} if layout is None else {"layout": layout}
            super().__init__(self._live_values, figure=figure, **more)
        page.model_id = self.model_id
        self.on_msg(self._page.on_message)

    if not TYPE_CHECKING:  # a type checker would take any name for an attribute

        def __setattr__(self, name: str, value: Any) -> None:
            """Set an attribute; refuse one that would have no effect, such as `w.start_lr`."""
            # In a subclass any name may be its own.
            known = name.startswith("_") or hasattr(type(self), name)
            if self._refuses_unknown and not known:
                settable = [trait for trait in self.traits(page=True) if trait[0] != "_"]
                raise unknown_attribute("LRFinderWidget", name, settable)
            super().__setattr__(name, value)

    @classmethod
    def follow(cls, path: str | os.PathLike[str], *, height: int = 360, layout: Any = None) -> Self:
        """Show the sweep that another process writes to a file (`lr_find(..., log=path)`), live.

        The widget reads the file at once; `stop()` stops reading it but not the sweep. The file
        may not exist yet. If it is truncated or replaced, its rows become a new run.

        Args:
            path: path of the file.
            height, layout: as in the constructor.

        Raises:
            TypeError, ValueError: an argument is invalid.
        """
        widget = cls(LogSource(path), height=height, layout=layout)
        widget.start(label=Path(path).name)
        return widget

    # -- sweeps --------------------------------------------------------------------------------

    def start(self, *, label: str | None = None, **options: Any) -> None:
        """Run a sweep in the background and return at once. Earlier runs stay in the chart.

        Args:
            label: the name of the run; by default the options that differ ("batch_size=64"), or
                the number of the start ("run 1"). A label that is taken gets a number after it.
            options: any argument of the constructor except `height` and `layout`, for this run
                only: `start(batch_size=64)`, `start(optimizer=torch.optim.Adam, end_lr=0.1)`. All
                others are the constructor's. With `batch_size` a DataLoader is replaced by a new
                one over its data set.

        Raises:
            RuntimeError: a sweep, check or refinement is under way, or the widget is closed.
            TypeError, ValueError: an option is invalid.
        """
        with self._lock:
            self._run_list.start(label, options)
            self._catch_up()

    def pause(self) -> None:
        """Pause after the current step; no effect unless a sweep or a refinement is running."""
        self._run_list.pause()

    def resume(self) -> None:
        """Continue after a pause; no effect unless a sweep or a refinement is paused."""
        self._run_list.resume()

    def extend(self, end_lr: float | None = None, *, budget: int | None = None) -> None:
        """Extend the sweep to a higher rate, or raise the budget of the refinement.

        The rates of the sweep are as dense as before. With `spacing="log"` the steps per decade
        stay the same; with "linear" the difference between rates does, so that ten times the end
        takes about nine times the steps so far. The rates up to the current end do not change; the
        last rate is exactly `end_lr`.

        Args:
            end_lr: the new end, above the current one; by default ten times as high.
            budget: the new budget of the refinement, above the current one; while a refinement is
                under way, the default is 500 steps more.

        Raises:
            TypeError, ValueError: `end_lr` or `budget` is invalid or not above the current one, or
                both are given.
            RuntimeError: nothing that could be extended is running or paused, or several processes
                run the sweep.
        """
        with self._lock:
            self._run_list.extend(end_lr, budget)
            self._catch_up()

    def stop(self) -> None:
        """End the sweep, check or refinement after the current step; the rows are kept."""
        self._run_list.stop()

    def wait(self, timeout: float | None = None) -> LRRecords:
        """Block until the sweep, check or refinement has ended and the model is restored.

        If several sweeps are under way, this waits for all of them. An interrupt
        (KeyboardInterrupt) only ends the wait; the sweep goes on.

        A pick in the page may reach the kernel only when the cell ends: `lr` is the suggestion
        until then, so read it in the next cell.

        Returns:
            The records of the active run. `check()` and `refine()` return the results of those.

        Args:
            timeout: longest wait in seconds; None has no limit.

        Raises:
            TypeError: `timeout` is not a number.
            RuntimeError: no sweep has been started, or all are removed; or the sweep calls this.
            TimeoutError: the sweep has not ended in time; it goes on.
            Exception: the model, the loss or the data raised it.
        """
        # Observers and linked widgets keep up while this cell waits.
        return self._run_list.wait(timeout, lambda: self._catch_up(send_streamed=True))

    def reset(self) -> None:
        """Stop, remove all runs with check and refinement, and clear the pick and its range.

        Raises:
            RuntimeError: the sweep itself calls this, or the widget is closed.
        """
        runs = self._run_list
        runs.refuse_within("reset()")
        _ = runs.source
        while True:
            # Not under the lock, since the current step may take long.
            runs.end_all()
            with self._lock:
                if not runs.at_rest:  # another thread has started one meanwhile
                    continue
                runs.clear()
                self._hidden = ()
                runs.renew()
                self.lr = self.lr_range = None
                self._catch_up()
                self._page.send_rows(runs.active)
                return

    # -- the list of runs ----------------------------------------------------------------------

    @property
    def runs(self) -> list[LRRecords]:
        """The records of all started and added runs, in that order."""
        self._catch_up()
        return [run.records for run in self._run_list.all]

    @property
    def records(self) -> LRRecords:
        """The records of the active run so far; empty before the first step."""
        self._catch_up()
        return self._run_list.active.records

    def add(self, records: LRRecords, label: str | None = None) -> LRRecords:
        """Show records of `lr_find`, another widget or `LRRecords.load` as a run.

        Its rate is the refined one where `refine` has run with the records.

        Args:
            records: the records to copy and show.
            label: name of the run; by default the one in their meta, or "records".

        Returns:
            The copy that is shown, for `activate`, `rename` and `remove`.

        Raises:
            TypeError: `records` is not LRRecords.
            RuntimeError: the widget is closed.
        """
        with self._lock:
            run = self._run_list.add(records, label)
            self._catch_up()
            self._page.send_rows(run)
            self._page.send_rows_without_page()
            return run.records

    def activate(self, run: LRRecords | str) -> None:
        """Make a run the active one: the marker, the suggestion and `records` then refer to it.

        Your own pick stays.

        Args:
            run: its records, or its label.

        Raises:
            RuntimeError: another run, a check or a refinement is under way.
            ValueError, TypeError: there is no such run.
        """
        runs = self._run_list
        with self._lock:
            if runs.activate(runs.find(run)):
                self._catch_up()
                self._page.send_rows(runs.active)

    def rename(self, run: LRRecords | str, label: str) -> None:
        """Give a run a new label; a label that is taken gets a number after it.

        Args:
            run: its records, or its label.
            label: the new label.

        Raises:
            ValueError, TypeError: there is no such run, or the label is not valid.
        """
        runs = self._run_list
        with self._lock:
            runs.rename(runs.find(run), label)
            self._catch_up()

    def remove(self, run: LRRecords | str) -> None:
        """Remove a run; if it is the active one, the last of the others becomes active.

        Args:
            run: its records, or its label.

        Raises:
            RuntimeError: the run, a check or a refinement is under way, or the widget is closed.
            ValueError, TypeError: there is no such run.
        """
        runs = self._run_list
        with self._lock:
            other_active = runs.remove(runs.find(run))
            self._hidden = [number for number in self._hidden if number in runs.kept]
            self._catch_up()
            if other_active:
                self._page.send_rows(runs.active)

    # -- the chosen rate -----------------------------------------------------------------------

    def check(self, lrs: Sequence[float] | None = None, steps: int = 100) -> CheckResults:
        """Train a few steps at each of a few rates in the background, to see which is best.

        Each rate starts from the model's current state and gets the same batches, those of the
        widget's `seed` if it has one; the model is restored after each. The curves appear below the
        chart, and at the end a button offers the best rate; the marker does not move. `stop()` ends
        the check, `wait()` waits for it.

        Args:
            lrs: learning rates for the first param group; by default a third of, at, and three
                times the chosen one, within the sweep's range.
            steps: optimizer steps at each rate, at least 2.

        Returns:
            The results, which grow while the check runs: `.frame`, `.summary`, `.best`.

        Raises:
            ValueError: there is neither `lrs` nor a chosen rate, `lrs` are not learning rates, or
                the data can be read only once.
            TypeError: `lrs` or `steps` has the wrong type.
            RuntimeError: a sweep, check or refinement is under way, or the widget is closed.
        """
        with self._lock:
            results = self._run_list.start_check(lrs, steps, self.lr)
            self._catch_up()
            return results

    def refine(
        self, budget: int = BUDGET, planned_steps: int | None = None, held_out: Any = None
    ) -> Refinement:
        """Try rates around the suggestion of the active run in the background, in short trials.

        The trials are compared by their losses on held-out data, as by `lrwidget.refine`, and
        drawn below the chart while they run. At the end `lr` is the refined rate unless the user
        has picked one. `pause()`, `resume()`, `stop()`, `wait()` and `extend(budget=...)` also act
        on a refinement; after a stop the trials so far decide.

        Args:
            budget: upper limit of the optimizer steps, including those of the sweep.
            planned_steps: steps of the planned training; the longer it is than the trials, the
                lower the rate.
            held_out: the data for comparing trials: data, indices of the data set, or a share of
                it. By default `val_data`, else a fifth of the data (up to a third where that is
                fewer than 160 samples), at most 512 samples.

        Returns:
            The result, which grows while the trials run: `.lr`, `.confidence`, `.reason`,
            `.steps`, `.frame`, `.summary`. `refinement` returns it too.

        Raises:
            ValueError: there is no sweep yet, the budget is too small, or the task cannot be
                refined.
            TypeError: an argument has the wrong type.
            RuntimeError: a sweep, check or refinement is under way, the sweep's model is not in
                this process, or the widget is closed.
        """
        with self._lock:
            refinement = self._run_list.start_refinement(budget, planned_steps, held_out)
            self._catch_up()
            return refinement.result

    @property
    def refinement(self) -> Refinement | None:
        """The refinement of the active run, which grows while it runs; None without one."""
        self._catch_up()
        runs = self._run_list
        if runs.refinement is not None and runs.refinement.sweep is runs.active:
            return runs.refinement.result
        return runs.active.records.refinement

    def export(self, name: str | None = None) -> float:
        """Write the chosen rate as a plain float into a notebook variable, and return it.

        Args:
            name: name of the variable; by default `variable`.

        Raises:
            ValueError: no rate is chosen, the name cannot be a variable, or it holds anything but a
                number.
            RuntimeError: this is not an IPython session.
        """
        return export_rate(self.variable if name is None else name, self.lr).value

    def apply(self, optimizer: Any = None) -> None:
        """Set the chosen rate on an optimizer, keeping the ratios of its param groups.

        The first group gets the rate; rates that are tensors are filled in place.

        Args:
            optimizer: by default the one that the active run was given.

        Raises:
            ValueError: no rate is chosen, or the widget was given a class or factory, so that there
                is no optimizer of yours.
            TypeError: `optimizer` is not an optimizer.
            RuntimeError: a sweep, check or refinement is under way and would undo it, or the widget
                is closed.
        """
        lr, runs = self.lr, self._run_list
        latest, overrides = runs.latest, runs.active.overrides
        if lr is None:
            raise ValueError(
                "there is no learning rate to apply yet: the active run has suggested none; "
                "run a sweep, or pick a rate: w.lr = 1e-3"
            )
        if optimizer is not None:
            from lrwidget.task.optimizers import made_optimizer

            optimizer = made_optimizer(optimizer)
        if runs.closed:
            if optimizer is None:
                raise RuntimeError("the widget is closed; give the optimizer: w.apply(optimizer)")
            from lrwidget.task.rates import apply_rate

            apply_rate(optimizer, lr)
            return
        source = runs.source
        if latest is not None and latest.under_way and source.holds(optimizer, overrides):
            raise RuntimeError(
                f"the {latest.what} is {latest.state} and puts the optimizer back at its end; "
                "wait() for it or stop() it first"
            )
        source.apply(lr, optimizer, overrides)

    def _note_pick(self, picked: bool) -> None:
        self._page.state.picked = picked
        self._move("_picked", picked)

    def _clamped(self, lr: float | None) -> float | None:
        return self._run_list.clamp(lr)

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

    # -- what the program moves ----------------------------------------------------------------

    def _live_values(self) -> dict[str, Any]:
        runs = self._run_list
        runs.adopt_replacements()
        run, picked = runs.active, self._page.state.picked
        status = run.status()
        values = {
            "_range": list(run.span),
            "steps": status.steps,
            "step": status.step,
            "suggestion": status.suggestion,
            "error": status.error,
            "_detail": status.detail,
            "_picked": picked,
        }
        # A run that has not started has no suggestion, which clears the rate.
        if (run.outcome is not None or not run.started) and not picked:
            values["lr"] = run.rate
        # The state is last: an observer that sees a run's end must also see its outcome.
        return values | self._page.traits() | {"state": status.state}

    @traitlets.observe("state")
    def _state_changed(self, _change: Any) -> None:
        self._send_along("step")  # linked widgets get the last step
        if not self._run_list.active.under_way:
            self._page.send_rows_without_page()

    # -- the end of the widget -----------------------------------------------------------------

    def close(self) -> None:
        """Stop, close the views, and release model, optimizer and data.

        The rows stay: `records`, `lr` and `export()` still work.

        Raises:
            RuntimeError: the sweep itself calls this.
        """
        runs = getattr(self, "_run_list", None)  # None if construction has failed
        if runs is not None:
            runs.refuse_within("close()")
            # What another thread starts is refused, or under way by now.
            with self._lock if self._ready else contextlib.nullcontext():
                source = runs.refuse_new()
            runs.end_all()
            self._catch_up()
            if source is not None:
                source.close()
        if self.comm is not None:
            close_figure(self.figure)
            if self._layout_is_ours:
                self.layout.close()
        self._loop = None
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return the view, and for places without widgets a sentence and a picture of the rows.

        The picture stays as it was when the cell ran: to replace an output, JupyterLab closes the
        view and makes a new one, which flickers and loses the focus and what is half typed.
        """
        view = super()._repr_mimebundle_(**kwargs)
        if view is None:
            return None
        data, metadata = view
        data["text/plain"] += f"\n{NO_WIDGETS}"
        records = self.records
        return (
            records._repr_mimebundle_(include={"text/html"}) if records else {}
        ) | data, metadata

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(
            f"{a(type(self).__name__)} cannot be pickled; keep its rows with "
            "w.records.save('sweep.jsonl'), which LRRecords.load reads and w.add shows"
        )

    def __repr__(self) -> str:
        runs = getattr(self, "_run_list", None)
        if runs is None:
            return f"{type(self).__name__}()"
        status = runs.active.status()
        whole = status.step in (0, status.steps)
        steps = f"{status.steps} steps" if whole else f"{status.step} of {status.steps} steps"
        lr = self.lr
        rate = "" if lr is None else f", lr={rate_in_words(lr)}"
        return f"{type(self).__name__}({status.state}, {steps}{rate})"
