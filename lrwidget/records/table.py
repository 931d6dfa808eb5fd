"""The append-only table of a sweep: one row for each step."""

import copy
import enum
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]


class StopReason(enum.StrEnum):
    """Why a sweep ended."""

    FINISHED = "finished"
    DIVERGED = "diverged"
    NON_FINITE = "non-finite"
    STOPPED = "stopped"
    EXHAUSTED = "exhausted"
    FAILED = "failed"


class RecordsTable:
    """The learning rate and the loss of each step of a sweep.

    Only the thread of the sweep writes; any thread may read at any time and gets complete rows.

    Args:
        meta: description of the sweep: versions, options, optimizer, batch size, seed; by default
            empty.

    Attributes:
        stop_reason: why the sweep ended; None before that, and of rows that no sweep has added.
        under_way: whether a sweep is adding rows.
        sweep_starts: number of the first row of each sweep.
    """

    def __init__(self, meta: dict[str, Any] | None = None) -> None:
        self.meta: dict[str, Any] = {} if meta is None else meta
        self.stop_reason: StopReason | None = None
        self.under_way: bool = False
        self.sweep_starts: list[int] = [0]
        # The writer fills a row before it counts it, and replaces the array to grow: a reader that
        # reads the count before the array never sees an incomplete row.
        self._table = np.empty((256, 2))
        self._count = 0
        self._extra: dict[str, dict[int, float]] = {}

    def copy(self) -> Self:
        """Return a copy of the present rows, with a deep copy of meta."""
        copied = object.__new__(type(self))  # a subclass may be made of other things
        vars(copied).update(vars(self))  # with what it, or a user, has added
        copied.meta = copy.deepcopy(self.meta)
        copied.stop_reason, copied.under_way = self.stop_reason, False
        count = self._count
        copied._table, copied._count = self._table[: max(count, 1)].copy(), count
        copied.sweep_starts = [start for start in self.sweep_starts if start <= count]
        # A list of items may be interrupted by a collection of garbage, a copied dict may not.
        copied._extra = {
            name: {row: value for row, value in column.copy().items() if row < count}
            for name, column in self._extra.copy().items()
        }
        return copied

    @property
    def end(self) -> str:
        """Why the sweep ended, "running" while it is under way; "" if nothing is known of it."""
        if self.stop_reason is not None:
            return self.stop_reason.value
        return "running" if self.under_way else ""

    def __getstate__(self) -> dict[str, Any]:
        """Return what copy.copy, copy.deepcopy and pickle take: whole rows that are not shared."""
        return vars(self.copy())

    def append(self, lr: float, loss: float, extra: dict[str, float] | None = None) -> None:
        """Append a row: the rate of a step, the loss before it, and further columns.

        Raises:
            TypeError: the rate or the loss is None.
        """
        for name, value in (("lr", lr), ("loss", loss)):
            if value is None:  # numpy would store NaN, as if the loss had not been finite
                raise TypeError(f"{name} is None; expected a number")
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
        """Mark the next row as the first of another sweep (repeats)."""
        if self._count:
            self.sweep_starts.append(self._count)

    def __len__(self) -> int:
        return self._count

    def rows(self, offset: int = 0) -> Floats:
        """Return a copy of the rows from `offset` on, shape (n, 2), columns lr and loss."""
        count = self._count
        return self._table[offset:count].copy()

    def numbered(self, offset: int = 0) -> Iterator[tuple[float, float, dict[str, float]]]:
        """Yield the rows from `offset` on, each as lr, loss and its further columns."""
        for number, (lr, loss) in enumerate(self.rows(offset).tolist(), start=offset):
            extra = {name: c[number] for name, c in list(self._extra.items()) if number in c}
            yield lr, loss, extra

    @property
    def lr(self) -> Floats:
        """The learning rate of each step, shape (n,)."""
        return self.rows()[:, 0].copy()

    @property
    def loss(self) -> Floats:
        """The raw loss before each step, shape (n,)."""
        return self.rows()[:, 1].copy()

    @property
    def sweeps(self) -> list[Floats]:
        """The rows of each sweep, shapes (n, 2); one sweep unless `repeats` is above 1."""
        return np.split(self.rows(), self.sweep_starts[1:])

    @property
    def frame(self) -> pd.DataFrame:
        """The rows as a frame: columns lr, loss and those measured beside them (val_loss, metric).

        A NaN marks a row without a measurement. With several sweeps, the column `sweep` counts them
        from 0.
        """
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
