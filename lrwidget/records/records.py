"""The records of a sweep: the table of rows with suggestion, file and pictures."""

import dataclasses
import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lrwidget.curve.few_samples import few_samples_doubt
from lrwidget.curve.published_rules import suggestions
from lrwidget.curve.smoothing import smoothed
from lrwidget.curve.suggest import Suggestion, suggest
from lrwidget.curve.too_few_rows import begins_far_above_start, ended_early, planned_steps
from lrwidget.records import jsonl
from lrwidget.records.table import Floats, RecordsTable, StopReason
from lrwidget.text.articles import a_kind
from lrwidget.text.numbers import rate_in_words, steps_in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lrwidget.records.refinement import Refinement


class LRRecords(RecordsTable):
    """The learning rate and the loss of each step of a sweep.

    Only the thread of the sweep writes; any thread may read at any time and gets complete rows.

    Args:
        meta: description of the sweep: versions, options, optimizer, batch size, seed; by default
            empty.

    Raises:
        TypeError: meta is not a dict.
    """

    def __init__(self, meta: dict[str, Any] | None = None) -> None:
        if meta is not None and not isinstance(meta, dict):
            raise TypeError(
                f"meta is {a_kind(meta)}; expected a dict. LRRecords.load(path) reads a "
                "file, and append(lr, loss) adds rows of your own"
            )
        super().__init__(meta)
        self._suggested: tuple[int, StopReason | None, Suggestion] | None = None

    def smoothed(self, beta: float) -> Floats:
        """Return the bias-corrected exponential average of the loss, shape (n,).

        Each sweep is smoothed separately. The formula is in `lrwidget.curve.smoothing`. This
        average lags behind the loss; charts show the two-sided one of `lrwidget.curve.centred`.

        Args:
            beta: weight of the past, ``0 <= beta < 1``.

        Raises:
            ValueError: beta lies outside [0, 1).
        """
        return np.concatenate([smoothed(sweep[:, 1], beta) for sweep in self.sweeps])

    @property
    def suggestion(self) -> Suggestion:
        """The suggested learning rate, `.lr` (None if there is none), and its `.reason`."""
        return self._suggest()[1]

    @property
    def suggestions(self) -> dict[str, float | None]:
        """The suggested rate by rule: "auto" (that of `suggestion`), then the published rules."""
        count, auto = self._suggest()
        return suggestions(*self._curve(count), auto)

    @property
    def refinement(self) -> "Refinement | None":
        """What `refine` came to with these records, also after `load`; None without it."""
        from lrwidget.records.refinement import Refinement

        saved = self.meta.get("refinement")
        return None if saved is None else Refinement.from_json(saved)

    def _suggest(self) -> tuple[int, Suggestion]:
        """Return the number of rows and the suggestion for them, which is cached."""
        count, reason, found = self._count, self.stop_reason, self._suggested
        if found is None or found[:2] != (count, reason):
            curve = self._curve(count)
            suggestion = suggest(*curve)
            if len(curve[0]) < planned_steps(self.meta):
                suggestion = suggestion.cut_short()
            early = ended_early(*curve, self.meta, reason)
            if unused := self.meta.get("rate_unused"):
                suggestion = Suggestion(None, str(unused), "low")
            elif early is not None:
                suggestion = dataclasses.replace(suggestion, reason=early)
            elif why := few_samples_doubt(self.meta, self.sweep_starts, count):
                suggestion = suggestion.doubted(why)
            if begins_far_above_start(curve[0], self.meta):
                suggestion = suggestion.on_linear_ladder()
            if own := self.meta.get("own_rate"):
                suggestion = suggestion.doubted(str(own))
            found = self._suggested = (count, reason, suggestion)
        return count, found[2]

    def _curve(self, count: int) -> tuple[Floats, Floats]:
        """Return `count` rows as rates (steps,) and losses (steps,) or (sweeps, steps)."""
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
        """Draw raw and smoothed loss over the rate with matplotlib, and mark the suggestion.

        Args:
            ax: axes to draw on; by default new ones.
            smoothing: strength of the smoothing, 0 to 0.99; about as strong as `smoothed` with this
                beta, but two-sided, so that the line does not lag behind the loss.
            y_max: upper end of the loss axis; by default the axis leaves the explosion out.

        Returns:
            The axes.

        Raises:
            TypeError, ValueError: an argument is invalid.
            ModuleNotFoundError: matplotlib is not installed.
        """
        from lrwidget.records.plot import draw

        return draw(self.sweeps, self.suggestion.lr, ax, smoothing, y_max)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the records as JSON Lines: one line of meta, then one line for each row.

        Raises:
            TypeError: `path` is not a path.
            OSError: the file cannot be written; an existing one is as before.
        """
        jsonl.write(path, self)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read records from a file that `save` or `lr_find(..., log=path)` wrote.

        Raises:
            TypeError: `path` is not a path.
            ValueError: the file does not follow the format; the message says where.
            OSError: the file cannot be read.
        """
        records = jsonl.read(path, cls)
        try:
            _ = records.refinement
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{os.fspath(path)}: the refinement in the meta does not follow the format "
                f"({type(error).__name__}: {error})"
            ) from error
        return records

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, str]:
        """Return the display of a notebook: picture, text and table; see `records.display`."""
        from lrwidget.records.display import show_records

        shown = self.copy()  # a sweep may add rows meanwhile
        shown.under_way = self.under_way
        return show_records(shown, shown.suggestion, shown.refinement, include, exclude)

    def __repr__(self) -> str:
        if not self._count:
            return "LRRecords(no steps yet)"
        rates, losses = self.rows().T
        finite = losses[np.isfinite(losses)]
        span = f"lr {rate_in_words(rates.min())} to {rate_in_words(rates.max())}"
        fall = (
            f"loss {losses[0]:.3g}, lowest {finite.min():.3g}" if finite.size else "no finite loss"
        )
        best = self.suggestion.lr
        found = "no suggestion" if best is None else f"suggestion {rate_in_words(best)}"
        facts = [steps_in_words(self._count), span, fall, self.end, found]
        return f"LRRecords({', '.join(filter(None, facts))})"
