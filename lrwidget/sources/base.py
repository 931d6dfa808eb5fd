"""Where a widget's runs come from: what is swept, over which range, and what sweeps it."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any

from lrwidget.engine.runner import Runner
from lrwidget.records.check_results import CheckResults
from lrwidget.records.records import LRRecords
from lrwidget.task.options import SweepOptions
from lrwidget.task.rates import apply_rate

Overrides = Mapping[str, Any]
NONE: Overrides = {}


class RecordsRunner(Runner[LRRecords], abc.ABC):
    """A runner that fills a table of records, wherever the sweep itself may run.

    Attributes:
        extends: whether it can be extended.
        elsewhere: why nothing but the records is here, in words; empty where the model is.
        replacement: the runner of another sweep that has replaced this one; not started yet.
    """

    extends = False
    elsewhere = ""
    replacement: "RecordsRunner | None" = None

    @property
    @abc.abstractmethod
    def span(self) -> tuple[float, float]:
        """The ends of the range of rates, (start_lr, end_lr); the upper one may grow."""

    def extend(self, end_lr: float) -> None:
        """Let the sweep go on to a higher rate, as dense as before; from any thread.

        The rates up to its present end stay as they are, and the last is exactly `end_lr`.

        Args:
            end_lr: the new end (a rate above the present one).

        Raises:
            TypeError, ValueError: it is no rate, or not above the present end.
            RuntimeError: the sweep is not under way, or several processes run it.
        """
        raise RuntimeError(
            f"what runs elsewhere cannot be extended; start another sweep, with end_lr={end_lr!r}"
        )

    def steps_to(self, end_lr: float) -> int:  # noqa: ARG002 - where it can be extended
        """How many steps an extension to `end_lr` adds to each sweep; 0 where there is none."""
        return 0

    @property
    def records(self) -> LRRecords:
        """The rows so far."""
        return self.result


class Source(abc.ABC):
    """What a widget needs of the place where its sweeps run.

    `overrides` are options of the widget's constructor that a variant of its run has instead. An
    `optimizer` is torch's or one like it; torch is not needed where there is none.
    Every method may raise TypeError or ValueError: what was given, what is expected.
    """

    options: SweepOptions  # of the plain run, without overrides
    parallel: bool  # whether several sweeps may be under way at once

    @abc.abstractmethod
    def runner(self, label: str, overrides: Overrides = NONE) -> RecordsRunner:
        """Something that runs one sweep; not started, and cheap to throw away."""

    @abc.abstractmethod
    def checker(
        self, lrs: Sequence[float], steps: int, overrides: Overrides = NONE
    ) -> Runner[CheckResults]:
        """Something that trains `steps` steps at each of `lrs`; not started."""

    @abc.abstractmethod
    def holds(self, optimizer: Any, overrides: Overrides = NONE) -> bool:
        """Whether what was last run puts the rates of this optimizer back when it ends.

        None stands for the one that `apply` sets by default.
        """

    @abc.abstractmethod
    def apply(self, lr: float, optimizer: Any, overrides: Overrides = NONE) -> None:
        """Set a rate on an optimizer, by default the user's own, keeping its groups' ratios."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of model, optimizer and data."""


class RemoteSource(Source):
    """A source whose model and optimizer are not in this process."""

    where: str  # they are, in words

    def holds(self, optimizer: Any, overrides: Overrides = NONE) -> bool:  # noqa: ARG002
        """No: no optimizer of this process is swept."""
        return False

    def apply(self, lr: float, optimizer: Any, overrides: Overrides = NONE) -> None:  # noqa: ARG002
        """Set a rate on an optimizer of this process, keeping its groups' ratios."""
        if optimizer is None:
            raise ValueError(
                f"the optimizer of the sweep is {self.where}; give the one that you train with: "
                "w.apply(optimizer)"
            )
        apply_rate(optimizer, lr)

    def close(self) -> None:
        """Nothing is held here."""
