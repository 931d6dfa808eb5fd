"""Is the suggested rate really better? Train at a few rates and compare.

Each trial trains the same steps on the same batches from the same state, which is put back after
it, so the curves differ by the rate alone.
"""

import math
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import repeat
from typing import Any

import numpy as np
import pandas as pd

from lrwidget.data.reading import Iterated
from lrwidget.engine.runner import Runner
from lrwidget.engine.sweep import train_at
from lrwidget.process_group.team import Team
from lrwidget.records.records import LRRecords, StopReason
from lrwidget.restore.model_lock import exclusive
from lrwidget.restore.snapshot import prepared
from lrwidget.task.task import TrainingTask
from lrwidget.validation import whole_number

# The last fifth of a trial stands for where it led: single batches are too noisy to compare.
TAIL = 0.2


class CheckResults:
    """What a few steps of training at each of some rates came to.

    Args:
        lrs: the rates, each once, in rising order.

    Attributes:
        trials: the records of each rate, which grow while the check runs.
    """

    def __init__(self, lrs: Sequence[float]) -> None:
        self.lrs = _rates(lrs)
        self.trials = [LRRecords() for _ in self.lrs]

    @property
    def frame(self) -> pd.DataFrame:
        """The raw losses, one row a step: columns lr, step (from 1), loss, and those measured on
        `val_data` where the task has it (val_loss, metric; NaN in the rows between)."""
        frames = [trial.frame for trial in self.trials]
        whole = pd.concat(
            [frame.assign(step=np.arange(1, len(frame) + 1)) for frame in frames],
            ignore_index=True,
        )
        measured = [name for name in whole.columns if name not in ("lr", "step", "loss")]
        return whole[["lr", "step", "loss", *measured]]

    @property
    def summary(self) -> pd.DataFrame:
        """One row a rate: lr, final_loss (mean of the last fifth, NaN if it broke), stop_reason.

        Where the task has `val_data`, also val_loss, the last one that was measured: at the first
        step and then every `val_every`. NaN for a trial that did not come to its end.
        """
        summary = pd.DataFrame(
            {
                "lr": self.lrs,
                "final_loss": [final_loss(trial) for trial in self.trials],
                "stop_reason": [
                    trial.stop_reason and trial.stop_reason.value for trial in self.trials
                ],
            }
        )
        if any("val_loss" in trial.frame for trial in self.trials):
            summary["val_loss"] = [last_val_loss(trial) for trial in self.trials]
        return summary

    @property
    def best(self) -> float | None:
        """The rate with the lowest final loss; None where no trial came to its end.

        It goes by the training loss, also where a validation loss was measured: that is of a few
        batches every so many steps. Where data can be learned by heart, look at val_loss.
        """
        finals = self.summary.dropna(subset="final_loss")
        return None if finals.empty else float(finals.lr.to_numpy()[finals.final_loss.argmin()])

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, str]:
        """What a notebook shows: picture, words and table; see `lrwidget.records.display`."""
        from lrwidget.records.display import show_check

        return show_check(self, include, exclude)

    def __repr__(self) -> str:
        finals = ", ".join(
            f"{lr:.1e}: {'-' if math.isnan(final) else format(final, '.3g')}"
            for lr, final in zip(self.lrs, self.summary.final_loss, strict=True)
        )
        best = "none" if self.best is None else f"{self.best:.1e}"
        return f"CheckResults(final loss {finals}; best {best})"


def check_lrs(task: TrainingTask, lrs: Sequence[float], steps: int = 100) -> CheckResults:
    """Train `steps` steps at each rate from the task's present state; the task is then as before.

    Args:
        task: what is trained.
        lrs: learning rates for the first param group; the others keep their ratio to it.
        steps: optimizer steps at each rate, at least 2.

    Returns:
        The results; a KeyboardInterrupt ends the check and keeps what there is.

    Raises:
        TypeError, ValueError: bad input, in words.
        Exception: whatever the task raises.
    """
    results = CheckResults(lrs)
    work = checking(task, whole_number("steps", steps, 2), results)
    try:
        for _ in work:
            pass
    except KeyboardInterrupt:
        pass
    finally:
        work.close()
    return results


def checking(
    task: TrainingTask, steps: int, results: CheckResults, *, claimed: bool = False
) -> Generator[None, None, StopReason]:
    """Fill `results`, one optimizer step for each `next`; returns why it ended.

    `claimed` says that the caller holds the `Claim` to the task's model.
    """
    _refuse_if_read_once(task)
    alone = nullcontext() if claimed else exclusive(task)
    with alone, Team.assembled(task, {"lrs": results.lrs, "steps": steps}) as team:
        in_place = ""
        for lr, trial in zip(results.lrs, results.trials, strict=True):
            trial.stop_reason = StopReason.STOPPED
            try:
                # No seed: the generators are put back after each trial, so all draw the same.
                with task.session(), prepared(task, None, in_place=in_place) as parts:
                    # To its last step: a loss that jumps up may come back, which is what a check
                    # is to find out; and the rule of a sweep judges by rates that rise.
                    trial.stop_reason = yield from train_at(
                        task,
                        parts,
                        repeat(lr, steps),
                        trial,
                        stop_at_divergence=False,
                        team=team,
                    )
            except Exception:
                trial.stop_reason = StopReason.FAILED
                raise
            in_place = parts.why
            if trial.stop_reason is StopReason.STOPPED:  # on another rank
                return StopReason.STOPPED
    return StopReason.FINISHED


class CheckRunner(Runner[CheckResults]):
    """A check in a thread of its own; `result` has what there is so far, at any time."""

    def __init__(self, task: TrainingTask, lrs: Sequence[float], steps: int = 100) -> None:
        results = CheckResults(lrs)
        steps = whole_number("steps", steps, 2)
        _refuse_if_read_once(task)
        super().__init__(
            task,
            lambda task: checking(task, steps, results, claimed=True),
            results,
            steps * len(results.lrs),
        )

    def _annotate(self, error: Exception) -> None:
        self._annotate_here(error, "the check", sum(map(len, self.result.trials)))


def final_loss(trial: LRRecords) -> float:
    """The mean loss of the last steps; NaN for a trial that did not come to its end."""
    if trial.stop_reason is not StopReason.FINISHED:
        return math.nan
    loss = trial.loss
    return float(loss[-max(1, round(TAIL * len(loss))) :].mean())


def last_val_loss(trial: LRRecords) -> float:
    """The last validation loss; NaN for a trial that has none or did not come to its end."""
    frame = trial.frame
    if trial.stop_reason is not StopReason.FINISHED or "val_loss" not in frame:
        return math.nan
    return float(frame["val_loss"].dropna().iloc[-1])


def _refuse_if_read_once(task: TrainingTask) -> None:
    data = task.data.data if isinstance(task.data, Iterated) else task.data
    if isinstance(data, Iterator):  # not by calling iter(), which draws a random number
        raise ValueError(
            f"data is a {type(data).__name__}, which can be read only once, but each rate "
            "needs the same batches; give a DataLoader, a Dataset or a list"
        )


def _rates(lrs: Any) -> list[float]:
    if isinstance(lrs, str) or not isinstance(lrs, Iterable):
        raise TypeError(f"lrs is {lrs!r}; expected learning rates such as [1e-3, 1e-2]")
    rates = sorted({_rate(lr) for lr in lrs})
    if not rates:
        raise ValueError("lrs is empty; expected at least one learning rate")
    return rates


def _rate(lr: Any) -> float:
    try:
        rate = float(lr)
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor of several
        rate = math.nan
    if not math.isfinite(rate) or rate <= 0:
        raise ValueError(f"lrs has {lr!r}; expected positive, finite learning rates such as 1e-3")
    return rate
