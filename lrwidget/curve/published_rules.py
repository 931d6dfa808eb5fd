"""The learning rate rules that other finders publish, by the names people know them under.

They are here to be compared with ``suggest``, which does better (see ``benchmarks/suggest``). Each
answers None where it cannot: no loss that can be read, too few points, nothing that falls.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrwidget.curve.smoothing import smoothed
from lrwidget.curve.suggest import Suggestion, suggest

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
    the curve that fastai gives it.

    Args:
        lr: learning rates, shape (steps,), in any order.
        loss: raw losses, shape (steps,).

    Returns:
        The rate, or None where fastai's curve is empty.
    """
    rates, losses = _fastai_curve(lr, loss)
    return float(rates[losses.argmin()]) / 10 if len(losses) else None


def steepest(lr: ArrayLike, loss: ArrayLike) -> float | None:
    """Return the rate at which the smoothed loss falls fastest per decade.

    torch-lr-finder's suggestion (``LRFinder.plot``): each new loss enters the running loss with
    weight 0.05, the first 10 and the last 5 points are left out, and the most negative central
    difference wins. It differentiates by step, which on its exponential ladder is the same as by
    log-rate; here it is by log-rate, so that a linear ladder gives the same answer. Losses count up
    to the first that is not finite; torch-lr-finder's own answer is that place itself.

    Args:
        lr: learning rates, shape (steps,), in any order.
        loss: raw losses, shape (steps,).

    Returns:
        The rate, or None where there are fewer than two points or nothing falls.
    """
    rates, losses = _in_order(lr, loss)
    end = _first(~np.isfinite(losses), len(losses))
    rates, losses = rates[:end], losses[:end]
    running = np.empty_like(losses)
    for i, value in enumerate(losses):
        running[i] = value if i == 0 else TLF_NEW_LOSS * value + (1 - TLF_NEW_LOSS) * running[i - 1]
    kept = slice(TLF_SKIP_START, max(0, _ended(running, TLF_DIVERGED) - TLF_SKIP_END))
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
    thirds of the way, it is about half. As in fastai, a curve that never falls gives its first
    rate, and one that only falls from its first point to its second gives its last (point -1).

    Args:
        lr: learning rates, shape (steps,), in any order.
        loss: raw losses, shape (steps,).

    Returns:
        The rate, or None where fastai's curve is empty.
    """
    rates, losses = _fastai_curve(lr, loss)
    if not len(losses):
        return None
    # Patience sorting: tails[k] is minus the highest loss that ends a fall of k + 1 points.
    tails: list[float] = []
    length, start = 0, 0
    for i, value in enumerate(losses):
        place = bisect_left(tails, -value)
        tails[place : place + 1] = [-value]
        if place and place + 1 > length:
            length = place + 1
            start = i - length
    return float(rates[start + length // 3 + length // 6])


def slide(lr: ArrayLike, loss: ArrayLike) -> float | None:
    """Return the rate at the left of a window that slides down from the explosion.

    Novetta's rule as fastai has it (``fastai/callback/schedule.py``, ``slide``): a window of 15
    steps moves left from the last point while the slopes per step at its two ends differ by more
    than 0.005; the left end of its last such place is the answer. Both numbers are absolute, so
    the rule depends on the number of steps and on the scale of the loss.

    Args:
        lr: learning rates, shape (steps,), in any order.
        loss: raw losses, shape (steps,).

    Returns:
        The rate, or None where fastai's curve is no longer than the window.
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


def suggestions(
    lr: ArrayLike, loss: ArrayLike, auto: Suggestion | None = None
) -> dict[str, float | None]:
    """Return what every rule says: "auto" (``suggest``) first, then the published rules.

    Args:
        lr: learning rates, shape (steps,).
        loss: raw losses, shape (steps,) or (sweeps, steps) with NaN where a sweep ended early. The
            published rules know one sweep; of several, the median of their rates is returned.
        auto: what ``suggest`` says of them, where that is known already.

    Returns:
        The rate by name, None where a rule has none.
    """
    named = {"auto": (suggest(lr, loss) if auto is None else auto).lr}
    sweeps = np.atleast_2d(np.asarray(loss, dtype=np.float64))
    for name, rule in RULES.items():
        rates = [rate for sweep in sweeps if (rate := rule(lr, sweep)) is not None]
        named[name] = float(10 ** np.median(np.log10(rates))) if rates else None
    return named


def _in_order(lr: ArrayLike, loss: ArrayLike) -> tuple[Curve, Curve]:
    """Return the sweep in the order of its rates, each rate once.

    Nothing is left of a sweep whose losses are all the same: it has no slope but that of rounding.
    """
    rates = np.asarray(lr, dtype=np.float64).ravel()
    losses = np.asarray(loss, dtype=np.float64).ravel()
    usable = np.isfinite(rates) & (rates > 0)
    rates, losses = rates[usable], losses[usable]
    rates, first = np.unique(rates, return_index=True)  # two at one rate have no slope between them
    losses = losses[first]
    finite = losses[: _first(~np.isfinite(losses), len(losses))]
    return (rates, losses) if len(finite) and np.ptp(finite) > 0 else (rates[:0], losses[:0])


def _fastai_curve(lr: ArrayLike, loss: ArrayLike) -> tuple[Curve, Curve]:
    """Return what fastai's rules get to see of a sweep (``Learner.lr_find``).

    The running average with beta 0.98, up to where it exceeds four times its lowest value (at once,
    where that is below zero); of these points not the first tenth and not the last five. A NaN does
    not end fastai's sweep, so the points before it count all, unless they are among the last five.

    How many steps were asked for cannot be known from the rows. The tenth is that of the rows, and
    a sweep whose last row is a NaN, as ours end, counts as one that would have gone on.
    """
    rates, losses = _in_order(lr, loss)
    end = _first(~np.isfinite(losses), len(losses))
    running = np.full(len(losses), np.nan)
    running[:end] = smoothed(losses[:end], FASTAI_BETA)
    if end < len(losses) and losses[end] == np.inf:
        running[end] = np.inf  # and NaN from there on
    points = _ended(running, FASTAI_DIVERGED)
    last = max(0, points - FASTAI_SKIP_END)
    broken = _first(np.isnan(running[:points]), points)
    if broken < points:
        last = broken if broken == len(running) - 1 else min(broken, last)
    kept = slice(len(rates) // FASTAI_SKIP_START, last)
    return rates[kept], running[kept]


def _ended(running: Curve, multiple: float) -> int:
    """Return how many points a finder records that stops above a multiple of the lowest loss."""
    lowest = np.minimum.accumulate(running)
    return _first(running > multiple * lowest, len(running) - 1) + 1


def _first(where: NDArray[np.bool_], otherwise: int) -> int:
    """Return the index of the first True."""
    return int(where.argmax()) if where.any() else otherwise
