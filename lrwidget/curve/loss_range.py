"""The range of a loss axis, chosen so that an explosion does not flatten the curve.

Pictures made here and the page (`numeric/loss-range.ts`, `trials/curves.ts`) show the same part.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from lrwidget.curve.smoothing import smoothed

Floats = NDArray[np.float64]
Range = tuple[float, float]

# Fixed, so that the axis does not move when the user changes the smoothing of the line.
BETA = 0.8
# Quantiles are computed on a sample of at most this many losses, which is accurate enough.
SAMPLE = 1024
# How far the range of a check extends above the curve with the lowest maximum, in its heights.
ABOVE = 0.5


def loss_range(sweeps: Iterable[Floats], limit: float | None = None) -> Range:
    """Return the ends of a loss axis that shows the start, the fall and a part of the rise.

    Args:
        sweeps: the raw losses of each sweep, shapes (steps,); values that are not finite are
            ignored.
        limit: the upper end that the user has chosen; None for an automatic one.

    Returns:
        Two finite numbers, the first below the second; 0 and 1 if there is no finite loss.
    """
    ranges = [_sweep_range(finite) for losses in sweeps if (finite := _finite(losses)).size]
    auto = (0.0, 1.0)
    if ranges:
        auto = _padded(min(low for low, _ in ranges), max(high for _, high in ranges))
    if limit is None or not math.isfinite(limit):
        return auto
    return _ordered(auto[0] if limit > auto[0] else limit - (auto[1] - auto[0]), limit)


def trials_range(curves: Iterable[Floats]) -> Range:
    """Return the ends of a loss axis that shows the curve with the lowest maximum in full.

    The other curves are cut off where they would make it too small to read.

    Args:
        curves: smoothed losses, shapes (steps,); values that are not finite are ignored.

    Returns:
        Two finite numbers, the first below the second; 0 and 1 if there is no finite loss.
    """
    seen = [finite for curve in curves if (finite := _finite(curve)).size]
    if not seen:
        return 0.0, 1.0
    low = float(min(curve.min() for curve in seen))
    tops = [float(curve.max()) for curve in seen]
    top = min(max(tops), min(tops) + ABOVE * (min(tops) - low))
    room = max(0.06 * (top - low), abs(top) * 1e-6, 1e-9)
    return max(low - room, -1e300), min(top + room, 1e300)


def _finite(losses: Floats) -> Floats:
    return losses[np.isfinite(losses)]


def _sweep_range(losses: Floats) -> Range:
    """Return the lowest and the highest loss worth seeing in one sweep."""
    # Nothing explodes before the minimum of the smoothed loss: the noise there is shown in full.
    before = losses[: int(smoothed(losses, BETA).argmin()) + 1]
    low = float(before.min())
    high = max(_quantile(before, 0.98), float(losses[0]))
    # A curve that only rises has hardly any losses before its minimum, and one has no height: show
    # its lower half.
    half = _quantile(losses, 0.5)
    rises = len(before) < max(len(losses) / 10, 2) or half - low < 3 * (high - low)
    return low, max(high, half) if rises else high


def _padded(low: float, high: float) -> Range:
    least = max(abs(low), abs(high)) * 1e-6 or 1e-6
    spread = max(high - low, least)
    return _ordered(low - 0.06 * spread, high + 0.3 * spread)


def _ordered(low: float, high: float) -> Range:
    """Return two finite ends in ascending order, even if the given ones overflow or are equal."""
    low, high = (max(-1e300, min(end, 1e300)) for end in (low, high))
    if low < high:
        return low, high
    step = max(abs(low) * 1e-9, 1e-9)
    return low - step, low + step


def _quantile(values: Floats, q: float) -> float:
    sample = np.sort(values[:: math.ceil(len(values) / SAMPLE)])
    return float(sample[math.floor(q * (len(sample) - 1) + 0.5)])
