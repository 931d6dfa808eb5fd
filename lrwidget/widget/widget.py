"""LRFinderWidget: traits and wiring. Threads and locks are explained in `widget.traits`."""

import os
from pathlib import Path
from typing import Any, ClassVar, Self

import bqplot as bq
import traitlets
from ipywidgets import Widget, widget_serialization

from lrwidget.sources.log import LogSource
from lrwidget.sources.resolve import source_of
from lrwidget.stream.sender import PageState
from lrwidget.validation import whole_number
from lrwidget.widget.bundle import NOT_BUILT, bundled
from lrwidget.widget.figure import close_figure, new_figure
from lrwidget.widget.page import PageCommands
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


class LRFinderWidget(PageCommands):
    """A learning rate range test to watch live, with a marker to drag to the rate to use.

    Args:
        model: a torch.nn.Module, with the three arguments that follow; a TrainingTask, alone; or
            another framework's object, in the forms that `lr_find` and `lrwidget.adapters` list.
        optimizer: an optimizer over the model's parameters, or a class or factory.
        loss_fn: `loss_fn(output, target)`, or None where the model returns its own loss.
        data: a DataLoader, a data set, samples in a list, `(X, y)`, or any iterable of batches.
        height: of the figure, in pixels (360).
        layout: ipywidgets' own, for the whole widget.
        runner: a `lrwidget.distributed.RayRunner`, where the sweeps are not to run here. Then
            `model` is a function that makes the task on a worker, alone, and options that are none
            of a sweep are its arguments.
        options: any option of `TrainingTask` and of `SweepOptions`: `start_lr=1e-7`, `end_lr=10.0`,
            `steps=100`, `also=[ema]` and so on.

    Raises:
        TypeError, ValueError: what was given, what is expected, and how to mend it.
        ConnectionError: the runner's cluster does not answer.
    """

    _esm = bundled("widget.js", otherwise=NOT_BUILT)
    _css = bundled("widget.css", otherwise="")

    # -- set by the user, in Python or in the page
    lr = Rate(None, allow_none=True, help="The chosen learning rate, in the sweep's range.").tag(
        sync=True
    )
    lr_range = NumberPair(None, allow_none=True, help="A chosen range (low, high).").tag(sync=True)
    smoothing = Number(0.9, help="How much the drawn line is smoothed, 0 to 0.99.").tag(sync=True)
    y_max = Number(
        None, allow_none=True, help="Upper end of the loss axis; None is automatic."
    ).tag(sync=True)
    log_y = traitlets.Bool(False, help="Whether the loss axis is logarithmic.").tag(sync=True)
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
    _picked = LiveFlag(False, help="Whether `lr` was chosen by hand.").tag(sync=True)
    # Numbers of the runs that the page does not draw.
    _hidden = Counts((), help="Runs that are not drawn.").tag(sync=True)

    _from_page: ClassVar[frozenset[str]] = PageCommands._from_page | {
        "lr",
        "lr_range",
        "smoothing",
        "y_max",
        "log_y",
        "variable",
        "_hidden",
    }
    _streamed: ClassVar[frozenset[str]] = frozenset({"step"})

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
        height = whole_number("height", height, 100)
        self._layout_is_ours = not isinstance(layout, Widget)
        self._source = source_of(model, optimizer, loss_fn, data, runner=runner, **options)
        self._page = PageState(
            send=self.send, catch_up_soon=self._catch_up_soon, clamp=self._clamped
        )
        self._open_runs()
        with new_figure(*self._current.span, height) as figure:
            super().__init__(figure=figure, **({} if layout is None else {"layout": layout}))
        self._page.model_id = self.model_id
        self.on_msg(self._on_page_message)

    @classmethod
    def follow(cls, path: str | os.PathLike[str], *, height: int = 360, layout: Any = None) -> Self:
        """Show the sweep that another process writes to a file (`lr_find(..., log=path)`), live.

        It begins at once; `stop()` ends the following, not the sweep. The file may not exist
        yet. One that is truncated, or replaced by another, is a new run beside the one before.

        Args:
            path: of the file.
            height, layout: as of the constructor.
        """
        widget = cls(LogSource(path), height=height, layout=layout)
        widget.start(label=Path(path).name)
        return widget

    def close(self) -> None:
        """Stop what is under way, close the views, let go of model, optimizer and data.

        The rows stay: `records`, `lr` and `export()` go on working.
        """
        source, self._source = self._source, None
        if self._run is not None:
            self._close_runs()
            if self._checking is not None:
                self._checking.close()
            self._catch_up()
        if source is not None:
            source.close()
        if self.comm is not None:
            close_figure(self.figure)
            if self._layout_is_ours:
                self.layout.close()
        self._loop = None
        super().close()

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

    @traitlets.validate("smoothing")
    def _smoothing_in_range(self, proposal: Any) -> float:
        value: float = proposal["value"]
        if not 0 <= value <= 0.99:
            raise traitlets.TraitError(f"smoothing is {value!r}; expected 0 to 0.99")
        return value

    # -- what the program moves -----------------------------------------------------------------

    def _news(self) -> dict[str, Any]:
        self._adopt_replacements()
        run = self._current
        status = run.status()
        news = {
            "_range": list(run.span),
            "steps": status.steps,
            "step": status.step,
            "suggestion": status.suggestion,
            "error": status.error,
            "_detail": status.detail,
            "_picked": self._page.picked,
        }
        # Where there is no run any more, there is no suggestion either.
        if (run.outcome is not None or not run.started) and not self._page.picked:
            news["lr"] = status.suggestion
        # Last: who sees a run ended also sees what it came to.
        return news | self._check_news() | self._runs_news() | {"state": status.state}

    @traitlets.observe("state")
    def _state_changed(self, _change: Any) -> None:
        self.send_state("step")  # the last step is news to linked widgets
        if not self._current.under_way:
            self._save_where_no_page_does()
