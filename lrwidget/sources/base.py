"""The base classes of sources, which create the runners of a widget."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any

from lrwidget.engine.runner import Runner
from lrwidget.records.check_results import CheckResults
from lrwidget.records.records import LRRecords
from lrwidget.records.refinement import Refinement
from lrwidget.task.options import SweepOptions
from lrwidget.task.rates import apply_rate

Overrides = Mapping[str, Any]
NONE: Overrides = {}


class RecordsRunner(Runner[LRRecords], abc.ABC):
    """A runner that fills a table of records, in this process or from another.

    Attributes:
        extends: whether the sweep can be extended.
        elsewhere: a sentence that says where the sweep runs; empty if it runs in this process.
        cannot_refine: why its suggestion cannot be refined, in words; empty if it can.
        replacement: the runner of the sweep that has replaced this one, not started; None if there
            is none.
    """

    extends = False
    elsewhere = ""
    cannot_refine = (
        "the sweep does not run in this process, which has no model for trials; call "
        "refine(task, records) where the model is"
    )
    replacement: "RecordsRunner | None" = None

    @property
    @abc.abstractmethod
    def span(self) -> tuple[float, float]:
        """The ends of the range of rates, (start_lr, end_lr); the upper one may grow."""

    def extend(self, end_lr: float) -> None:
        """Extend the sweep to a higher rate at the same density; callable from any thread.

        The rates up to the present end do not change, and the last is exactly `end_lr`.

        Args:
            end_lr: the new end (a rate above the present one).

        Raises:
            TypeError, ValueError: `end_lr` is not a rate, or not above the present end.
            RuntimeError: the sweep is not running, or several processes run it.
        """
        raise RuntimeError(
            f"what runs elsewhere cannot be extended; start another sweep, with end_lr={end_lr!r}"
        )

    def steps_to(self, end_lr: float) -> int:  # noqa: ARG002 - where it can be extended
        """Return how many steps an extension to `end_lr` adds to each sweep; 0 if impossible."""
        return 0

    @property
    def records(self) -> LRRecords:
        """The rows so far."""
        return self.result


class RefinementRunner(Runner[Refinement], abc.ABC):
    """A runner of the short trials of a refinement; `steps` is its budget.

    Attributes:
        kept_in: where the states of trials are kept: "device", "cpu", "disk" or, if unknown, "".
    """

    kept_in = ""

    @abc.abstractmethod
    def extend(self, budget: int) -> None:
        """Raise the budget; callable from any thread, and in vain after the end of the search."""


class Source(abc.ABC):
    """Creates the runners of a widget, for the process in which its sweeps run.

    `overrides` are arguments of the widget's constructor that are replaced for a single run. An
    `optimizer` is torch's, or an object with the same interface. Every method may raise TypeError
    or ValueError for them.

    Attributes:
        options: the sweep options without overrides.
        parallel: whether several sweeps may run at the same time.
    """

    options: SweepOptions
    parallel: bool

    @abc.abstractmethod
    def runner(self, label: str, overrides: Overrides = NONE) -> RecordsRunner:
        """Return a runner of one sweep; it is not started and may be discarded."""

    @abc.abstractmethod
    def checker(
        self, lrs: Sequence[float], steps: int, overrides: Overrides = NONE
    ) -> Runner[CheckResults]:
        """Return a runner that trains `steps` steps at each of `lrs`; it is not started."""

    @abc.abstractmethod
    def refiner(
        self,
        records: LRRecords,
        budget: int,
        planned_steps: int | None,
        held_out: Any,
        overrides: Overrides = NONE,
    ) -> RefinementRunner:
        """Return a runner that refines the suggestion of `records`; it is not started.

        It is asked for only if the runner of these records can be refined (`cannot_refine`). The
        other arguments are those of `lrwidget.refine`.
        """

    @abc.abstractmethod
    def holds(self, optimizer: Any, overrides: Overrides = NONE) -> bool:
        """Return whether the last runner restores the rates of this optimizer when it ends.

        None stands for the optimizer that `apply` sets by default.
        """

    @abc.abstractmethod
    def apply(self, lr: float, optimizer: Any, overrides: Overrides = NONE) -> None:
        """Set a rate on an optimizer, by default the user's own, keeping its groups' ratios."""

    @abc.abstractmethod
    def close(self) -> None:
        """Release model, optimizer and data."""


class RemoteSource(Source):
    """A source whose model and optimizer are in another process.

    Attributes:
        where: a phrase that says where they are, for messages.
    """

    where: str

    def refiner(
        self,
        records: LRRecords,  # noqa: ARG002
        budget: int,  # noqa: ARG002
        planned_steps: int | None,  # noqa: ARG002
        held_out: Any,  # noqa: ARG002
        overrides: Overrides = NONE,  # noqa: ARG002
    ) -> RefinementRunner:
        """Raise RuntimeError: this process has no model to train."""
        raise RuntimeError(
            f"the model of the sweep is {self.where}; call refine(task, records) there"
        )

    def holds(self, optimizer: Any, overrides: Overrides = NONE) -> bool:  # noqa: ARG002
        """Return False: no optimizer of this process is swept."""
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
        """Do nothing: this process holds no model, optimizer or data."""
