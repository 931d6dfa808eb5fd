"""The job of a worker of a Ray cluster and the reports about it, as picklable values."""

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

EXPECTED_RETURN = "a TrainingTask, or (model, optimizer, loss_fn, data)"


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One sweep, or the training at one rate of a check.

    Args:
        seed: seed of all random generators while the factory makes the task, so that every job
            begins with the same weights.
        arguments: keyword arguments of the factory.
        options: options of the sweep, without repeats; each repeat is a separate job.
        lr: learning rate of a check; None for a sweep.
        steps: number of steps of a check.
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
        reason: the stop reason.
        error: the exception that ended it, if any.
        traceback: the traceback of `error` as text.
        lost: whether a worker was lost, so that another attempt may succeed.
    """

    reason: StopReason
    error: BaseException | None = None
    traceback: str = ""
    lost: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """The news of a job since the previous report.

    Args:
        state: "starting", "running" or "paused"; after the end, the last of these.
        offset: index of the first of `rows` in the records.
        rows: little-endian float64 pairs (lr, loss).
        extra: further measurements by row index.
        elapsed: seconds of running time, without pauses.
        meta: the metadata of the records; sent with the first rows and the last report.
        job_end: how the job ended; in the last report only.
    """

    state: str
    offset: int = 0
    rows: bytes = b""
    extra: Mapping[int, dict[str, float]] = dataclasses.field(default_factory=dict)
    elapsed: float = 0.0
    meta: Mapping[str, Any] | None = None
    job_end: JobEnd | None = None


def build_task(factory: Callable[..., Any], job: Job) -> TrainingTask:
    """Return the task that the factory makes, with all random generators seeded by `job.seed`.

    Raises:
        TypeError, ValueError: the factory returned something other than expected.
    """
    random.seed(job.seed)
    np.random.seed(job.seed % 2**32)  # noqa: NPY002 - a user's factory may draw from the global generator
    torch.manual_seed(job.seed)
    made = factory(**job.arguments)
    parts = made if isinstance(made, tuple) else (made,)
    lr_range = {"start_lr": job.options.start_lr, "end_lr": job.options.end_lr}
    if len(parts) > 4:
        raise TypeError(f"task_factory returned {len(parts)} values; expected {EXPECTED_RETURN}")
    try:
        return task_and_options(*parts, **lr_range)[0]
    except (TypeError, ValueError) as error:
        types = ", ".join(type(part).__name__ for part in parts)
        given = f"({types})" if isinstance(made, tuple) else types
        raise type(error)(
            f"task_factory returned {given}; expected {EXPECTED_RETURN}: {error}"
        ) from error


def make_runner(task: TrainingTask, job: Job) -> tuple[Runner[Any], LRRecords]:
    """Return a runner of the job, not started, and the records that it fills."""
    if job.lr is None:
        sweep = SweepRunner(task, job.options)
        return sweep, sweep.records
    check = CheckRunner(task, [job.lr], job.steps)
    return check, check.result.trials[0]
