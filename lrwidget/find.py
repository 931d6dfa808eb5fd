"""For scripts: the range test with a progress bar instead of a widget, and trials after it."""

import contextlib
import os
import warnings
from collections.abc import Sequence
from typing import Any

from lrwidget.arguments import task_and_options
from lrwidget.curve.search import BUDGET, LENGTH
from lrwidget.engine import check as checks
from lrwidget.engine import refine as refinements
from lrwidget.engine.error_notes import note_ending
from lrwidget.engine.refine import refine_all, refinement_of, validate_refinement
from lrwidget.engine.sweep import sweep
from lrwidget.process_group.processes import process_rank
from lrwidget.records.check_results import CheckResults
from lrwidget.records.jsonl import Log
from lrwidget.records.records import LRRecords
from lrwidget.records.refinement import Refinement
from lrwidget.records.table import StopReason
from lrwidget.restore.warned_of import reads_on, warnings_of
from lrwidget.task.optimizers import is_optimizer
from lrwidget.task.options import SWEEP_OPTIONS
from lrwidget.task.task import TrainingTask


def lr_find(
    model: Any,
    optimizer: Any = None,
    loss_fn: Any = None,
    data: Any = None,
    *,
    progress: bool = True,
    log: str | os.PathLike[str] | None = None,
    refine: bool = False,
    planned_steps: int | None = None,
    held_out: Any = None,
    **options: Any,
) -> LRRecords:
    """Run a learning rate range test, restore the model, and return the records.

    Args:
        model: a `torch.nn.Module`, with the three arguments that follow; a TrainingTask alone; or
            an object of another framework, in one of these forms:
            `lr_find(lightning_module, trainer=trainer)`, with `data=` or `datamodule=` too;
            `lr_find(transformers_trainer)`; `lr_find(fastai_learner)`;
            `lr_find(skorch_net, X, y)`; `lr_find(model, optimizer, loss_fn, loader)` as prepared by
            Accelerate. See `lrwidget.adapters`.
        optimizer: an optimizer over the model's parameters, or a class or factory such as
            torch.optim.Adam.
        loss_fn: `loss_fn(output, target)`, or None if the model returns its own loss.
        data: a DataLoader, a data set, samples in a list, `(X, y)`, or any iterable of batches.
        progress: show a progress bar (tqdm).
        log: path of a file to which each row is written and flushed at once, in the format of
            `LRRecords.save`; another process can follow it while the sweep runs.
        refine: try rates around the suggestion in short trainings, judged by held-out data; see
            `lrwidget.refine`. The result is the attribute `refinement` of the records.
        planned_steps, held_out: arguments of `lrwidget.refine`, only with `refine`.
        options: see `SweepOptions` (start_lr, end_lr, steps, ...) and `TrainingTask`
            (accumulate, autocast, also, ...).

    Returns:
        The records. A KeyboardInterrupt ends the sweep and returns the rows so far.

    Raises:
        TypeError, ValueError: an invalid argument; the message says what is expected.
        Exception: any exception of the model; its attribute `records` holds the rows so far.
    """
    for name, flag in (("progress", progress), ("refine", refine)):
        if not isinstance(flag, bool):
            raise TypeError(f"{name} is {flag!r}; expected True or False")
    if not refine and (planned_steps is not None or held_out is not None):
        name = "held_out" if planned_steps is None else "planned_steps"
        raise TypeError(f"{name} is for refine=True, which was not given")
    task, sweep_options = task_and_options(model, optimizer, loss_fn, data, **options)
    if note := warnings_of(task):
        warnings.warn(note, stacklevel=2)
    records = LRRecords()
    steps = sweep(task, sweep_options, records)
    budget = 0
    if refine:
        validate_refinement(task, planned_steps, held_out)
        budget = max(BUDGET, sweep_options.steps * sweep_options.repeats + 3 * LENGTH)
    leads = process_rank() == 0  # only one of several processes shows the bar and writes the log
    total = budget or sweep_options.steps * sweep_options.repeats
    bar = _progress_bar(total) if progress and leads else None
    try:
        with contextlib.ExitStack() as stack:
            written = None if log is None or not leads else stack.enter_context(Log(log, records))
            # After an interrupt between two steps only the garbage collector would close it.
            stack.enter_context(contextlib.closing(steps))
            for _ in steps:
                if bar is not None:
                    bar.update()
                if written is not None:
                    written.update()
            if refine and records.stop_reason is not StopReason.STOPPED:
                if written is not None:
                    written.sweep_ended()
                result = refinement_of(records, budget, planned_steps)
                refine_all(task, records, result, held_out, bar.update if bar else lambda: None)
    except KeyboardInterrupt:
        pass
    except Exception as error:
        note_ending(error, "lr_find", records, len(records))
        raise
    finally:
        if bar is not None:
            bar.close()
    if records.stop_reason is None:  # interrupted before the first step
        records.stop_reason = StopReason.STOPPED
    return records


def refine(
    task: Any,
    records: LRRecords | None = None,
    budget: int = BUDGET,
    planned_steps: int | None = None,
    held_out: Any = None,
    **given: Any,
) -> Refinement:
    """Try rates around the suggestion in short trials, and restore the task afterwards.

    Args:
        task: a TrainingTask, or what `lr_find` takes as its model.
        records: records of a sweep of this task; without them a sweep of 100 steps is run first.
        budget: upper limit of the optimizer steps, including those of the sweep.
        planned_steps: steps of the planned training. The longer it is than the trials, the lower
            the rate, and the longer they may become. Without it the rate is .15 decades below the
            best trial. Leave it out for a schedule that decays to zero, which needs no lower rate.
        held_out: the data for comparing trials, which they do not train on: data, indices of the
            data set, or a share of it. By default the validation data of the task or its framework
            (`val_data`, `eval_dataset`, ...), else a fifth of its data (up to a third where that is
            fewer than 160 samples), at most 512 samples. Give it where samples depend on each other
            (several of one patient, pairs that share an item).
        given: what `lr_find` takes beside the model, by name: optimizer, loss_fn, trainer, ...

    Returns:
        The result: `.lr`, `.confidence`, `.reason`, `.steps`, `.frame`, `.summary`. The records
        also hold it as `refinement`. A KeyboardInterrupt ends the search and keeps its results.

    Raises:
        TypeError, ValueError: an argument is invalid.
        Exception: whatever the task raises.
    """
    _refuse_optimizer("records", records, "refine(model, optimizer=...")
    made = _task_of(task, given)
    return refinements.refine(made, records, budget, planned_steps, held_out)


def check_lrs(
    task: Any, lrs: Sequence[float], steps: int = 100, *, seed: int | None = None, **given: Any
) -> CheckResults:
    """Train `steps` steps at each rate from the task's present state, and restore that state.

    The rates are ranked by the loss on the validation data of the task or its framework, if there
    is any, else by the training loss.

    Args:
        task: a TrainingTask, or what `lr_find` takes as its model.
        lrs: learning rates for the first param group; the others keep their ratio to it.
        steps: optimizer steps at each rate, at least 2.
        seed: seeds the random generators for each rate, as that of `lr_find` does.
        given: what `lr_find` takes beside the model, by name: optimizer, loss_fn, trainer, ...

    Returns:
        The results. A KeyboardInterrupt ends the check and returns the results so far.

    Raises:
        TypeError, ValueError: an invalid argument; the message says what is expected.
        Exception: any exception of the task.
    """
    _refuse_optimizer("lrs", lrs, "check_lrs(model, lrs, optimizer=...")
    return checks.check_lrs(_task_of(task, given), lrs, steps, seed)


def _refuse_optimizer(name: str, value: Any, call: str) -> None:
    """Refuse the arguments of `lr_find` in the places that they have there."""
    if is_optimizer(value) or callable(value):
        kind = value if isinstance(value, type) else type(value)
        raise TypeError(
            f"{name} is {kind.__name__}; what lr_find takes beside the model goes by name here: "
            f"{call}, loss_fn=..., data=...)"
        )


def _task_of(task: Any, given: dict[str, Any]) -> TrainingTask:
    for name in SWEEP_OPTIONS:
        if name in given:
            raise TypeError(f"{name} is an option of a sweep; give it to lr_find")
    made = task_and_options(task, **given)[0]
    if note := reads_on(made):
        warnings.warn(note, stacklevel=3)
    return made


def _progress_bar(total: int) -> Any:
    from tqdm.auto import tqdm

    class Bar(tqdm):  # type: ignore[type-arg]
        # tqdm's monitor is a thread that would outlive the sweep.
        monitor_interval = 0

    return Bar(total=total, desc="learning rate sweep", unit="step", leave=False)
