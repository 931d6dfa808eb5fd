"""The results of a check: the records of a few steps at each rate, and the best rate."""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lrwidget.curve.not_finite import same_end
from lrwidget.records.records import LRRecords
from lrwidget.records.table import StopReason
from lrwidget.records.trial_loss import LOSSES, mean_of_tail
from lrwidget.text.numbers import rate_in_words
from lrwidget.validation import HIGHEST_RATE, is_rate, number


class CheckResults:
    """The records of a check, which trains a few steps at each of several rates.

    Args:
        lrs: the rates to try, in any order; duplicates count once.

    Attributes:
        lrs: the rates, ascending.
        trials: the records of each rate, which grow while the check runs.
    """

    def __init__(self, lrs: Sequence[float]) -> None:
        self.lrs: list[float] = _rates(lrs)
        self.trials: list[LRRecords] = [LRRecords() for _ in self.lrs]

    @property
    def frame(self) -> pd.DataFrame:
        """The raw losses, one row a step: columns lr, step (from 1) and loss.

        If the task has `val_data`, also val_loss and metric; NaN in rows without a measurement.
        """
        frames = [trial.frame for trial in self.trials]
        whole = pd.concat(
            [frame.assign(step=np.arange(1, len(frame) + 1)) for frame in frames],
            ignore_index=True,
        )
        measured = [name for name in whole.columns if name not in ("lr", "step", "loss")]
        return whole[["lr", "step", "loss", *measured]]

    @property
    def summary(self) -> pd.DataFrame:
        """One row a rate: columns lr, final_loss (mean of the last fifth) and stop_reason.

        If the task has `val_data`, also val_loss, the last measured validation loss. Both losses
        are NaN for a trial that did not finish.
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
        """The rate with the lowest finite loss; None if no trial finished with one.

        The loss is the last validation loss if the task has `val_data`, and otherwise the final
        training loss, which prefers too high a rate if the model can memorize the data.
        """
        ranked = zip(self.ranking, self.lrs, strict=True)
        return min(((loss, lr) for loss, lr in ranked if math.isfinite(loss)), default=(0, None))[1]

    @property
    def not_the_rates(self) -> str:
        """Why there is no best rate where that is laid to the data, as a sentence; else ""."""
        if self.best is not None:
            return ""
        if any(trial.stop_reason is StopReason.FINISHED for trial in self.trials):
            return "the validation loss was not finite at any rate: look for NaN in val_data"
        return same_end(trial.loss for trial in self.trials)

    @property
    def ranked_by(self) -> str:
        """The column of the summary that `best` goes by: "val_loss" or "final_loss"."""
        return "val_loss" if "val_loss" in self.summary else "final_loss"

    @property
    def ranking(self) -> list[float]:
        """The losses that `best` goes by, one for each rate; NaN if a trial did not finish."""
        return [float(loss) for loss in self.summary[self.ranked_by]]

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, str]:
        """Return the display of a notebook: picture, text and table; see `records.display`."""
        from lrwidget.records.display import show_check

        return show_check(self, include, exclude)

    def __repr__(self) -> str:
        finals = ", ".join(
            f"{rate_in_words(lr)}: {'-' if math.isnan(final) else format(final, '.3g')}"
            for lr, final in zip(self.lrs, self.summary[self.ranked_by], strict=True)
        )
        best = "none" if self.best is None else rate_in_words(self.best)
        if cause := self.not_the_rates:
            best += f"; {cause}"
        return f"CheckResults({LOSSES[self.ranked_by]} {finals}; best {best})"


def final_loss(trial: LRRecords) -> float:
    """Return the mean loss of the last fifth of the steps; NaN for a trial that did not finish."""
    if trial.stop_reason is not StopReason.FINISHED:
        return math.nan
    return mean_of_tail(trial.loss)


def last_val_loss(trial: LRRecords) -> float:
    """Return the last validation loss; NaN for a trial that has none or did not finish."""
    if trial.stop_reason is not StopReason.FINISHED:
        return math.nan
    # Not from the frame, where a measured NaN looks like a row without a measurement.
    measured = [extra["val_loss"] for _, _, extra in trial.numbered() if "val_loss" in extra]
    return measured[-1] if measured else math.nan


def _rates(lrs: Any) -> list[float]:
    single = getattr(lrs, "ndim", 1) == 0  # an array or tensor of one number
    if isinstance(lrs, (str, bytes)) or single or not isinstance(lrs, Iterable):
        raise TypeError(f"lrs is {lrs!r}; expected learning rates such as [1e-3, 1e-2]")
    rates = sorted({_rate(lr) for lr in lrs})
    if not rates:
        raise ValueError("lrs is empty; expected at least one learning rate")
    return rates


def _rate(lr: Any) -> float:
    rate = number(lr)
    if not is_rate(rate):
        raise ValueError(
            f"lrs has {lr!r}; expected positive, finite learning rates such as 1e-3, "
            f"{rate_in_words(HIGHEST_RATE)} at most"
        )
    return rate
