"""Whether the rate of a sweep has any part in how much its steps change the weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# With the steps of an optimizer that uses its rate, either the change of a weight or the ratio of
# change to gradient grows as the rate does: by one decade in each. Noise that grows as the root of
# the rate makes it half a decade.
LEAST_SLOPE = 0.4
# Over fewer decades, and with fewer steps, a change of the gradient could look like this.
LEAST_DECADES = 1.5
LEAST_STEPS = 3
# Where no gradient is known, the changes themselves must differ by no more than this factor.
MOST_DIFFERENCE = 3.0


def rate_unused(
    rates: Sequence[float], changes: Sequence[float], gradients: Sequence[float]
) -> tuple[int, int] | None:
    """Return two steps, of a low and a high rate, where all steps changed the weights alike.

    Args:
        rates: the rates of some steps, ascending.
        changes: the norm of the change of some weights in each of these steps.
        gradients: the norm of their gradients in each; 0 where it is not known.

    Returns:
        The places of the lowest and the highest rate; None if the rate has a part in the changes,
        or if these steps do not show it.
    """
    lr, change, gradient = (np.asarray(v, dtype=np.float64) for v in (rates, changes, gradients))
    # Below the resolution of the weights, a change is rounded to nothing.
    used = np.flatnonzero((lr > 0) & (change > 0) & np.isfinite(change))
    if len(used) < LEAST_STEPS:
        return None
    decades, size, gradient = np.log10(lr[used]), np.log10(change[used]), gradient[used]
    if decades[-1] - decades[0] < LEAST_DECADES:
        return None
    if (gradient > 0).all() and np.isfinite(gradient).all():
        fixed = all(map(_is_flat, (decades, decades), (size, size - np.log10(gradient))))
    else:
        fixed = _is_flat(decades, size) and bool(np.ptp(size) <= np.log10(MOST_DIFFERENCE))
    return (int(used[0]), int(used[-1])) if fixed else None


def _is_flat(decades: NDArray[np.float64], size: NDArray[np.float64]) -> bool:
    """Return whether a logarithmic size grows too little, over all rates and over the upper half.

    What does not go by the rate, such as a decay of its own, may exceed the steps at low rates.
    """
    upper = decades >= (decades[0] + decades[-1]) / 2
    halves = [np.ones_like(upper), upper]
    return all(
        np.polyfit(decades[part], size[part], 1)[0] < LEAST_SLOPE
        for part in halves
        if part.sum() > 1
    )
