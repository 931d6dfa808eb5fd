"""The records of a sweep: its table, what the curve suggests, its file and its pictures."""

import dataclasses
import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lrwidget.curve.published_rules import suggestions
from lrwidget.curve.smoothing import smoothed
from lrwidget.curve.suggest import Suggestion, suggest
from lrwidget.curve.too_few_rows import ended_early
from lrwidget.records import jsonl
from lrwidget.records.table import Floats, RecordsTable, StopReason

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lrwidget.records.refinement import Refinement


class LRRecords(RecordsTable):
    """Learning rates and the losses met at them, row by row.

    The thread that sweeps is the only writer; any thread may read at any time and sees the rows
    that were complete when it asked.

    Args:
        meta: what is worth knowing of the sweep: versions, options, optimizer, batch size, seed.
    """

    def __init__(self, meta: dict[str, Any] | None = None) -> None:
        super().__init__(meta)
        self._suggested: tuple[int, StopReason | None, Suggestion] | None = None

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

    @property
    def refinement(self) -> "Refinement | None":
        """What `refine` came to with these records, also after `load`; None without it."""
        from lrwidget.records.refinement import Refinement

        saved = self.meta.get("refinement")
        return None if saved is None else Refinement.from_json(saved)

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

        return draw(self.sweeps, self.suggestion.lr, ax, smoothing, y_max)

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

        shown = self.copy()  # a sweep may add rows meanwhile
        return show_records(shown, shown.suggestion, include, exclude)

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
