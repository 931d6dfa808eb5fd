"""The learning rate rules that other finders publish, by the names people know them under.

They are here to be compared with ``suggest``, which does better (see ``benchmarks/suggest``). Each
answers None where it cannot: no loss that can be read, too few points, nothing that falls.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrwidget.smoothing import smoothed
from lrwidget.suggest import suggest

Curve = NDArray[np.float64]

# The constants of fastai 2.8 (`LRFinder`, `Learner.lr_find`): weight of the running loss, the
# multiple of its lowest value at which the sweep ends, and what no rule looks at: one part in ten
# at the start, five points at the end.
FASTAI_BETA = 0.98
FASTAI_DIVERGED = 4.0
FASTAI_SKIP_START = 10
FASTAI_SKIP_END = 5

# The defaults of torch-lr-finder (`LRFinder.range_test` and `plot`), in the same order.
TLF_NEW_LOSS = 0.05
TLF_DIVERGED = 5.0
TLF_SKIP_START = 10
TLF_SKIP_END = 5


def minimum_over_ten(lr: ArrayLike, loss: ArrayLike) -> float | None:
    """Return a tenth of the rate at the lowest smoothed loss.

    The rule of the luz article and of fastai's ``minimum`` (``fastai/callback/schedule.py``), on
    fastai's curve: running average with beta 0.98, without the first tenth and the last 5 points.
    """
    rates, losses = _fastai_curve(lr, loss)
    if len(losses) < 2:
        return None
    return float(rates[losses.argmin()]) / 10


def steepest(lr: ArrayLike, loss: ArrayLike) -> float | None:
    """Return the rate at which the smoothed loss falls fastest per decade.

    torch-lr-finder's suggestion (``LRFinder.plot``): each new loss enters the running loss with
    weight 0.05, the first 10 and the last 5 points are left out, and the most negative central
    difference wins. It differentiates by step, which on its exponential ladder is the same as by
    log-rate; here it is by log-rate, so that a linear ladder gives the same answer.
    """
    rates, losses = _readable(lr, loss)
    running = np.empty_like(losses)
    for i, value in enumerate(losses):
        running[i] = value if i == 0 else TLF_NEW_LOSS * value + (1 - TLF_NEW_LOSS) * running[i - 1]
    kept = slice(TLF_SKIP_START, _end(running, TLF_DIVERGED, TLF_SKIP_END))
    rates, running = rates[kept], running[kept]
    if len(running) < 2:
        return None
    slope = np.gradient(running, np.log(rates))
    return float(rates[slope.argmin()]) if slope.min() < 0 else None


def valley(lr: ArrayLike, loss: ArrayLike) -> float | None:
    """Return the rate in the middle of the longest fall.

    fastai's default, given to it by ESRI (``fastai/callback/schedule.py``, ``valley``): the longest
    strictly decreasing subsequence of the smoothed loss, gaps allowed, of length d and ending at
    point m. The answer is point ``m - d + d // 3 + d // 6``; fastai's documentation calls that two
    thirds of the way, it is about half.
    """
    rates, losses = _fastai_curve(lr, loss)
    # Patience sorting: tails[k] is minus the highest loss that ends a fall of k + 1 points.
    tails: list[float] = []
    longest, end = 0, 0
    for i, value in enumerate(losses):
        place = bisect_left(tails, -value)
        tails[place : place + 1] = [-value]
        if place + 1 > longest:
            longest, end = place + 1, i
    if longest < 2:
        return None
    return float(rates[max(0, end - longest + longest // 3 + longest // 6)])


def slide(lr: ArrayLike, loss: ArrayLike) -> float | None:
    """Return the rate at the left of a window that slides down from the explosion.

    Novetta's rule as fastai has it (``fastai/callback/schedule.py``, ``slide``): a window of 15
    steps moves left from the last point while the slopes per step at its two ends differ by more
    than 0.005; the left end of its last such place is the answer. Both numbers are absolute, so
    the rule depends on the number of steps and on the scale of the loss.
    """
    width, threshold = 15, 0.005
    rates, losses = _fastai_curve(lr, loss)
    if len(losses) <= width:
        return None
    slope = np.gradient(losses)
    bends = np.abs(slope[width:] - slope[:-width]) > threshold
    flat = np.flatnonzero(~bends)
    left = int(flat[-1]) + 1 if len(flat) else 0
    return float(rates[min(left, len(bends) - 1)])


RULES: dict[str, Callable[[ArrayLike, ArrayLike], float | None]] = {
    "minimum/10": minimum_over_ten,
    "steepest": steepest,
    "valley": valley,
    "slide": slide,
}


def suggestions(lr: ArrayLike, loss: ArrayLike) -> dict[str, float | None]:
    """Return what every rule says: "auto" (``suggest``) first, then the published rules.

    Args:
        lr: learning rates, shape (steps,).
        loss: raw losses, shape (steps,) or (sweeps, steps) with NaN where a sweep ended early. The
            published rules know one sweep; of several, the median of their rates is returned.
    """
    named = {"auto": suggest(lr, loss).lr}
    sweeps = np.atleast_2d(np.asarray(loss, dtype=np.float64))
    for name, rule in RULES.items():
        rates = [rate for sweep in sweeps if (rate := rule(lr, sweep)) is not None]
        named[name] = float(10 ** np.median(np.log10(rates))) if rates else None
    return named


def _readable(lr: ArrayLike, loss: ArrayLike) -> tuple[Curve, Curve]:
    """Return the sweep in the order of its rates, up to its first loss that is not finite.

    Nothing is left of a sweep whose losses are all the same.
    """
    rates = np.asarray(lr, dtype=np.float64).ravel()
    losses = np.asarray(loss, dtype=np.float64).ravel()
    usable = np.isfinite(rates) & (rates > 0)
    rates, losses = rates[usable], losses[usable]
    order = np.argsort(rates, kind="stable")
    rates, losses = rates[order], losses[order]
    broken = np.flatnonzero(~np.isfinite(losses))
    end = int(broken[0]) if len(broken) else len(losses)
    if end and np.ptp(losses[:end]) == 0:
        end = 0  # a constant has no slope but that of rounding
    # Two losses at one rate would divide by a step of zero.
    first = np.diff(rates[:end], prepend=0.0) > 0
    return rates[:end][first], losses[:end][first]


def _fastai_curve(lr: ArrayLike, loss: ArrayLike) -> tuple[Curve, Curve]:
    rates, losses = _readable(lr, loss)
    running = smoothed(losses, FASTAI_BETA)
    kept = slice(len(rates) // FASTAI_SKIP_START, _end(running, FASTAI_DIVERGED, FASTAI_SKIP_END))
    return rates[kept], running[kept]


def _end(running: Curve, multiple: float, skip: int) -> int:
    """Return where a curve ends that its finder stops at a multiple of the lowest loss."""
    best = np.minimum.accumulate(running)
    # A multiple of a loss that is not positive means nothing: there the whole sweep counts.
    above = np.flatnonzero((best > 0) & (running > multiple * best))
    points = int(above[0]) + 1 if len(above) else len(running)
    return max(0, points - skip)
