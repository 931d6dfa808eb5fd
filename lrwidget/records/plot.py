"""A matplotlib plot of the records, for scripts and papers."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lrwidget.curve.centred import centred
from lrwidget.curve.loss_range import loss_range
from lrwidget.records.table import Floats
from lrwidget.text.articles import a_kind
from lrwidget.text.numbers import rate_in_words
from lrwidget.validation import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D


def draw(
    sweeps: Sequence[Floats],
    suggested: float | None,
    ax: "Axes | None",
    smoothing: float,
    y_max: float | None,
) -> "Axes":
    """Draw raw and smoothed loss of the sweeps and the suggested rate; see `LRRecords.plot`.

    Args:
        sweeps: rates and raw losses, shapes (steps, 2).
        suggested: the suggested rate; None draws none.
        ax, smoothing, y_max: as there.
    """
    if not 0 <= number(smoothing) <= 0.99:
        raise ValueError(f"smoothing is {smoothing!r}; expected 0 to 0.99")
    if y_max is not None and not math.isfinite(number(y_max)):
        raise ValueError(f"y_max is {y_max!r}; expected a finite number, or None")
    try:
        import matplotlib.pyplot as plt
        from matplotlib.axes import Axes
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "plot() needs matplotlib, which is not installed; pip install 'lrwidget[plot]'"
        ) from error
    if ax is None:
        _, ax = plt.subplots()
    elif not isinstance(ax, Axes):
        raise TypeError(f"ax is {a_kind(ax)}; expected axes, such as plt.subplots()[1]")
    drawn: list[Line2D] = []
    for sweep in sweeps:
        lr, loss = sweep.T
        line = centred(loss, smoothing)
        ax.plot(lr, loss, color="C0", alpha=0.3, linewidth=1)
        drawn += ax.plot(lr, line, color="C0", linewidth=2, label="smoothed to both sides")
    ax.set_xscale("log")
    ax.set_xlabel("learning rate")
    ax.set_ylabel("loss")
    losses = [sweep[:, 1] for sweep in sweeps]
    if np.isfinite(np.concatenate(losses)).any():
        ax.set_ylim(loss_range(losses, None if y_max is None else number(y_max)))
    if suggested is not None:
        rule = ax.axvline(
            suggested, color="C3", linestyle="--", label=f"suggestion {rate_in_words(suggested)}"
        )
        ax.legend(handles=[rule, drawn[0]])
    return ax
