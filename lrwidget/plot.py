"""The records as a static picture, for scripts and papers."""

from typing import TYPE_CHECKING

import numpy as np

from lrwidget.centred import centred

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from lrwidget.records import LRRecords


def draw(records: "LRRecords", ax: "Axes | None", smoothing: float, y_max: float | None) -> "Axes":
    """Draw raw and smoothed loss of `records`; see `LRRecords.plot`."""
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "plot() needs matplotlib, which is not installed; pip install 'lrwidget[plot]'"
        ) from error
    if ax is None:
        _, ax = plt.subplots()
    lines = []
    drawn: list[Line2D] = []
    for sweep in records.sweeps:
        lr, loss = sweep.T
        line = centred(loss, smoothing)
        lines.append(line)
        ax.plot(lr, loss, color="C0", alpha=0.3, linewidth=1)
        drawn += ax.plot(lr, line, color="C0", linewidth=2, label="smoothed to both sides")
    ax.set_xscale("log")
    ax.set_xlabel("learning rate")
    ax.set_ylabel("loss")
    top = _limit(np.concatenate(lines)) if y_max is None else y_max
    if top is not None:
        bottom = np.concatenate([sweep[:, 1] for sweep in records.sweeps])
        bottom = bottom[np.isfinite(bottom)]
        margin = 0.05 * (top - bottom.min())
        ax.set_ylim(float(bottom.min() - margin), float(top + margin))
    chosen = records.suggestion.lr
    if chosen is not None:
        rule = ax.axvline(chosen, color="C3", linestyle="--", label=f"suggestion {chosen:.1e}")
        ax.legend(handles=[rule, drawn[0]])
    return ax


def _limit(line: np.ndarray) -> float | None:
    """A limit that shows the fall and the start of the explosion, not all of it; None if flat.

    Half the curve's fall above the highest smoothed loss that came before its minimum.
    """
    line = line[np.isfinite(line)]
    if line.size < 2:
        return None
    lowest = int(line.argmin())
    before = float(line[: lowest + 1].max())
    fall = before - float(line[lowest])
    return before + 0.5 * fall if fall > 0 else None
