"""The smoothed line that is drawn: a two-sided average, which does not lag behind the loss."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrwidget.curve.smoothing import smoothed

Floats = NDArray[np.float64]

# Losses are clipped to this, so that sums and quotients stay finite; no spread is smaller than the
# second value, so that it can be divided by.
LARGEST = 1e150
LEAST_SPREAD = 1e-100
# The spread of a curve without any fall or noise, as a share of its level.
SPREAD_SHARE = 1e-6
# Quantiles are computed on a sample of at most this many losses, which is accurate enough.
SAMPLE = 1024


def centred(loss: ArrayLike, beta: float) -> Floats:
    """Return the loss curve smoothed to both sides.

    Each value is a local linear fit to all finite losses, weighted by ``beta**(2 * d)``, where d
    counts the finite losses between. The fit is about as smooth as ``smoothed(loss, beta)`` and
    does not lag; the slope prevents a lag at the newest loss too. New losses change the last part
    of the line.

    An explosion would smear into the losses before it. Losses far above the part of the curve
    before its minimum (more than one height of that part above its top) are therefore fitted on a
    logarithmic scale, and the fit is transformed back.

    Args:
        loss: raw losses, shape (steps,). A NaN or an infinity is a gap: the result is NaN there,
            and no other value depends on it.
        beta: strength of the smoothing, ``0 <= beta < 1``; 0 returns the finite losses unchanged.

    Returns:
        float64, shape (steps,). The browser computes the same values;
        ``tests/vectors/centred.json`` holds both to 1e-12.

    Raises:
        ValueError: beta lies outside [0, 1), or loss is not one-dimensional.
    """
    average = smoothed(loss, beta)
    result = np.array(loss, dtype=np.float64)
    finite = np.isfinite(result)
    result[~finite] = np.nan
    if beta == 0 or finite.sum() < 3:
        return result
    values = np.clip(result[finite], -LARGEST, LARGEST)
    highest, spread = _normal(values, average[finite])
    # In units of the spread; values above 0 are put on a logarithmic scale.
    heights = (values - highest) / spread - 1
    high = heights > 0
    heights[high] = np.log1p(heights[high])
    # A steep slope at an end must not lead out of the range of the data.
    line = np.clip(_fitted(heights, beta * beta), heights.min(), heights.max())
    high = line > 0
    line[high] = np.expm1(line[high])
    result[finite] = highest + spread * (line + 1)
    return result


def _normal(values: Floats, average: Floats) -> tuple[float, float]:
    """Return the highest loss before the minimum of the curve, and the spread of losses there.

    Both are computed on running medians of three, so that a single bad batch does not count as the
    height of the curve. For a curve that only rises, the spread is that of the lowest quarter.
    """
    before = np.concatenate([values[:1], values, values[-1:]])[: int(average.argmin()) + 3]
    medians = np.median(np.lib.stride_tricks.sliding_window_view(before, 3), axis=1)
    high, low = float(medians.max()), float(medians.min())
    sample = np.sort(values[:: -(-len(values) // SAMPLE)])
    quarter = float(sample[(len(sample) - 1) // 4])
    return high, max(high - low, quarter - low, SPREAD_SHARE * abs(high), LEAST_SPREAD)


def _fitted(values: Floats, keep: float) -> Floats:
    """Return a local linear fit at each value, with weights ``keep**distance`` to both sides."""
    weights, weights_by_d, weights_by_d2 = _moments(np.ones_like(values), keep)
    before, before_by_d, _ = _moments(values, keep)
    after, after_by_d, _ = (moment[::-1] for moment in _moments(values[::-1], keep))
    s0 = weights + weights[::-1] - 1
    s1 = weights_by_d[::-1] - weights_by_d
    s2 = weights_by_d2 + weights_by_d2[::-1]
    t0 = before + after - values
    t1 = after_by_d - before_by_d
    fit: Floats = (s2 * t0 - s1 * t1) / (s0 * s2 - s1 * s1)
    return fit


def _moments(values: Floats, keep: float) -> tuple[Floats, Floats, Floats]:
    """Return, at each value, the weighted sums of the values up to it, times 1, d and d²."""
    zeroth, first, second = _decayed(values, keep), np.zeros_like(values), np.zeros_like(values)
    first[1:] = keep * _decayed(zeroth, keep)[:-1]
    second[1:] = keep * _decayed(zeroth + 2 * first, keep)[:-1]
    return zeroth, first, second


def _decayed(values: Floats, keep: float) -> Floats:
    """Return the sums of ``keep**(i - j) * values[j]`` over j <= i; each pass doubles the span."""
    total = values.copy()
    span = 1
    while span < len(total) and keep**span > 0:
        total[span:] += keep**span * total[:-span]
        span *= 2
    return total
