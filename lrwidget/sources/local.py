"""Sweeps and checks in this process, each in its own thread."""

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch.utils.data import DataLoader

from lrwidget.arguments import task_and_options
from lrwidget.backup.rng import cuda_in_use
from lrwidget.curve.search import first_length
from lrwidget.engine.check import checking, refuse_if_read_once
from lrwidget.engine.error_notes import THREAD, attach, comes_of_thread, note_ending
from lrwidget.engine.ladder import Ladder
from lrwidget.engine.meta import plain
from lrwidget.engine.openmp import release_worker_threads
from lrwidget.engine.refine import refinement_of, refining, validate_refinement
from lrwidget.engine.runner import Runner, RunState, Work
from lrwidget.engine.sweep import sweep
from lrwidget.process_group.processes import process_count
from lrwidget.records.check_results import CheckResults
from lrwidget.records.records import LRRecords
from lrwidget.records.refinement import Refinement
from lrwidget.records.table import StopReason
from lrwidget.restore.model_lock import ModelLock
from lrwidget.restore.warned_of import warnings_of
from lrwidget.sources.base import NONE, Overrides, RecordsRunner, RefinementRunner, Source
from lrwidget.task.mends import mend_in
from lrwidget.task.options import SWEEP_OPTIONS, SweepOptions
from lrwidget.task.task import TrainingTask
from lrwidget.validation import whole_number


def local_work(
    task: TrainingTask,
    steps: Callable[[], Generator[None, None, StopReason]],
    explain: Callable[[Exception], str] = lambda error: "",  # noqa: ARG005
) -> Work:
    """Return the work of a runner that trains the model of a task in its own thread."""
    return Work(steps, lambda: ModelLock(task), own_thread, explain)


def own_thread() -> AbstractContextManager[None]:
    """Prepare the calling thread for a sweep in another one; return the context for that one."""
    release_worker_threads()
    return same_device_and_stream()


def same_device_and_stream() -> AbstractContextManager[None]:
    """Return a context that sets the caller's default device and CUDA stream in another thread.

    torch keeps both per thread. On the same stream, work that the caller has queued runs first.
    """
    device = torch.get_default_device()
    stream = torch.cuda.current_stream() if cuda_in_use() else None

    @contextmanager
    def entered() -> Iterator[None]:
        with device if device.type != "cpu" else contextlib.nullcontext():
            if stream is not None:
                torch.cuda.set_stream(stream)  # and its device
            yield

    return entered()


def explain_here(error: Exception, what: str, records: Any, rows: int) -> str:
    """Add notes to an exception of a task trained in this process; return the hint to show."""
    note_ending(error, what, records, rows)
    if not comes_of_thread(error):
        return mend_in(error)
    attach(error, THREAD)
    return THREAD


class SweepRunner(RecordsRunner):
    """Runs one sweep of a task in its own thread.

    Args:
        task: the task to sweep.
        options: the options of the sweep.
        records: the table that gets the rows; by default a new one.
    """

    extends = True

    def __init__(
        self, task: TrainingTask, options: SweepOptions, records: LRRecords | None = None
    ) -> None:
        records = LRRecords() if records is None else records
        ladder = Ladder(options)
        self.ladder: Ladder = ladder
        work = local_work(
            task,
            lambda: sweep(task, options, records, ladder, locked=True),
            lambda error: explain_here(error, "the sweep", records, len(records)),
        )
        super().__init__(work, records, ladder.total)
        self.notice: str = warnings_of(task)
        self.cannot_refine: str = _why_not_refined(task)

    @property
    def span(self) -> tuple[float, float]:
        """The ends of the range of rates, (start_lr, end_lr)."""
        return self.ladder.options.start_lr, self.ladder.options.end_lr

    def steps_to(self, end_lr: float) -> int:
        """Return how many steps an extension to `end_lr` adds to each sweep."""
        return self.ladder.steps_to(end_lr)

    def extend(self, end_lr: float) -> None:
        """Extend the sweep to a higher rate; see `RecordsRunner.extend`."""
        if self.state not in (RunState.RUNNING, RunState.PAUSED):
            raise RuntimeError(
                f"the sweep is {self.state.value}, and only one that is running or paused can be "
                f"extended; start one with end_lr={end_lr!r}"
            )
        if process_count() > 1:
            raise RuntimeError(
                f"{process_count()} processes climb this ladder in step, and the others would not "
                f"know of a new end; start another sweep, with end_lr={end_lr!r}"
            )
        self.ladder.extend(end_lr)
        self.steps: int = self.ladder.total
        if "options" in self.records.meta:  # else the sweep sets them before its first step
            self.records.meta["options"] = plain(self.ladder.options)


class CheckRunner(Runner[CheckResults]):
    """Runs a check in its own thread; `result` can be read while it runs.

    Args:
        task: the task to train.
        lrs: the rates to try.
        steps: optimizer steps at each rate, at least 2.
        seed: as in `lrwidget.check_lrs`.

    Raises:
        TypeError, ValueError: an invalid argument; the message says what is expected.
    """

    def __init__(
        self, task: TrainingTask, lrs: Sequence[float], steps: int = 100, seed: int | None = None
    ) -> None:
        results = CheckResults(lrs)
        steps = whole_number("steps", steps, 2)
        refuse_if_read_once(task)
        work = local_work(
            task,
            lambda: checking(task, steps, results, locked=True, seed=seed),
            lambda error: explain_here(error, "the check", results, sum(map(len, results.trials))),
        )
        super().__init__(work, results, steps * len(results.lrs))


class RefineRunner(RefinementRunner):
    """Refines a suggestion in its own thread; `result` can be read while it runs.

    At the end the records hold the result too.

    Args:
        task: the task to train.
        records: the records of a sweep of this task.
        budget, planned_steps, held_out: as in `lrwidget.refine`.

    Raises:
        TypeError, ValueError: an argument is invalid, or the task cannot be refined.
    """

    def __init__(
        self,
        task: TrainingTask,
        records: LRRecords,
        budget: int,
        planned_steps: int | None = None,
        held_out: Any = None,
    ) -> None:
        budget = whole_number("budget", budget, 1)
        validate_refinement(task, planned_steps, held_out)
        first_length(budget, budget - len(records))  # raises for a budget that is too small
        result = refinement_of(records, budget, planned_steps)
        work = local_work(
            task,
            lambda: _refining(task, records, result, held_out),
            lambda error: explain_here(error, "the refinement", result, result.steps),
        )
        super().__init__(work, result, budget)
        self.kept_in = "device" if task.snapshot == "auto" else task.snapshot

    def extend(self, budget: int) -> None:
        """Raise the budget; see `RefinementRunner.extend`."""
        self.steps = self.result.budget = budget


def _refining(
    task: TrainingTask, records: LRRecords, result: Refinement, held_out: Any
) -> Generator[None, None, StopReason]:
    try:
        return (yield from refining(task, result, held_out, locked=True))
    finally:
        records.meta["refinement"] = result.as_json()


def _why_not_refined(task: TrainingTask) -> str:
    try:
        validate_refinement(task, None, None)
    except (TypeError, ValueError, RuntimeError) as error:
        return str(error)
    return ""


class LocalSource(Source):
    """The source of sweeps in this process.

    Args:
        arguments: the arguments of the widget's constructor: `model`, `optimizer`, `loss_fn`,
            `data` and any option of `TrainingTask` and of `SweepOptions`.

    Raises:
        TypeError, ValueError: an invalid argument; the message says what is expected.
    """

    options: SweepOptions
    parallel = False  # all sweeps share one model

    def __init__(self, **arguments: Any) -> None:
        self._arguments = arguments
        self._task, self.options = task_and_options(**arguments)
        self._last = self._task

    def runner(self, label: str, overrides: Overrides = NONE) -> SweepRunner:
        """Return a runner of one sweep."""
        self._last, options = self._variant(overrides)
        return SweepRunner(self._last, options, LRRecords({"label": label}))

    def checker(self, lrs: Sequence[float], steps: int, overrides: Overrides = NONE) -> CheckRunner:
        """Return a runner of a check."""
        self._last, options = self._variant(overrides)
        return CheckRunner(self._last, lrs, steps, options.seed)

    def refiner(
        self,
        records: LRRecords,
        budget: int,
        planned_steps: int | None,
        held_out: Any,
        overrides: Overrides = NONE,
    ) -> RefineRunner:
        """Return a runner of a refinement."""
        self._last, _ = self._variant(overrides)
        return RefineRunner(self._last, records, budget, planned_steps, held_out)

    def holds(self, optimizer: Any, overrides: Overrides = NONE) -> bool:
        """Return whether the last runner restores the rates of this optimizer when it ends."""
        if optimizer is None:
            optimizer = self._variant(overrides)[0].optimizer
        return optimizer is self._last.optimizer

    def apply(self, lr: float, optimizer: Any, overrides: Overrides = NONE) -> None:
        """Set a rate on an optimizer, by default the user's own, keeping its groups' ratios."""
        self._variant(overrides)[0].apply(lr, optimizer)

    def close(self) -> None:
        """Release model, optimizer and data."""
        self._arguments.clear()
        del self._task, self._last

    def _variant(self, overrides: Overrides) -> tuple[TrainingTask, SweepOptions]:
        # A new task is created only if it differs, since that may call an optimizer factory.
        if all(name in SWEEP_OPTIONS for name in overrides):
            return self._task, dataclasses.replace(self.options, **overrides)
        arguments = {**self._arguments, **overrides}
        if "data" in overrides and isinstance(overrides["data"], DataLoader):
            # Another loader keeps its own batch size and options unless they are given too.
            for name in ("batch_size", "loader_options"):
                if name not in overrides:
                    arguments.pop(name, None)
        return task_and_options(**arguments)
