"""The landmarks of a range test: where the loss falls, where its floor lies, where it climbs.

Rates are in decades (log10) and losses in units of the noise of one batch, so that the landmarks
depend neither on the number of steps nor on the scale and offset of the loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lrwidget.curve.local_linear import LocalLinear
from lrwidget.curve.normalize import Array, scored

# Width (standard deviation) of the smoothing kernel; widths from 0.15 to 0.3 decade give the same
# benchmark scores.
KERNEL_DECADES = 0.25
# The ends of the floor are averaged over these widths: with a single width they depend on the noise
# of the seed.
FLOOR_KERNELS = (0.15, 0.2, KERNEL_DECADES, 0.32, 0.4)

# Losses above the plateau are capped at ten times the noise, or at the depth of the fall where that
# is more, so that an explosion cannot smear into the floor; 6 to 20 score the same.
CAP_NOISE = 10.0
# The loss climbs where the smoothed curve is three standard deviations of one batch above the
# plateau; this placed the climb better than other thresholds and sequential tests. Where there is
# hardly any noise, the threshold is a fifth of the fall, so that a trace of a climb does not count.
CLIMB_NOISE = 3.0
CLIMB_SHARE = 0.2
# The loss explodes where it is twenty standard deviations above the plateau; 10 to 60 score the
# same. Losses are capped at twice that, so that a loss of 1e9 does not put the explosion too low.
EXPLOSION_NOISE = 20.0
# The floor is the part of the curve within 5% of the fall from the minimum, or within two standard
# errors of the smoothed curve where they are more (a quarter at most), since that much is noise.
FLOOR_SHARE = 0.05
FLOOR_ERRORS = 2.0
FLOOR_SHARE_MOST = 0.25


@dataclass(frozen=True)
class Landmarks:
    """The landmarks of a curve: rates in decades (log10), losses in the units of the loss.

    Attributes:
        first, last: the first and the last rate of the sweep.
        level: loss from which the curve falls: the level of the plateau.
        noise: standard deviation of one batch's loss on the plateau.
        error: standard error of the smoothed loss at its minimum.
        fall: how far the smoothed loss falls below the level; 0 where it does not.
        begun: rate at which 10% of the fall are done.
        done: rate at which the loss reaches its floor.
        minimum: rate at which the smoothed loss is lowest.
        lost: rate at which the loss leaves the floor again; the last rate if it does not.
        half_lost: rate at which half of the fall is lost again; None if it is not.
        climbs: rate at which the loss rises above the plateau; None if it does not.
        explodes: rate at which the loss is twenty times the noise above the plateau; None if it
            never is.
        height: decades by which the explosion is higher than the fall is deep (or than three times
            the noise, where that is more); None if half of the fall is not lost.
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


def find_landmarks(decades: Array, losses: Array) -> Landmarks:
    """Return the landmarks of one or more sweeps of the same task (as `read_sweeps` returns them).

    Several sweeps are averaged into one, after each is centred on its own plateau and capped.
    """
    first, last = float(decades[0]), float(decades[-1])
    scores, levels, noise = scored(decades, losses)
    cap = max(CAP_NOISE, -float(np.nanmin(scores)))
    smoothed = LocalLinear(decades, ~np.isnan(scores))
    fits = smoothed.fit(np.minimum(scores, cap), *FLOOR_KERNELS)
    falls = {
        kernel: _find_fall(smoothed.rates, *fit)
        for kernel, fit in zip(FLOOR_KERNELS, fits, strict=True)
    }
    fall = falls[KERNEL_DECADES]
    floors = [found for found in falls.values() if found.depth > 0] or [fall]
    [(y, _)] = smoothed.fit(np.minimum(scores, 2 * EXPLOSION_NOISE), KERNEL_DECADES)
    # The reported level is that of the sweeps that reached the minimum.
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
        explodes=_crossing(smoothed.rates, y, EXPLOSION_NOISE),
        height=None if fall.half_lost is None else _height(scores, max(fall.depth, CLIMB_NOISE)),
    )


def _height(scores: Array, unit: float) -> float:
    """Return the log10 of the highest loss in `unit`, averaged over the sweeps."""
    # A sweep that was broken off has no loss at the last rate, and would have gone higher.
    highest = np.nanmax(scores[~np.isnan(scores[:, -1])], axis=1)
    # A lower bound for sweeps that stay below their level, where the logarithm is not defined.
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
    """Return the landmarks of one curve, as `LocalLinear` fits it.

    Args:
        x: rates in decades, shape (n,).
        y: smoothed losses above the plateau, in units of the noise.
        errors: their standard errors, in the same units.
    """
    height = max(CLIMB_NOISE, CLIMB_SHARE * -float(y.min()))
    risen = np.flatnonzero((y[:-1] <= height) & (y[1:] > height))
    before = int(risen[0]) + 1 if len(risen) else len(y)
    # After the climb losses are erratic and may be lower than the floor.
    low = int(y[:before].argmin())
    # The fall starts at the plateau, but no higher than the curve was before its minimum: a curve
    # that only climbs has its minimum at its start. A curve that begins above its plateau falls
    # from its first steps on, and from that height.
    top = float(y[: low + 1].max())
    if top <= height:
        top = min(0.0, top)
    depth = top - float(y[low])
    error = float(errors[low])

    def loses(share: float) -> float | None:
        return _crossing(x[low:], y[low:], top + (share - 1) * depth) if depth > 0 else None

    # Searched backwards from the minimum, since noise may reach a tenth of the fall before it.
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


def _crossing(x: Array, y: Array, value: float) -> float | None:
    """Return the x at which y first exceeds the value, linearly interpolated; None if nowhere."""
    above = np.flatnonzero(y > value)
    if not len(above):
        return None
    i = int(above[0])
    if i == 0:
        return float(x[0])
    share = (value - y[i - 1]) / (y[i] - y[i - 1])
    return float(x[i - 1] + share * (x[i] - x[i - 1]))
