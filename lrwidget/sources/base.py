"""Where a widget's runs come from: what is swept, over which range, and what sweeps it."""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from torch.optim import Optimizer
from torch.utils.data import DataLoader

from lrwidget.arguments import task_and_options
from lrwidget.engine.check import CheckResults, CheckRunner
from lrwidget.engine.runner import RecordsRunner, Runner, SweepRunner
from lrwidget.records.records import LRRecords
from lrwidget.task.options import SWEEP_OPTIONS, SweepOptions
from lrwidget.task.rates import apply_rate
from lrwidget.task.task import TrainingTask

Overrides = Mapping[str, Any]
NONE: Overrides = {}


class Source(abc.ABC):
    """What a widget needs of the place where its sweeps run.

    `overrides` are options of the widget's constructor that a variant of its run has instead.
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
    def holds(self, optimizer: Optimizer | None, overrides: Overrides = NONE) -> bool:
        """Whether what was last run puts the rates of this optimizer back when it ends.

        None stands for the one that `apply` sets by default.
        """

    @abc.abstractmethod
    def apply(self, lr: float, optimizer: Optimizer | None, overrides: Overrides = NONE) -> None:
        """Set a rate on an optimizer, by default the user's own, keeping its groups' ratios."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of model, optimizer and data."""


class Elsewhere(Source):
    """A source whose model and optimizer are not in this process."""

    where: str  # they are, in words

    def holds(self, optimizer: Optimizer | None, overrides: Overrides = NONE) -> bool:  # noqa: ARG002
        """No: no optimizer of this process is swept."""
        return False

    def apply(self, lr: float, optimizer: Optimizer | None, overrides: Overrides = NONE) -> None:  # noqa: ARG002
        """Set a rate on an optimizer of this process, keeping its groups' ratios."""
        if optimizer is None:
            raise ValueError(
                f"the optimizer of the sweep is {self.where}; give the one that you train with: "
                "w.apply(optimizer)"
            )
        apply_rate(optimizer, lr)

    def close(self) -> None:
        """Nothing is held here."""


class LocalSource(Source):
    """Sweeps in this process, of what the widget's constructor was given.

    Args:
        arguments: of the constructor: `model`, `optimizer`, `loss_fn`, `data` and any option of
            `TrainingTask` and of `SweepOptions`.

    Raises:
        TypeError, ValueError: what was given, what is expected, and how to mend it.
    """

    parallel = False  # all sweeps would share the one model

    def __init__(self, **arguments: Any) -> None:
        self._arguments = arguments
        self._task, self.options = task_and_options(**arguments)
        self._last = self._task

    def runner(self, label: str, overrides: Overrides = NONE) -> SweepRunner:
        """A sweep in a thread of its own."""
        self._last, options = self._variant(overrides)
        return SweepRunner(self._last, options, LRRecords({"label": label}))

    def checker(self, lrs: Sequence[float], steps: int, overrides: Overrides = NONE) -> CheckRunner:
        """A check in a thread of its own."""
        self._last, _ = self._variant(overrides)
        return CheckRunner(self._last, lrs, steps)

    def holds(self, optimizer: Optimizer | None, overrides: Overrides = NONE) -> bool:
        """Whether what was last run puts the rates of this optimizer back when it ends."""
        if optimizer is None:
            optimizer = self._variant(overrides)[0].optimizer
        return optimizer is self._last.optimizer

    def apply(self, lr: float, optimizer: Optimizer | None, overrides: Overrides = NONE) -> None:
        """Set a rate on an optimizer, by default the user's own, keeping its groups' ratios."""
        self._variant(overrides)[0].apply(lr, optimizer)

    def close(self) -> None:
        """Let go of model, optimizer and data."""
        self._arguments.clear()
        del self._task, self._last

    def _variant(self, overrides: Overrides) -> tuple[TrainingTask, SweepOptions]:
        # A task of its own only where it differs: making one may call a factory.
        if all(name in SWEEP_OPTIONS for name in overrides):
            return self._task, dataclasses.replace(self.options, **overrides)
        arguments = {**self._arguments, **overrides}
        if "data" in overrides and isinstance(overrides["data"], DataLoader):
            # A loader of another data set has a size and options of its own, unless it is told.
            for name in ("batch_size", "loader_options"):
                if name not in overrides:
                    arguments.pop(name, None)
        return task_and_options(**arguments)


def source_of(
    model: Any,
    optimizer: Any = None,
    loss_fn: Any = None,
    data: Any = None,
    runner: Any = None,
    **options: Any,
) -> Source:
    """The source that a widget's arguments stand for; one that is given as `model`, itself.

    Raises:
        TypeError, ValueError: what was given, what is expected, and how to mend it.
    """
    positional = {"optimizer": optimizer, "loss_fn": loss_fn, "data": data}
    beside = [name for name, value in positional.items() if value is not None]
    if runner is not None:
        return _source_on(runner, model, beside, options)
    if not isinstance(model, Source):
        return LocalSource(model=model, **positional, **options)
    beside += options
    if beside:
        raise TypeError(f"{', '.join(beside)} beside a {type(model).__name__}, which knows its own")
    return model


def _source_on(runner: Any, factory: Any, beside: Sequence[str], options: Overrides) -> Source:
    from lrwidget.ray.runner import RayRunner

    if not isinstance(runner, RayRunner):
        raise TypeError(
            f"runner is a {type(runner).__name__}; expected a lrwidget.distributed.RayRunner"
        )
    if beside:
        raise TypeError(
            f"{', '.join(beside)} beside a task_factory, which makes them on the worker; expected "
            "LRFinderWidget(task_factory, runner=RayRunner(...))"
        )
    from lrwidget.ray.source import RaySource

    return RaySource(factory, runner, **options)
