"""The end of a sweep by a loss that is not finite, although no loss before it climbed.

A rate that is too high makes the loss climb before it overflows. A sample with a NaN, or a batch
without a target that counts, ends a sweep at any rate.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

CAUSE = "a sample of that batch, or the loss, is a likelier cause than the rate"
LOOK = "look for NaN in the data and for a batch in which no target counts, mend it or leave it out"
REMEDY = f"{LOOK}, and sweep again"
# Before the first step the weights are those that the user gave.
LOOK_AT_WEIGHTS = (
    f"{LOOK}; look for NaN in the model's weights too, as a training that diverged leaves them, "
    "and make the model anew if there are any"
)
# A loss this share of the range of the others above all of them is a climb.
CLIMB_SHARE = 0.5
# So few losses have hardly a range: a climb is also this share of the largest of them.
FEW_LOSSES = 4


def sudden_end(lr: ArrayLike, loss: ArrayLike) -> tuple[int, float] | None:
    """Return the step, counted from 1, and the rate of a last loss that is not finite.

    Args:
        lr, loss: as for `suggest`; of several sweeps the longest is looked at.

    Returns:
        None if the last loss is finite, follows another that is not, or follows a climb.
    """
    rates = np.asarray(lr, dtype=np.float64)
    losses = np.atleast_2d(np.asarray(loss, dtype=np.float64))
    order = np.argsort(rates, kind="stable")
    rates, losses = rates[order], losses[:, order]
    if len(rates) < 2 or not 0 < rates[-1] < 1e300:
        return None
    finite = np.isfinite(losses)
    if finite[:, -1].any() or not finite[:, -2].any():
        return None
    longest = losses[np.flatnonzero(finite[:, -2])[0]]
    return None if _climbed(longest[np.isfinite(longest)]) else (len(rates), float(rates[-1]))


def same_end(trials: Iterable[ArrayLike]) -> str:
    """Return why trials at several rates ended if it is not their rates, as a sentence; else "".

    Trials train on the same batches. So one of these is the likelier cause where the loss of all
    that came so far was not finite in the same step, without a climb before.

    Args:
        trials: the losses of each trial.
    """
    losses = [found for trial in trials if len(found := np.asarray(trial, dtype=np.float64))]
    step = max(map(len, losses), default=0)
    ends = [found for found in losses if len(found) == step]
    if step > 1 and len(ends) < 2:
        return ""
    if not ends or any(np.isfinite(found[-1]) or _climbed(found[:-1]) for found in ends):
        return ""
    if step == 1:
        before = "the loss was not finite before the first step"
        return f"{before}, so no rate is the cause: {LOOK_AT_WEIGHTS}"
    which = "both" if len(losses) == 2 else "all"
    which = f"{which} rates" if len(ends) == len(losses) else f"{len(ends)} rates"
    return f"the loss of {which} was not finite in the same step, {step}, and had not climbed: " + (
        f"{CAUSE.replace('the rate', 'a rate')}; {LOOK}"
    )


def _climbed(losses: np.ndarray) -> bool:
    """Return whether the last of some finite losses lies clearly above those before it."""
    *before, last = losses.tolist() or [0.0]
    if not before:
        return False
    extent = max(before) - min(before)
    if len(before) < FEW_LOSSES:
        extent = max(extent, *map(abs, before))
    return bool(last > max(before) + CLIMB_SHARE * extent)
