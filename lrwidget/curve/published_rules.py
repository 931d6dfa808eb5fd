"""The learning rate rules that other finders publish, under their usual names.

They are here for comparison with ``suggest``, which scores better (see ``benchmarks/suggest``). A
rule returns None if there is no usable loss, there are too few points, or no loss falls.
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
# multiple of its lowest value at which the sweep ends, and the points that no rule looks at: the
# first tenth and the last five.
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

    The rule of torch-lr-finder (``LRFinder.plot``): each new loss enters the running loss with
    weight 0.05, the first 10 and the last 5 points are left out, and the most negative central
    difference wins. torch-lr-finder differentiates by step, which on its exponential schedule is
    the same as by log-rate; here it is by log-rate, so that a linear schedule gives the same rate.
    Losses from the first non-finite one on are left out; torch-lr-finder returns that point itself.

    Args:
        lr: learning rates, shape (steps,), in any order.
        loss: raw losses, shape (steps,).

    Returns:
        The rate, or None if there are fewer than two points or no loss falls.
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
    # A power of two changes no digit, and leaves room for the products in the slope.
    slope = np.gradient(running * 2.0**-40, np.log(rates))
    return float(rates[slope.argmin()]) if slope.min() < 0 else None


def valley(lr: ArrayLike, loss: ArrayLike) -> float | None:
    """Return the rate in the middle of the longest fall.

    fastai's default, contributed by ESRI (``fastai/callback/schedule.py``, ``valley``): the longest
    strictly decreasing subsequence of the smoothed loss, gaps allowed, of length d and ending at
    point m. The result is the rate at point ``m - d + d // 3 + d // 6``, which is about half of the
    way (fastai's documentation says two thirds). As in fastai, a curve that never falls gives its
    first rate, and one that only falls from its first point to its second gives its last (point
    -1).

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
    """Return the rate at the left end of a window that slides down from the explosion.

    Novetta's rule as fastai implements it (``fastai/callback/schedule.py``, ``slide``): a window of
    15 steps moves left from the last point while the slopes per step at its two ends differ by more
    than 0.005; the result is the rate at the left end of the last such window. Both numbers are
    absolute, so the rule depends on the number of steps and on the scale of the loss.

    Args:
        lr: learning rates, shape (steps,), in any order.
        loss: raw losses, shape (steps,).

    Returns:
        The rate, or None if fastai's curve is no longer than the window.
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
    """Return the rate of every rule: "auto" (``suggest``) first, then the published rules.

    Args:
        lr: learning rates, shape (steps,).
        loss: raw losses, shape (steps,) or (sweeps, steps) with NaN where a sweep ended early. The
            published rules are defined for one sweep; for several, the geometric median of the
            sweeps' rates is returned.
        auto: the result of ``suggest`` for this curve; computed by default.

    Returns:
        The rate by name of the rule; None where the rule has none.
    """
    named = {"auto": (suggest(lr, loss) if auto is None else auto).lr}
    sweeps = np.atleast_2d(np.asarray(loss, dtype=np.float64))
    for name, rule in RULES.items():
        rates = [rate for sweep in sweeps if (rate := rule(lr, sweep)) is not None]
        named[name] = float(10 ** np.median(np.log10(rates))) if rates else None
    return named


def _in_order(lr: ArrayLike, loss: ArrayLike) -> tuple[Curve, Curve]:
    """Return the sweep in ascending order of its rates, each rate once.

    A sweep whose finite losses are all equal is returned empty: its only slope is rounding.
    """
    rates = np.asarray(lr, dtype=np.float64).ravel()
    losses = np.asarray(loss, dtype=np.float64).ravel()
    usable = np.isfinite(rates) & (rates > 0)
    rates, losses = rates[usable], losses[usable]
    rates, first = np.unique(rates, return_index=True)  # the slope between equal rates is undefined
    losses = losses[first]
    finite = losses[: _first(~np.isfinite(losses), len(losses))]
    return (
        (rates, losses) if len(finite) and finite.min() < finite.max() else (rates[:0], losses[:0])
    )


def _fastai_curve(lr: ArrayLike, loss: ArrayLike) -> tuple[Curve, Curve]:
    """Return the curve that fastai passes to its rules (``Learner.lr_find``).

    It is the running average with beta 0.98, up to where it exceeds four times its lowest value (at
    once, if that is negative), without the first tenth and the last five of these points. A NaN
    does not end fastai's sweep, so all points before it are kept unless they are among the last
    five.

    The rows do not say how many steps were planned. The tenth is therefore a tenth of the rows, and
    a sweep whose last row is a NaN, as our sweeps end, counts as one that would have continued.
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
    """Return the number of points up to where the running loss exceeds `multiple` of its lowest."""
    lowest = np.minimum.accumulate(running)
    with np.errstate(over="ignore"):  # an infinite bound is right
        return _first(running > multiple * lowest, len(running) - 1) + 1


def _first(where: NDArray[np.bool_], otherwise: int) -> int:
    """Return the index of the first True, or `otherwise`."""
    return int(where.argmax()) if where.any() else otherwise
