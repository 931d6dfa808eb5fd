"""Normalize sweeps so that they can be compared: rates in decades, losses in units of noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrwidget.curve.stop_rule import DivergenceRule

Array = NDArray[np.float64]

# The plateau is the first third of the decades swept; 0.25 and 0.4 score the same.
PLATEAU_SHARE = 1 / 3
PLATEAU_STEPS = 5
# A loss that is this many times the noise above both neighbours counts as one bad batch.
SPIKE_NOISE = 3.0
# A sweep that the stop rule ended is at least this share of the range above its lowest level. The
# threshold is a little lower here, since the range is measured from another start.
BROKE_OFF_BELOW = DivergenceRule.RANGES_SUSTAINED - 0.1


def read_sweeps(lr: ArrayLike, loss: ArrayLike) -> tuple[Array, Array]:
    """Return the rates in decades, ascending, and the losses at them.

    Args:
        lr: learning rates, shape (steps,), in any order. A rate that is not a positive number is
            dropped with its losses.
        loss: losses, shape (steps,) or (sweeps, steps). An infinity is an explosion; a NaN is a
            gap, or, at the end of a sweep, a step that was not taken.

    Returns:
        Decades of shape (n,) and losses of shape (sweeps, n). Each rate and each sweep has at least
        one loss that is not NaN.

    Raises:
        TypeError: `lr` or `loss` is not made of numbers.
        ValueError: the shapes do not fit together.
    """
    rates = as_floats("lr", lr)
    losses = np.atleast_2d(as_floats("loss", loss))
    if rates.ndim != 1 or losses.ndim != 2 or losses.shape[1] != len(rates):
        raise ValueError(
            "lr must have shape (steps,) and loss (steps,) or (sweeps, steps), "
            f"got {rates.shape} and {np.shape(loss)}"
        )
    usable = (rates > 0) & (rates < 1e300)  # beyond it, 10**log10(rate) may overflow
    order = np.flatnonzero(usable)[np.argsort(rates[usable], kind="stable")]
    losses = losses[:, order]
    # Clipped so that differences and squares stay finite.
    losses = np.clip(np.where(losses == -np.inf, np.nan, losses), -1e150, 1e150)
    seen = ~np.isnan(losses)
    losses, order = losses[:, seen.any(axis=0)], order[seen.any(axis=0)]
    return np.log10(rates[order]), losses[seen.any(axis=1)]


def as_floats(name: str, values: ArrayLike) -> Array:
    """Return an argument as an array of float64; raise TypeError if it is not made of numbers."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: a tensor with a gradient
        raise TypeError(f"{name} cannot be read as an array of numbers: {error}") from error


def scored(decades: Array, losses: Array) -> tuple[Array, Array, float]:
    """Return the losses above their plateau in units of the noise, their plateaus, and the noise.

    A NaN marks a rate at which a sweep has no loss. Sweeps that were broken off on the plateau have
    no row.
    """
    plateau = decades <= decades[0] + PLATEAU_SHARE * (decades[-1] - decades[0])
    plateau[:PLATEAU_STEPS] = True
    filled = np.array([_filled(decades, sweep) for sweep in losses])
    whole = ~np.isnan(filled[:, plateau]).any(axis=1)
    filled = filled[whole]
    levels, noises = np.transpose([_plateau(sweep[plateau]) for sweep in filled])
    # The noise of a noise-free plateau is that of rounding, with a bound against overflow of the
    # quotient.
    rounding = 1e-12 * float(np.nanmedian(np.abs(filled))) + 1e-140
    noise = max(float(np.sqrt(np.mean(noises**2))), rounding)
    scores = (filled - levels[:, None]) / noise
    neighbours = np.fmax(scores[:, :-2], scores[:, 2:])
    scores[:, 1:-1] = np.minimum(scores[:, 1:-1], neighbours + SPIKE_NOISE)
    return scores, levels, noise


def broke_off(sweep: Array) -> bool:
    """Return whether a sweep ended early without an explosion, as when a user stops it.

    Args:
        sweep: losses at ascending rates, shape (steps,); NaN where there is none.
    """
    seen = sweep[~np.isnan(sweep)]
    if np.isfinite(sweep[-1]) or len(seen) < PLATEAU_STEPS:
        return not np.isfinite(sweep[-1])
    level, noise = _plateau(seen[: max(PLATEAU_STEPS, int(PLATEAU_SHARE * len(seen)))])
    lowest = float(np.median(np.lib.stride_tricks.sliding_window_view(seen, 3), axis=1).min())
    extent = max(level - lowest, DivergenceRule.NOISE_TO_RANGE * noise)
    return bool(seen[-3:].max() - lowest < BROKE_OFF_BELOW * extent)


def _filled(decades: Array, sweep: Array) -> Array:
    """Return the sweep with gaps interpolated and the steps after an explosion at its last height.

    A sweep that was broken off stays NaN after its end.
    """
    seen = np.flatnonzero(~np.isnan(sweep))
    filled = np.interp(decades, decades[seen], sweep[seen])
    filled[seen[-1] + 1 :] = np.nan if broke_off(sweep) else sweep[seen[-3:]].max()
    return filled


def _plateau(losses: Array) -> tuple[float, float]:
    """Return the mean loss of the plateau and the standard deviation of one loss around it."""
    steps = np.abs(np.diff(losses))
    # The mean difference of two normal losses is 2/sqrt(pi) = 1.128 standard deviations. The mean
    # follows heavy tails, which the median does not; the bound limits the effect of one bad batch.
    bound = 5 * np.median(steps) or np.inf
    noise = float(np.mean(np.minimum(steps, bound))) / 1.128
    middle = float(np.median(losses))
    return float(np.mean(np.clip(losses, middle - 3 * noise, middle + 3 * noise))), noise
