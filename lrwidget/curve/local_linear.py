"""Local linear regression of a range test: two-sided smoothing, which does not lag."""

from __future__ import annotations

import numpy as np

from lrwidget.curve.normalize import Array

# In a sparse sweep the kernel has at least this width in steps; below it nothing is smoothed.
KERNEL_STEPS = 1.5
# A grid ten times finer than the kernel is accurate enough and keeps 100,000 steps cheap.
GRID_DECADES = 0.02


def fitted(decades: Array, scores: Array, width: float) -> tuple[Array, Array, Array]:
    """Return rates, the local linear fit at them, and its standard error for noise 1.

    Args:
        decades: log10 of the rates, shape (steps,), ascending.
        scores: losses in units of their noise, shape (sweeps, steps); NaN where there is none.
        width: standard deviation of the Gaussian weights, in decades.

    Returns:
        Three arrays of shape (points,), on a grid of at most one point per 0.02 decade. The linear
        term keeps the slope at the ends of the sweep.
    """
    sweeps = (~np.isnan(scores)).sum(axis=0)
    bins = np.floor((decades - decades[0]) / GRID_DECADES).astype(np.int64)
    _, bins = np.unique(bins, return_inverse=True)
    count = np.bincount(bins, sweeps)
    x = np.bincount(bins, sweeps * decades) / count
    y = np.bincount(bins, np.nansum(scores, axis=0)) / count

    spacing = float(decades[-1] - decades[0]) / (len(decades) - 1)
    kernel = max(width, KERNEL_STEPS * spacing)
    offset = x[None, :] - x[:, None]
    weight = count * np.exp(-0.5 * (offset / kernel) ** 2)
    moment = weight * offset
    s0, s1, s2 = (m.sum(axis=1, keepdims=True) for m in (weight, moment, moment * offset))
    spread = s0 * s2 - s1**2
    # A point without neighbours has no slope; there the fit is the point itself.
    alone = spread <= 1e-9 * (s0 * kernel) ** 2
    lever = np.where(alone, weight / s0, (weight * s2 - moment * s1) / np.where(alone, 1.0, spread))
    return x, lever @ y, np.sqrt((lever**2 / count).sum(axis=1))
