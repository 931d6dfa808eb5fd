"""A kernel that smooths a range test to both sides, without a lag between loss and rate."""

from __future__ import annotations

import numpy as np

from lrwidget.curve.normalize import Array

# A sparse sweep needs a kernel of 1.5 steps to smooth at all.
KERNEL_STEPS = 1.5
# A grid ten times finer than the kernel loses nothing and keeps 100,000 steps cheap.
GRID_DECADES = 0.02


def fitted(decades: Array, scores: Array, width: float) -> tuple[Array, Array, Array]:
    """Return rates, a local linear fit there, and the fit's standard error for scores of noise 1.

    The scores have shape (sweeps, steps). Neighbours are weighted by a Gaussian in decades, of the
    given standard deviation. Looking to both sides it has no lag; the linear term keeps the slope
    at the ends of the sweep.
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
    # A point on its own has no slope; there the fit is the point itself.
    alone = spread <= 1e-9 * (s0 * kernel) ** 2
    lever = np.where(alone, weight / s0, (weight * s2 - moment * s1) / np.where(alone, 1.0, spread))
    return x, lever @ y, np.sqrt((lever**2 / count).sum(axis=1))
