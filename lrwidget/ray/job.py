"""What a worker of a Ray cluster does, and what it says of it: plain values that travel."""

import dataclasses
import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from lrwidget.arguments import task_and_options
from lrwidget.engine.runner import Runner
from lrwidget.records.records import LRRecords
from lrwidget.records.table import StopReason
from lrwidget.sources.local import CheckRunner, SweepRunner
from lrwidget.task.options import SweepOptions
from lrwidget.task.task import TrainingTask

RETURNS = "a TrainingTask, or (model, optimizer, loss_fn, data)"


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One sweep, or the training at one rate of a check.

    Args:
        seed: of all random generators while the factory makes the task, so that every job begins
            with the same weights.
        arguments: for the factory.
        options: of the sweep, without repeats; each is a job of its own.
        lr: of the check; None for a sweep.
        steps: of the check.
    """

    seed: int
    arguments: Mapping[str, Any]
    options: SweepOptions
    lr: float | None = None
    steps: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class JobEnd:
    """How a job ended.

    Args:
        reason: why.
        error: what was raised, if anything.
        traceback: its text.
        lost: whether a worker was lost, so that trying again may help.
    """

    reason: StopReason
    error: BaseException | None = None
    traceback: str = ""
    lost: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What is new of a job.

    Args:
        state: "starting", "running" or "paused"; after the end, the last of them.
        offset: the number of the first of `rows`.
        rows: little-endian float64 pairs (lr, loss).
        extra: what else was measured, by the number of the row.
        elapsed: seconds that it has been running, without pauses.
        meta: of the records, when they have some.
        end: how it ended, in the last report.
    """

    state: str
    offset: int = 0
    rows: bytes = b""
    extra: Mapping[int, dict[str, float]] = dataclasses.field(default_factory=dict)
    elapsed: float = 0.0
    meta: Mapping[str, Any] | None = None
    end: JobEnd | None = None


def task_of(factory: Callable[..., Any], job: Job) -> TrainingTask:
    """Call the factory, in the same state of the random generators each time.

    Raises:
        TypeError, ValueError: it returned something else than expected.
    """
    random.seed(job.seed)
    np.random.seed(job.seed % 2**32)  # noqa: NPY002 - what a user's factory may draw from
    torch.manual_seed(job.seed)
    made = factory(**job.arguments)
    parts = made if isinstance(made, tuple) else (made,)
    ends = {"start_lr": job.options.start_lr, "end_lr": job.options.end_lr}
    if len(parts) > 4:
        raise TypeError(f"task_factory returned {len(parts)} values; expected {RETURNS}")
    try:
        return task_and_options(*parts, **ends)[0]
    except (TypeError, ValueError) as error:
        kinds = ", ".join(type(part).__name__ for part in parts)
        given = f"({kinds})" if isinstance(made, tuple) else kinds
        raise type(error)(f"task_factory returned {given}; expected {RETURNS}: {error}") from error


def runner_of(task: TrainingTask, job: Job) -> tuple[Runner[Any], LRRecords]:
    """What runs the job, not started, and the table that it fills."""
    if job.lr is None:
        sweep = SweepRunner(task, job.options)
        return sweep, sweep.records
    check = CheckRunner(task, [job.lr], job.steps)
    return check, check.result.trials[0]
