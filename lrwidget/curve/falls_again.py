"""Doubt a curve that falls or rises as much where the rate cannot be why.

A loss that depends on the order of the data, or on chance, falls and rises again and again. One
that depends on the rate falls once and then explodes.
"""

import numpy as np

from lrwidget.curve.landmarks import Landmarks
from lrwidget.curve.local_linear import LocalLinear
from lrwidget.curve.normalize import Array

# Kernels of the smoothed curve before and after the fall, in decades.
KERNELS = 0.25, 0.15
# Shares of the fall. Of 344 suggestions of high confidence on 220 tasks this doubts 10; of curves
# that repeat a saw tooth all, of waves nine in ten, of correlated noise two in three.
RISES_BEFORE, FALLS_AFTER = 0.3, 0.85
LEAST_POINTS = 5


def falls_again_doubt(marks: Landmarks, decades: Array, losses: Array) -> str | None:
    """Return the reason to doubt the rate, with a remedy; None if there is none.

    Args:
        marks: the landmarks of the curve.
        decades: log10 of the learning rates, shape (steps,), ascending.
        losses: losses, shape (sweeps, steps); several sweeps are not doubted.
    """
    if not marks.fall > 0 or len(losses) > 1:  # several sweeps show by themselves what repeats
        return None
    # An explosion is cut off at once the fall above the level, or it would hide the rest.
    curve = LocalLinear(decades, ~np.isnan(losses))
    [(y, _), (sharper, _)] = curve.fit(np.minimum(losses, marks.level + marks.fall), *KERNELS)
    before = y[curve.rates < marks.begun]
    rises = float(np.max(before - np.minimum.accumulate(before), initial=0.0))
    lowest = np.inf
    if marks.half_lost is not None:
        lowest = float(np.min(sharper[curve.rates > marks.half_lost], initial=np.inf))
    if len(before) >= LEAST_POINTS and rises > RISES_BEFORE * marks.fall:
        when = "before"
    elif marks.level - lowest > FALLS_AFTER * marks.fall:
        when = "after"
    else:
        return None
    return (
        f"the loss changes as much {when} that fall, where the rate is not why: shuffle the data, "
        "or use repeats=3"
    )
