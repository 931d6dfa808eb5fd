"""The landmarks of a range test: where the loss falls, where its floor lies, where it climbs away.

All rates are handled as decades (log10), all losses in units of the noise of one batch, so that
neither the number of steps nor scale and offset of the loss change what is found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# Width (standard deviation) of the smoothing kernel. From 0.15 to 0.3 decade the figures of the
# benchmark stay the same. A sparse sweep needs 1.5 steps to smooth at all.
KERNEL_DECADES = 0.25
KERNEL_STEPS = 1.5
# The ends of the floor are the mean over these widths: a width on its own finds another wave of
# the noise for each seed.
FLOOR_KERNELS = (0.15, 0.2, KERNEL_DECADES, 0.32, 0.4)
# A grid ten times finer than the kernel loses nothing and keeps 100,000 steps cheap.
GRID_DECADES = 0.02

# The plateau is the first third of the decades swept; 0.25 and 0.4 score the same.
PLATEAU_SHARE = 1 / 3
PLATEAU_STEPS = 5
# Losses above the plateau count up to ten times the noise, or as far up as the curve falls down,
# so that a blow-up cannot smear into the floor; 6 to 20 score the same.
CAP_NOISE = 10.0
# A loss that stands this many times the noise above both its neighbours is one bad batch.
SPIKE_NOISE = 3.0
# The loss has climbed where the smoothed curve stands three standard deviations of one batch above
# the plateau; of sequential tests and other thresholds this one placed the climb best. Where there
# is hardly any noise, a fifth of the fall, so that the first trace of a climb does not count.
CLIMB_NOISE = 3.0
CLIMB_SHARE = 0.2
# It has exploded where it stands twenty above; 10 to 60 score the same. Losses count up to twice
# that, so that one of 1e9 does not date the explosion too early.
EXPLOSION_NOISE = 20.0
# The floor lies within 5% of the fall from its lowest point, or within two standard errors of the
# smoothed curve where they are more (a quarter at most): a wave of that height is noise.
FLOOR_SHARE = 0.05
FLOOR_ERRORS = 2.0
FLOOR_SHARE_MOST = 0.25


@dataclass(frozen=True)
class Landmarks:
    """What a range test shows, in decades (log10 of the rate) and in the units of the loss.

    Attributes:
        first, last: the first and the last rate of the sweep.
        level: loss from which the curve falls: that of the plateau.
        noise: standard deviation of one batch's loss on the plateau.
        error: standard error of the smoothed loss at its minimum.
        fall: how far the smoothed loss falls below the level; 0 where it does not.
        begun: where 10% of the fall are done.
        done: where the loss has reached its floor.
        minimum: where the smoothed loss is lowest.
        lost: where the loss leaves the floor again; the last rate where it does not.
        half_lost: where half of the fall is lost again, None where it is not.
        climbs: where the loss leaves the plateau upwards, None where it does not.
        explodes: where it stands twenty times the noise above the plateau, None where it does not.
        height: by how many decades the explosion is higher than the fall is deep (or than three
            times the noise, where that is more), None where half of the fall is not lost.
    """

    first: float
    last: float
    level: float
    noise: float
    error: float
    fall: float
    begun: float
    done: float
    minimum: float
    lost: float
    half_lost: float | None
    climbs: float | None
    explodes: float | None
    height: float | None


def read_sweeps(lr: ArrayLike, loss: ArrayLike) -> tuple[Array, Array]:
    """Return rates in decades, ascending, and the losses that belong to them.

    Args:
        lr: learning rates, shape (steps,), in any order. One that is not a positive number is
            left out with its losses.
        loss: losses, shape (steps,) or (sweeps, steps). An infinity is an explosion; a NaN is a
            gap, or, at the end of a sweep, where the sweep ended.

    Returns:
        decades of shape (n,) and losses of shape (sweeps, n), where each rate has at least one loss
        that is a number and each sweep has at least one.

    Raises:
        ValueError: the shapes do not fit together.
    """
    rates = np.asarray(lr, dtype=np.float64)
    losses = np.atleast_2d(np.asarray(loss, dtype=np.float64))
    if rates.ndim != 1 or losses.ndim != 2 or losses.shape[1] != len(rates):
        raise ValueError(
            "lr must have shape (steps,) and loss (steps,) or (sweeps, steps), "
            f"got {rates.shape} and {np.shape(loss)}"
        )
    usable = (rates > 0) & (rates < 1e300)  # beyond it, 10**log10(rate) may overflow
    order = np.flatnonzero(usable)[np.argsort(rates[usable], kind="stable")]
    losses = losses[:, order]
    # An explosion is as high as numbers go whose differences and squares are still numbers.
    losses = np.clip(np.where(losses == -np.inf, np.nan, losses), -1e150, 1e150)
    seen = ~np.isnan(losses)
    losses, order = losses[:, seen.any(axis=0)], order[seen.any(axis=0)]
    return np.log10(rates[order]), losses[seen.any(axis=1)]


def find_landmarks(decades: Array, losses: Array) -> Landmarks:
    """Return the landmarks of one or more sweeps of the same task (as `read_sweeps` gives them).

    Several sweeps are read as one: each is centred on its own plateau, its loss is capped, and the
    mean of them is taken.
    """
    first, last = float(decades[0]), float(decades[-1])
    plateau = decades <= first + PLATEAU_SHARE * (last - first)
    plateau[:PLATEAU_STEPS] = True
    scores, levels, noise = _scores(decades, losses, plateau)
    cap = max(CAP_NOISE, -float(np.nanmin(scores)))
    falls = {
        kernel: _find_fall(*_smooth(decades, np.minimum(scores, cap), kernel))
        for kernel in FLOOR_KERNELS
    }
    fall = falls[KERNEL_DECADES]
    floors = [found for found in falls.values() if found.depth > 0] or [fall]
    x, y, _ = _smooth(decades, np.minimum(scores, 2 * EXPLOSION_NOISE), KERNEL_DECADES)
    # The losses that are told are those of the sweeps that got as far as the minimum.
    nearest = np.abs(decades - fall.minimum).argmin()
    level = float(levels[~np.isnan(scores[:, nearest])].mean())
    return Landmarks(
        first=first,
        last=last,
        level=level + fall.top * noise,
        noise=noise,
        error=fall.error * noise,
        fall=fall.depth * noise,
        begun=fall.begun,
        done=float(np.mean([floor.done for floor in floors])),
        minimum=fall.minimum,
        lost=float(np.mean([floor.lost for floor in floors])),
        half_lost=fall.half_lost,
        climbs=fall.climbs,
        explodes=_crossing(x, y, EXPLOSION_NOISE),
        height=None if fall.half_lost is None else _height(scores, max(fall.depth, CLIMB_NOISE)),
    )


def broke_off(sweep: Array) -> bool:
    """Return whether a sweep ended early without an explosion, as when it was stopped by hand.

    Args:
        sweep: losses at ascending rates, NaN where there is none.
    """
    seen = sweep[~np.isnan(sweep)]
    if np.isfinite(sweep[-1]) or len(seen) < PLATEAU_STEPS:
        return not np.isfinite(sweep[-1])
    level, noise = _plateau(seen[: max(PLATEAU_STEPS, int(PLATEAU_SHARE * len(seen)))])
    lowest = float(np.median(np.lib.stride_tricks.sliding_window_view(seen, 3), axis=1).min())
    # `DivergenceRule` ends a sweep that stands 0.8 of this above its lowest level, or more.
    extent = max(level - lowest, 6 * noise)
    return bool(seen[-3:].max() - lowest < 0.7 * extent)


def _height(scores: Array, unit: float) -> float:
    """Return the highest loss of the sweeps in decades of the unit, mean over the sweeps."""
    # One that broke off has no loss where the sweeps end, and would have gone higher.
    highest = np.nanmax(scores[~np.isnan(scores[:, -1])], axis=1)
    # The logarithm needs a least value, for sweeps that stay below their level.
    return float(np.mean(np.log10(np.maximum(highest / unit, 0.01))))


@dataclass(frozen=True)
class _Fall:
    """Landmarks of one smoothed curve; `top`, `depth` and `error` in units of the noise."""

    top: float
    depth: float
    error: float
    begun: float
    done: float
    minimum: float
    lost: float
    half_lost: float | None
    climbs: float | None


def _find_fall(x: Array, y: Array, errors: Array) -> _Fall:
    height = max(CLIMB_NOISE, CLIMB_SHARE * -float(y.min()))
    risen = np.flatnonzero((y[:-1] <= height) & (y[1:] > height))
    before = int(risen[0]) + 1 if len(risen) else len(y)
    # What comes after the climb is chaos, and may be lower than anything before.
    low = int(y[:before].argmin())
    # The loss falls from the plateau, but from no more than it has been before the minimum: a curve
    # that only climbs has its minimum at its start. One that begins above its plateau falls from
    # its first steps on, and from there.
    top = float(y[: low + 1].max())
    if top <= height:
        top = min(0.0, top)
    depth = top - float(y[low])
    error = float(errors[low])

    def loses(share: float) -> float | None:
        return _crossing(x[low:], y[low:], top + (share - 1) * depth) if depth > 0 else None

    # Seen from the minimum, since noise may reach a tenth of a fall before it begins.
    begun = _crossing(-x[low::-1], y[low::-1], top - 0.1 * depth)
    edge = FLOOR_SHARE
    if depth > 0:
        edge = min(max(edge, FLOOR_ERRORS * error / depth), FLOOR_SHARE_MOST)
    done = _crossing(x[: low + 1], -y[: low + 1], (1 - edge) * depth - top)
    lost = loses(edge)
    return _Fall(
        top=top,
        depth=depth,
        error=error,
        begun=float(x[0]) if begun is None else -begun,
        done=float(x[0]) if done is None else done,
        minimum=float(x[low]),
        lost=float(x[-1]) if lost is None else lost,
        half_lost=loses(0.5),
        climbs=_crossing(x[before - 1 :], y[before - 1 :], height),
    )


def _filled(decades: Array, sweep: Array) -> Array:
    """Return the sweep without gaps; where it has exploded it stays as high as it was at its end.

    One that broke off has no losses beyond its end.
    """
    seen = np.flatnonzero(~np.isnan(sweep))
    filled = np.interp(decades, decades[seen], sweep[seen])
    filled[seen[-1] + 1 :] = np.nan if broke_off(sweep) else sweep[seen[-3:]].max()
    return filled


def _scores(
    decades: Array, losses: Array, plateau: NDArray[np.bool_]
) -> tuple[Array, Array, float]:
    """Return the losses above their own plateau in units of the noise, the levels, and the noise.

    NaN is where a sweep has no loss. Every sweep has a row but those that broke off on the plateau.
    """
    filled = np.array([_filled(decades, sweep) for sweep in losses])
    whole = ~np.isnan(filled[:, plateau]).any(axis=1)
    filled = filled[whole]
    levels, noises = np.transpose([_plateau(sweep[plateau]) for sweep in filled])
    # Where the plateau is free of noise, rounding is what remains of it; never so little that a
    # quotient would overflow.
    rounding = 1e-12 * float(np.nanmedian(np.abs(filled))) + 1e-140
    noise = max(float(np.sqrt(np.mean(noises**2))), rounding)
    scores = (filled - levels[:, None]) / noise
    neighbours = np.fmax(scores[:, :-2], scores[:, 2:])
    scores[:, 1:-1] = np.minimum(scores[:, 1:-1], neighbours + SPIKE_NOISE)
    return scores, levels, noise


def _plateau(losses: Array) -> tuple[float, float]:
    """Return the mean loss of the plateau and the standard deviation of one loss about it."""
    steps = np.abs(np.diff(losses))
    # The mean difference of two normal losses is 2/sqrt(pi) = 1.128 standard deviations. It follows
    # heavy tails where the median does not; five medians bound what one bad batch adds.
    bound = 5 * np.median(steps) or np.inf
    noise = float(np.mean(np.minimum(steps, bound))) / 1.128
    middle = float(np.median(losses))
    return float(np.mean(np.clip(losses, middle - 3 * noise, middle + 3 * noise))), noise


def _smooth(decades: Array, scores: Array, width: float) -> tuple[Array, Array, Array]:
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


def _crossing(x: Array, y: Array, value: float) -> float | None:
    """Return where y first exceeds the value, between points by straight lines; None if nowhere."""
    above = np.flatnonzero(y > value)
    if not len(above):
        return None
    i = int(above[0])
    if i == 0:
        return float(x[0])
    share = (value - y[i - 1]) / (y[i] - y[i - 1])
    return float(x[i - 1] + share * (x[i] - x[i - 1]))
