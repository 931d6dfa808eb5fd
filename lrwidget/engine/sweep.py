"""The range test: raise the learning rate every step, record the loss met at it.

Smith, "Cyclical Learning Rates for Training Neural Networks" (2015), section 3.3.
"""

from collections.abc import Generator
from contextlib import nullcontext
from typing import Any

import torch

from lrwidget.engine.ladder import Ladder
from lrwidget.engine.meta import meta_of, plain
from lrwidget.engine.rows import train_at
from lrwidget.process_group.processes import process_rank
from lrwidget.process_group.team import Team
from lrwidget.records.records import LRRecords
from lrwidget.records.table import StopReason
from lrwidget.restore.captured import not_swept
from lrwidget.restore.model_lock import exclusive
from lrwidget.restore.snapshot import SweepTarget, prepared, where_it_ran
from lrwidget.task.optimizers import finds_its_own_rate, uses_rate_once
from lrwidget.task.options import SweepOptions
from lrwidget.task.task import TrainingTask


def sweep(
    task: TrainingTask,
    options: SweepOptions,
    records: LRRecords,
    ladder: Ladder | None = None,
    *,
    locked: bool = False,
) -> Generator[None, None, StopReason]:
    """Run the range test, one optimizer step for each `next`; rows go to `records`.

    However the sweep ends - at the last rate, by divergence, by `close`, by an exception - the
    task's own objects and the random generators are restored bit for bit, and
    `records.stop_reason`, which is also returned, says how it ended.

    Args:
        task: the task to sweep.
        options: the range, its density, and when to end.
        records: an empty table; gets the rows and their meta.
        ladder: the rates of these options, which other threads may extend; by default a new one.
        locked: the caller holds the `ModelLock` of the task.

    Raises:
        RuntimeError: the model is being swept already.
        Exception: any exception of the task.
    """
    reason = StopReason.FAILED
    ladder = Ladder(options) if ladder is None else ladder
    records.under_way = True
    try:
        alone = nullcontext() if locked else exclusive(task)
        with alone, Team.assembled(task, _common(options)) as team:
            in_place = ""
            for repeat in range(options.repeats):
                records.begin_sweep()
                seed = _seed(options, repeat)
                with task.session(), prepared(task, seed, in_place=in_place) as parts:
                    reason = yield from _sweep_once(
                        task, parts, ladder, records, options=options, team=team
                    )
                if reason in (StopReason.EXHAUSTED, StopReason.STOPPED):
                    break
                in_place = parts.why
    except (GeneratorExit, KeyboardInterrupt):
        reason = StopReason.STOPPED
        raise
    except BaseException:
        reason = StopReason.FAILED
        raise
    finally:
        ladder.close()
        if "options" in records.meta:
            records.meta["options"] = plain(ladder.options)
        records.stop_reason, records.under_way = reason, False
    return reason


def _sweep_once(
    task: TrainingTask,
    parts: SweepTarget,
    ladder: Ladder,
    records: LRRecords,
    *,
    options: SweepOptions,
    team: Team | None,
) -> Generator[None, None, StopReason]:
    """Train at the rates of the ladder once; rows and what is known of the task go to `records`."""
    records.meta.update(meta_of(task, ladder.options), **where_it_ran(parts))
    notes = {
        "not_swept": not_swept(task),
        "own_rate": finds_its_own_rate(task.optimizer),
        "rate_unused": uses_rate_once(task.optimizer),
    }
    records.meta.update({name: note for name, note in notes.items() if note})
    try:
        return (
            yield from train_at(
                task,
                parts,
                ladder.climb(),
                records,
                stop_at_divergence=options.stop_at_divergence,
                team=team,
                val_data=task.val_data,
            )
        )
    finally:  # some data has a batch size only after it was read
        records.meta["batch_size"] = task.batch_size


def _seed(options: SweepOptions, repeat: int) -> int | None:
    """Return the seed of a repeat; None continues from the present state of the generators."""
    if options.seed is not None:
        return seed_of_rank(options.seed + repeat)
    return None if repeat == 0 else torch.initial_seed() % 2**32 + repeat


def seed_of_rank(seed: int) -> int:
    """Return the seed of this process: with the same one, all ranks would draw the same batches."""
    return seed + 100_003 * process_rank()


def _common(options: SweepOptions) -> dict[str, Any]:
    """Return the options that must be equal on all ranks: all but the seed."""
    return {name: value for name, value in plain(options).items() if name != "seed"}
