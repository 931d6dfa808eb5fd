"""The part of the losses that is worth seeing, which an explosion cannot flatten.

Pictures made here and the page (`numeric/loss-range.ts`, `check/trials.ts`) show the same part.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from lrwidget.curve.smoothing import smoothed

Floats = NDArray[np.float64]
Range = tuple[float, float]

# The smoothing that the range looks at, whatever the line's: the axis stays put.
BETA = 0.8
# Of many values a sample tells enough.
SAMPLE = 1024
# How far the range of a check reaches above the calmest curve, in heights of that curve.
ABOVE = 0.5


def loss_range(sweeps: Iterable[Floats], limit: float | None = None) -> Range:
    """Return the lower and the upper end of a loss axis: where each sweep starts, its fall, and a
    bit of the rise.

    Args:
        sweeps: the raw losses of each sweep, shapes (steps,); what is not finite is left out.
        limit: the upper end where somebody has chosen it, None for an automatic one.

    Returns:
        Two finite numbers, the first below the second; 0 and 1 where there is no loss.
    """
    ranges = [_sweep_range(finite) for losses in sweeps if (finite := _finite(losses)).size]
    auto = (0.0, 1.0)
    if ranges:
        auto = _padded(min(low for low, _ in ranges), max(high for _, high in ranges))
    if limit is None or not math.isfinite(limit):
        return auto
    return _ordered(auto[0] if limit > auto[0] else limit - (auto[1] - auto[0]), limit)


def trials_range(curves: Iterable[Floats]) -> Range:
    """Return a loss axis that shows the calmest of the curves whole, and the others as far as they
    do not dwarf it; otherwise as `loss_range`."""
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
    # Until the smoothed loss is lowest nothing has exploded: noise there is worth seeing whole.
    before = losses[: int(smoothed(losses, BETA).argmin()) + 1]
    low = float(before.min())
    high = max(_quantile(before, 0.98), float(losses[0]))
    # A curve that only rises has next to no "before": show its lower half.
    half = _quantile(losses, 0.5)
    rises = len(before) < len(losses) / 10 or half - low < 3 * (high - low)
    return low, max(high, half) if rises else high


def _padded(low: float, high: float) -> Range:
    least = max(abs(low), abs(high)) * 1e-6 or 1e-6
    spread = max(high - low, least)
    return _ordered(low - 0.06 * spread, high + 0.3 * spread)


def _ordered(low: float, high: float) -> Range:
    """Return the ends finite and apart, also where doubles are too large or too close for it."""
    low, high = (max(-1e300, min(end, 1e300)) for end in (low, high))
    if low < high:
        return low, high
    step = max(abs(low) * 1e-9, 1e-9)
    return low - step, low + step


def _quantile(values: Floats, q: float) -> float:
    sample = np.sort(values[:: math.ceil(len(values) / SAMPLE)])
    return float(sample[math.floor(q * (len(sample) - 1) + 0.5)])
