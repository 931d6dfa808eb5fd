"""The smoothed loss: an exponential moving average with bias correction."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def smoothed(loss: ArrayLike, beta: float) -> NDArray[np.float64]:
    """Return the bias-corrected exponential average of a loss curve.

    With ``m = beta * m + (1 - beta) * loss`` from ``m = 0``, the value at the i-th finite loss
    (i = 1, 2, …) is ``m / (1 - beta**i)``; this is the correction of Adam (Kingma and Ba, 2015,
    section 3) and the line that luz and fastai draw.

    Args:
        loss: raw losses, shape (steps,). A NaN or an infinity is a gap: the result is NaN there,
            the average skips it, and i does not count it.
        beta: weight of the past, ``0 <= beta < 1``; 0 returns the finite losses unchanged.

    Returns:
        float64, shape (steps,). The browser computes the same values;
        ``tests/vectors/smoothing.json`` holds both to 1e-12.

    Raises:
        ValueError: beta lies outside [0, 1), or loss is not one-dimensional.
    """
    if not (isinstance(beta, float | int | np.number) and 0 <= beta < 1):  # type: ignore[redundant-expr]
        raise ValueError(f"beta must be at least 0 and below 1, got {beta!r}")
    values = np.asarray(loss, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"loss must be one-dimensional, got shape {values.shape}")
    finite = np.isfinite(values)
    average = (1 - beta) * values[finite]
    # m_i is the sum of beta**(i - j) * (1 - beta) * loss_j over j <= i. Each pass doubles the terms
    # in every entry, so a curve of n losses takes log2(n) array operations.
    span = 1
    while span < len(average) and beta**span > 0:
        average[span:] += beta**span * average[:-span]
        span *= 2
    result = np.full(values.shape, np.nan)
    result[finite] = average / (1 - beta ** np.arange(1, len(average) + 1, dtype=np.float64))
    return result
