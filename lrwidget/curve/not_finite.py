"""The end of a sweep by a loss that is not finite, although no loss before it climbed.

A rate that is too high makes the loss climb before it overflows. A sample with a NaN, or a batch
without a target that counts, ends a sweep at any rate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

CAUSE = "a sample of that batch, or the loss, is a likelier cause than the rate"
REMEDY = (
    "look for NaN in the data and for a batch in which no target counts, mend it or leave it out, "
    "and sweep again"
)
# A loss this share of the range of the others above all of them is a climb.
CLIMB_SHARE = 0.5


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
    *before, last = longest[np.isfinite(longest)].tolist()
    if before and last > max(before) + CLIMB_SHARE * (max(before) - min(before)):
        return None
    return len(rates), float(rates[-1])
