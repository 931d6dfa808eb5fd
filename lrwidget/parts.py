"""The child widgets of a widget: ipywidgets keeps each of them for ever unless it is closed."""

import contextlib
from collections.abc import Iterator
from typing import Any

import bqplot as bq

from lrwidget.chart import build_figure


@contextlib.contextmanager
def new_figure(start_lr: float, end_lr: float, height: int) -> Iterator[bq.Figure]:
    """The figure of a sweep, which is closed again where the block fails."""
    figure = build_figure(start_lr, end_lr, height=height)
    try:
        yield figure
    except BaseException:
        close_figure(figure)
        raise


def close_figure(figure: bq.Figure) -> None:
    """Close a figure with its marks, axes, scales and layout."""
    parts: list[Any] = [figure, figure.layout, figure.scale_x, figure.scale_y]
    for mark in figure.marks:
        parts += [mark, *mark.scales.values()]
    for axis in figure.axes:
        parts += [axis, axis.scale]
    for part in parts:
        part.close()  # scales are shared; a second close does nothing
