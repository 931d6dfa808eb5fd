"""Local linear regression of a range test: two-sided smoothing, which does not lag."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lrwidget.curve.normalize import Array

# In a sparse sweep the kernel has at least this width in steps; below it nothing is smoothed.
KERNEL_STEPS = 1.5
# A grid ten times finer than the kernel is accurate enough and keeps 100,000 steps cheap.
GRID_DECADES = 0.02


class LocalLinear:
    """Fits the losses of a sweep with kernels of several widths.

    The fit is at `rates`, a grid of at most one point per 0.02 decade. The linear term keeps the
    slope at the ends of the sweep.

    The matrices are filled anew for each width. Matrices of this size go back to the system as
    soon as they are freed, and getting new ones for each width took most of the time.

    Args:
        decades: log10 of the learning rates, shape (steps,), ascending.
        measured: whether a sweep has a loss at a rate, shape (sweeps, steps).
    """

    def __init__(self, decades: Array, measured: NDArray[np.bool_]) -> None:
        sweeps = measured.sum(axis=0)
        bins = np.floor((decades - decades[0]) / GRID_DECADES).astype(np.int64)
        _, self._bins = np.unique(bins, return_inverse=True)
        self._count = np.bincount(self._bins, sweeps)
        self._spacing = float(decades[-1] - decades[0]) / (len(decades) - 1)
        self.rates: Array = np.bincount(self._bins, sweeps * decades) / self._count
        self._offset = self.rates[None, :] - self.rates[:, None]
        self._weight, self._moment, self._lever = (np.empty_like(self._offset) for _ in range(3))

    def fit(self, scores: Array, *widths: float) -> list[tuple[Array, Array]]:
        """Return the fit at `rates` and its standard error for noise 1, for each kernel width.

        Args:
            scores: losses in units of their noise, shape (sweeps, steps); NaN where there is none.
            widths: standard deviations of the Gaussian weights, in decades.
        """
        y = np.bincount(self._bins, np.nansum(scores, axis=0)) / self._count
        return [(lever @ y, self._errors(lever)) for lever in map(self._levers, widths)]

    def _levers(self, width: float) -> Array:
        """Return the weight of each point in the fit at each point, valid until the next call."""
        kernel = max(width, KERNEL_STEPS * self._spacing)
        offset, weight, moment, lever = self._offset, self._weight, self._moment, self._lever
        np.divide(offset, kernel, out=weight)
        np.square(weight, out=weight)
        np.multiply(-0.5, weight, out=weight)
        np.exp(weight, out=weight)
        np.multiply(self._count, weight, out=weight)
        np.multiply(weight, offset, out=moment)
        np.multiply(moment, offset, out=lever)
        s0, s1, s2 = (m.sum(axis=1, keepdims=True) for m in (weight, moment, lever))
        spread = s0 * s2 - s1**2
        # A point without neighbours has no slope; there the fit is the point itself.
        alone = (spread <= 1e-9 * (s0 * kernel) ** 2)[:, 0]
        spread[alone] = 1.0
        np.multiply(weight, s2, out=lever)
        np.multiply(moment, s1, out=moment)
        np.subtract(lever, moment, out=lever)
        np.divide(lever, spread, out=lever)
        lever[alone] = weight[alone] / s0[alone]
        return lever

    def _errors(self, lever: Array) -> Array:
        squares = self._moment
        np.square(lever, out=squares)
        np.divide(squares, self._count, out=squares)
        return np.asarray(np.sqrt(squares.sum(axis=1)))
