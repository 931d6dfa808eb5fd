"""The bqplot figure: scales, axes and marks. It holds no rows.

Python only creates the marks. The page sets their styles, fills them from the stream of rows and
places the ticks, so that it can draw while the kernel is busy.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import bqplot as bq
from ipywidgets import Layout

MARGIN = {"top": 26, "bottom": 46, "left": 60, "right": 18}

# The page sets every domain itself, and shows its own hover text.
_QUIET: dict[str, Any] = {
    "preserve_domain": {"x": True, "y": True},
    "enable_hover": False,
    "interactions": {},
}


def build_figure(start_lr: float, end_lr: float, height: int = 320) -> bq.Figure:
    """Return the figure of a sweep from ``start_lr`` to ``end_lr``, with all marks empty.

    The page finds a mark by its label and gives it its style (js/src/chart/styles.ts): "others"
    (the runs that are not active, a curve for each), "band" (the area between the quartiles of
    several sweeps), "raw loss", "smoothed loss" (with several sweeps the one in progress),
    "median" (of several sweeps), "suggestion" (a vertical line), "rule" (the vertical line
    through the marker) and "marker" (the handle to drag).

    Args:
        start_lr: rate at the left end of the x axis; positive and finite.
        end_lr: rate at the right end; above ``start_lr`` and finite.
        height: height of the figure in pixels; its width follows the page.

    Raises:
        ValueError: the rates cannot span a logarithmic axis.
    """
    # bqplot draws nothing if the ends of a logarithmic scale are not positive, finite and ordered.
    if not (0 < start_lr < end_lr < math.inf):
        raise ValueError(
            f"the chart needs 0 < start_lr < end_lr, both finite; got {start_lr!r} and {end_lr!r}"
        )
    # No padding: the plot ends where the sweep does, and a pixel is the same rate for every mark.
    lr = bq.LogScale(min=start_lr, max=end_lr, allow_padding=False)
    loss = bq.LinearScale(min=0.0, max=1.0, allow_padding=False)
    # A separate scale: marker and rule must not move when the loss axis is clipped.
    upright = bq.LinearScale(min=0.0, max=1.0, allow_padding=False)
    on_curve = {"x": lr, "y": loss}
    upon_axis = {"x": lr, "y": upright}
    lines = {
        "others": on_curve,
        "band": on_curve,
        "raw loss": on_curve,
        "smoothed loss": on_curve,
        "median": on_curve,
        "suggestion": upon_axis,
        "rule": upon_axis,
    }
    return bq.Figure(
        marks=[
            *(bq.Lines(labels=[label], scales=scales, **_QUIET) for label, scales in lines.items()),
            bq.Scatter(
                labels=["marker"],
                scales=upon_axis,
                enable_move=True,
                restrict_x=True,
                update_on_move=True,
                **_QUIET,
            ),
        ],
        axes=[
            bq.Axis(
                scale=lr,
                label="learning rate",
                # At the end, where lines to the rules' names below rarely cross it.
                label_location="end",
                label_offset="34px",
                grid_lines="none",
            ),
            bq.Axis(
                scale=loss,
                side="left",
                label="loss",
                label_offset="44px",
                grid_lines="solid",
            ),
        ],
        fig_margin=dict(MARGIN),
        # Else it makes two more, which are the same.
        scale_x=upright,
        scale_y=upright,
        padding_y=0.0,
        animation_duration=0,  # with animation, transitions pile up in a hidden tab
        display_toolbar=False,
        layout=Layout(width="auto", height=f"{height}px", min_width="0"),
    )


@contextlib.contextmanager
def new_figure(start_lr: float, end_lr: float, height: int) -> Iterator[bq.Figure]:
    """Yield the figure of a sweep, and close it if the block fails."""
    figure = build_figure(start_lr, end_lr, height=height)
    try:
        yield figure
    except BaseException:
        close_figure(figure)
        raise


def close_figure(figure: bq.Figure) -> None:
    """Close a figure with its marks, axes, scales and layout."""
    parts: list[Any] = [figure, figure.layout]
    for mark in figure.marks:
        parts += [mark, *mark.scales.values()]
    for axis in figure.axes:
        parts += [axis, axis.scale]
    for part in parts:
        part.close()  # scales are shared; a second close does nothing
