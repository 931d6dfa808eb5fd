"""The growing table of a sweep: one row a step, only ever appended to."""

import copy
import dataclasses
import enum
import os
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from lrwidget.curve.published_rules import suggestions
from lrwidget.curve.smoothing import smoothed
from lrwidget.curve.suggest import Suggestion, suggest
from lrwidget.curve.too_few_rows import ended_early
from lrwidget.records import jsonl

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]


class StopReason(enum.StrEnum):
    """Why a sweep ended."""

    FINISHED = "finished"
    DIVERGED = "diverged"
    NON_FINITE = "non-finite"
    STOPPED = "stopped"
    EXHAUSTED = "exhausted"
    FAILED = "failed"


class LRRecords:
    """Learning rates and the losses met at them, row by row.

    The thread that sweeps is the only writer; any thread may read at any time and sees the rows
    that were complete when it asked.

    Args:
        meta: what is worth knowing of the sweep: versions, options, optimizer, batch size, seed.
    """

    def __init__(self, meta: dict[str, Any] | None = None) -> None:
        self.meta: dict[str, Any] = {} if meta is None else meta
        self.stop_reason: StopReason | None = None
        self.sweep_starts: list[int] = [0]
        # The writer puts a row in first and counts it after, and replaces the array when it grows:
        # a reader that takes the count before the array never sees a half-written row.
        self._table = np.empty((256, 2))
        self._count = 0
        self._extra: dict[str, dict[int, float]] = {}
        self._suggested: tuple[int, StopReason | None, Suggestion] | None = None

    def copy(self) -> Self:
        """The table as it is now, with a meta of its own."""
        copied = type(self)(copy.deepcopy(self.meta))
        copied.stop_reason = self.stop_reason
        count = self._count
        copied._table, copied._count = self._table[: max(count, 1)].copy(), count
        copied.sweep_starts = [start for start in self.sweep_starts if start <= count]
        copied._extra = {
            name: {row: value for row, value in list(column.items()) if row < count}
            for name, column in list(self._extra.items())
        }
        return copied

    def append(self, lr: float, loss: float, extra: dict[str, float] | None = None) -> None:
        """Add a row: the rate of a step, the loss before it, and further columns of this row."""
        count = self._count
        if count == len(self._table):
            table = np.empty((2 * count, 2))
            table[:count] = self._table
            self._table = table
        row = self._table[count]
        row[0] = lr
        row[1] = loss
        if extra:
            for name, value in extra.items():
                self._extra.setdefault(name, {})[count] = value
        self._count = count + 1

    def begin_sweep(self) -> None:
        """Mark that the next row is the first of another sweep (repeats)."""
        if self._count:
            self.sweep_starts.append(self._count)

    def __len__(self) -> int:
        return self._count

    def rows(self, offset: int = 0) -> Floats:
        """The rows from `offset` on, shape (n, 2), columns lr and loss, as a copy."""
        count = self._count
        return self._table[offset:count].copy()

    def numbered(self, offset: int = 0) -> Iterator[tuple[float, float, dict[str, float]]]:
        """The rows from `offset` on, each as lr, loss and what else was measured in it."""
        for number, (lr, loss) in enumerate(self.rows(offset).tolist(), start=offset):
            extra = {name: c[number] for name, c in list(self._extra.items()) if number in c}
            yield lr, loss, extra

    @property
    def lr(self) -> Floats:
        """The rates that the optimizer steps used, shape (n,)."""
        return self.rows()[:, 0].copy()

    @property
    def loss(self) -> Floats:
        """The raw losses before each step, shape (n,)."""
        return self.rows()[:, 1].copy()

    @property
    def sweeps(self) -> list[Floats]:
        """The rows of each sweep, shapes (n, 2): one unless `repeats` was asked for."""
        return np.split(self.rows(), self.sweep_starts[1:])

    @property
    def frame(self) -> pd.DataFrame:
        """The table: columns lr and loss, those measured beside them (val_loss, metric; NaN where
        not measured), and `sweep` (from 0) where there is more than one."""
        rows = self.rows()
        frame = pd.DataFrame(rows, columns=["lr", "loss"])
        for name, values in self._extra.items():
            column = np.full(len(rows), np.nan)
            for row, value in list(values.items()):
                if row < len(rows):
                    column[row] = value
            frame[name] = column
        if len(self.sweep_starts) > 1:
            frame["sweep"] = np.searchsorted(self.sweep_starts, frame.index, side="right") - 1
        return frame

    def smoothed(self, beta: float) -> Floats:
        """The bias-corrected exponential average of the loss, shape (n,); see `curve.smoothing`.

        Each sweep is smoothed by itself. This is the published average, which trails the loss;
        drawn is a line that does not, see `lrwidget.curve.centred`.
        """
        return np.concatenate([smoothed(sweep[:, 1], beta) for sweep in self.sweeps])

    @property
    def suggestion(self) -> Suggestion:
        """The learning rate that the curve carries: `.lr`, or None, and the `.reason`."""
        return self._suggest()[1]

    @property
    def suggestions(self) -> dict[str, float | None]:
        """The rates by rule: "auto" (ours), then the published rules by name."""
        count, auto = self._suggest()
        return suggestions(*self._curve(count), auto)

    def _suggest(self) -> tuple[int, Suggestion]:
        """The number of rows so far and the suggestion for them, which is computed once."""
        count, reason, found = self._count, self.stop_reason, self._suggested
        if found is None or found[:2] != (count, reason):
            curve = self._curve(count)
            suggestion = suggest(*curve)
            early = ended_early(*curve, self.meta, reason)
            if early is not None:
                suggestion = dataclasses.replace(suggestion, reason=early)
            found = self._suggested = (count, reason, suggestion)
        return count, found[2]

    def _curve(self, count: int) -> tuple[Floats, Floats]:
        """The first `count` rows as rates (steps,) and losses (steps,) or (sweeps, steps)."""
        sweeps = [s for s in np.split(self._table[:count].copy(), self.sweep_starts[1:]) if len(s)]
        if len(sweeps) <= 1:
            rows = self._table[:count].copy()
            return rows[:, 0], rows[:, 1]
        longest = max(sweeps, key=len)
        losses = np.full((len(sweeps), len(longest)), np.nan)
        for i, sweep in enumerate(sweeps):
            losses[i, : len(sweep)] = sweep[:, 1]
        return longest[:, 0], losses

    def plot(
        self, ax: "Axes | None" = None, smoothing: float = 0.9, y_max: float | None = None
    ) -> "Axes":
        """Draw raw and smoothed loss over the rate, with the suggestion marked (matplotlib).

        Args:
            ax: where to draw; by default new axes.
            smoothing: how much the line is smoothed, 0 to 0.99: about as much as `smoothed` of the
                same number, but to both sides, so that it does not trail the loss.
            y_max: upper end of the loss axis; by default it leaves the explosion out.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
        """
        from lrwidget.records.plot import draw

        return draw(self, ax, smoothing, y_max)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the records as JSON Lines: a line of meta, then a row a line."""
        jsonl.write(path, self)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises:
            ValueError: the file is not one of ours; the message names the line.
        """
        return jsonl.read(path, cls)

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, str]:
        """What a notebook shows: picture, words and table; see `lrwidget.records.display`."""
        from lrwidget.records.display import show_records

        return show_records(self, include, exclude)

    def __repr__(self) -> str:
        if not self._count:
            return "LRRecords(no steps yet)"
        rates, losses = self.rows().T
        finite = losses[np.isfinite(losses)]
        span = f"lr {rates.min():.1e} to {rates.max():.1e}"
        fall = (
            f"loss {losses[0]:.3g}, lowest {finite.min():.3g}" if finite.size else "no finite loss"
        )
        best = self.suggestion.lr
        found = "no suggestion" if best is None else f"suggestion {best:.1e}"
        end = "running" if self.stop_reason is None else self.stop_reason.value
        return f"LRRecords({self._count} steps, {span}, {fall}, {end}, {found})"
