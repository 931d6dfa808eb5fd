"""From the curve of a learning rate range test to a learning rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Suggestion:
    """A learning rate with its grounds.

    Attributes:
        lr: the suggested rate, or None where the curve cannot carry one.
        reason: one sentence in plain words.
        confidence: "high", or "low" where the rate is the best guess of a doubtful curve.
        falls_at: rate at which the loss begins to fall, None where it does not.
        minimum: rate at the lowest loss, None where the loss does not fall.
        explodes_at: rate at which the loss leaves the range of the curve, None where it does not.
        spread: standard deviation of the suggestion over the sweeps, in decades; None for one.
    """

    lr: float | None
    reason: str
    confidence: Literal["high", "low"]
    falls_at: float | None = None
    minimum: float | None = None
    explodes_at: float | None = None
    spread: float | None = None


def suggest(lr: ArrayLike, loss: ArrayLike) -> Suggestion:
    """Suggest a learning rate from the raw losses of a range test."""
    rates = np.asarray(lr, dtype=np.float64)
    losses = np.asarray(loss, dtype=np.float64)
    sweeps = np.atleast_2d(losses)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y = np.nanmedian(np.where(np.isfinite(sweeps), sweeps, np.nan), axis=0)
    ok = np.isfinite(y) & np.isfinite(rates) & (rates > 0)
    x, y = np.log10(rates[ok]), y[ok]
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    if len(x) < 3 or x[0] == x[-1]:
        return Suggestion(None, "there are too few points to read a curve", "low")
    cap = np.median(y[: max(3, len(y) // 3)])
    capped = np.minimum(y, cap + (cap - y.min()))
    width = float(np.clip(2.5 * (x[-1] - x[0]) / (len(x) - 1), 0.1, 0.3))
    weight = np.exp(-0.5 * ((x[:, None] - x[None, :]) / width) ** 2)
    smooth = weight @ capped / weight.sum(1)
    low = int(smooth.argmin())
    top = smooth[: low + 1].max()
    fall = top - smooth[low]
    if fall <= 0 or low == 0:
        return Suggestion(None, "the loss never fell", "low")
    done = int(np.flatnonzero(smooth[: low + 1] <= top - 0.95 * fall)[0])
    rate = min(10 ** x[low] / 5.6, 10 ** x[done] / 2.4)
    begun = int(np.flatnonzero(smooth[: low + 1] >= top - 0.05 * fall)[-1])
    after = np.flatnonzero(smooth[low:] > smooth[low] + fall)
    return Suggestion(
        float(rate),
        f"loss fell from {top:.3g} to {smooth[low]:.3g} up to {10 ** x[low]:.2g}",
        "high",
        falls_at=float(10 ** x[begun]),
        minimum=float(10 ** x[low]),
        explodes_at=float(10 ** x[low + after[0]]) if len(after) else None,
    )
