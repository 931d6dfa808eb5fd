"""The check of a suggestion: train a few steps at each of several rates and compare.

Each trial trains on the same batches from the same state, which is restored after it, so the
curves differ by the rate alone.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import nullcontext
from itertools import repeat

from lrwidget.backup.origin import module_of
from lrwidget.data.reading import Iterated
from lrwidget.engine.equal_trials import refuse_equal
from lrwidget.engine.rows import train_at
from lrwidget.engine.sweep import seed_of_rank
from lrwidget.process_group.team import Team
from lrwidget.records.check_results import CheckResults
from lrwidget.records.table import StopReason
from lrwidget.restore.model_lock import exclusive
from lrwidget.restore.snapshot import prepared
from lrwidget.task.optimizers import name_of
from lrwidget.task.options import HIGHEST_SEED
from lrwidget.task.task import TrainingTask
from lrwidget.text.articles import a_kind
from lrwidget.validation import whole_number


def check_lrs(
    task: TrainingTask, lrs: Sequence[float], steps: int = 100, seed: int | None = None
) -> CheckResults:
    """Check rates as `lrwidget.check_lrs` does, whose documentation describes the arguments."""
    results = CheckResults(lrs)
    if seed is not None:
        seed = whole_number("seed", seed, 0, HIGHEST_SEED)
    work = checking(task, whole_number("steps", steps, 2), results, seed=seed)
    try:
        for _ in work:
            pass
    except KeyboardInterrupt:
        pass
    finally:
        work.close()
    return results


def checking(
    task: TrainingTask,
    steps: int,
    results: CheckResults,
    *,
    locked: bool = False,
    seed: int | None = None,
) -> Generator[None, None, StopReason]:
    """Fill `results`, one optimizer step for each `next`; return the stop reason.

    Args:
        task: the task to train.
        steps: optimizer steps at each rate.
        results: holds the rates, and gets the rows.
        locked: the caller holds the `ModelLock` of the task.
        seed: seeds the random generators for each trial.

    Raises:
        RuntimeError: all rates gave the same losses, which says nothing.
        Exception: any exception of the task.
    """
    refuse_if_read_once(task)
    alone = nullcontext() if locked else exclusive(task)
    with alone, Team.assembled(task, {"lrs": results.lrs, "steps": steps}) as team:
        in_place = ""
        seed = None if seed is None else seed_of_rank(seed)
        for lr, trial in zip(results.lrs, results.trials, strict=True):
            trial.stop_reason = StopReason.STOPPED
            try:
                # Without a seed all draw the same too: the generators are restored after each.
                with task.session(), prepared(task, seed, in_place=in_place) as parts:
                    # A loss that jumps up may recover, which a check must show; and the stop rule
                    # is made for rising rates.
                    trial.stop_reason = yield from train_at(
                        task,
                        parts,
                        repeat(lr, steps),
                        trial,
                        stop_at_divergence=False,
                        team=team,
                        val_data=task.validation,
                        # Else all that is compared is measured before the first step.
                        last=steps - 1 if steps <= task.val_every else None,
                    )
            except Exception:
                trial.stop_reason = StopReason.FAILED
                raise
            in_place = parts.why
            if trial.stop_reason is StopReason.STOPPED:  # on another rank
                return StopReason.STOPPED
    trials = list(zip(results.lrs, results.trials, strict=True))
    refuse_equal(trials, name_of(task.optimizer))
    return StopReason.FINISHED


def refuse_if_read_once(task: TrainingTask) -> None:
    """Raise ValueError if the data cannot be read again for each rate."""
    data = task.data.data if isinstance(task.data, Iterated) else task.data
    # Not by iter(), which may draw a random number or start workers.
    if isinstance(data, Iterator) and not _may_begin_again(data):
        raise ValueError(
            f"data is {a_kind(data)}, which can be read only once, but each rate "
            "needs the same batches; give a DataLoader, a Dataset or a list"
        )


def _may_begin_again(data: Iterator[object]) -> bool:
    """Return whether an iterator may begin anew in its `__iter__`, as loaders of one's own do.

    If it does not, its attributes are put back before each trial, which comes to the same; an
    iterator among them cannot be.
    """
    kind = type(data)
    own = any("__iter__" in vars(base) for base in kind.__mro__ if module_of(base) not in _STANDARD)
    held = getattr(data, "__dict__", None)
    return own and held is not None and not any(isinstance(v, Iterator) for v in held.values())


_STANDARD = ("builtins", "collections.abc", "typing", "torch.utils.data.dataloader")
