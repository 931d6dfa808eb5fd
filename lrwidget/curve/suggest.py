"""Suggest a learning rate from the curve of a range test.

The rule
--------
The losses are smoothed to both sides, with a kernel of a sixth to two fifths of a decade
(``local_linear.py``), so that the curve does not lag behind its rates. There are two cases, and a
blend between them:

- **The loss falls** by at least three times the noise of one batch. The rate is a factor of 11
  below the one where the loss leaves its floor again (where 5% of the fall is lost). It stays a
  factor of 1.8 below the rate where the fall is done: a model that has converged stays on its floor
  for decades of rates at which training from the start would fail. Both factors shrink by 9% for
  each factor of ten (five at most) by which the explosion is higher than the fall is deep: a loss
  that shoots up by orders of magnitude does so as soon as the rate is too high; one that only
  returns to its level may show that late.
- **The loss does not fall** by as much as the noise of one batch, as with slow starters, whose loss
  begins to fall only after more steps than a sweep has. The curve still shows where the loss climbs
  out of its noise and where it explodes; the suggestion is a factor of 22 below the middle of the
  two. After a slow climb the suggestion is therefore closer to the climb than after an abrupt one.

Where the constants come from
-----------------------------
They were chosen on four sets of tasks, 201 in all, whose best rate is known by brute force
(``benchmarks/suggest``), and lie on a plateau: 0.1 decade more or less in a distance changes the
mean regret by at most 0.006. The benchmark also prints the regret for distances that are chosen
without the family of tasks that is judged. On 31 further tasks, fixed before the first run and
judged once, the mean regret is .186 at 100 steps and .155 at 300, the median task's .035 and .044:
where a model memorizes its data, or does not learn within the sweep, no curve of losses shows the
best rate.

``benchmarks/suggest/README.md`` has the figures, and the rules that were tried and left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from lrwidget.curve.falls_again import falls_again_doubt
from lrwidget.curve.landmarks import Landmarks, find_landmarks
from lrwidget.curve.normalize import Array, as_floats, broke_off, read_sweeps
from lrwidget.curve.not_finite import CAUSE, LOOK_AT_WEIGHTS, REMEDY, sudden_end
from lrwidget.text.numbers import fall_in_words, rate_in_words

# A fall of less than one standard deviation of a batch is noise, and one of more than three is not.
# A fall of less than 3.5 standard errors is noise too: one in twenty curves of pure noise has that.
FALL_LEAST, FALL_ENOUGH = 1.0, 3.0
FALL_ERRORS = 3.5

# A fall by a smaller share of the loss is doubted: of the sweeps of the 232 tasks below, 3% fail
# with a larger one, and 7% of the others that nothing else is held against.
SURE_FALL = 0.5

# If a sweep climbs and ends before it explodes, the explosion is assumed this far beyond its end.
BEYOND_DECADES = 0.2

# The height of an explosion over the fall, in decades, is capped at five; three to eight score the
# same. An explosion that the sweep does not show counts as half of that.
HEIGHT_MOST = 5.0
HEIGHT_UNKNOWN = 2.5

# Fewer points than this cannot show a plateau, a fall and a climb.
LEAST_STEPS = 10
# Below 5 steps per decade the smoothing kernel covers hardly any point (50 steps over eight decades
# are 6).
STEPS_PER_DECADE = 5
# The remedies for a curve that ends too early, and for one that begins too late.
HIGHER = "raise end_lr"
LOWER = "lower start_lr"

# Sweeps whose rates differ by more than a factor of 3 do not support one rate.
SPREAD_DECADES = 0.5


@dataclass(frozen=True)
class Distances:
    """Distances between the suggested rate and the landmarks above it, in decades.

    Attributes:
        lost: from the rate where the loss leaves its floor.
        done: least distance from the rate where the fall is done.
        climb: from the middle between climb and explosion, if the loss does not fall.
        height: by how much `lost` and `done` shrink for each factor of ten by which the explosion
            is higher than the fall.
    """

    lost: float = 1.05
    done: float = 0.25
    climb: float = 1.35
    height: float = 0.04


DISTANCES = Distances()


@dataclass(frozen=True)
class Suggestion:
    """A suggested learning rate and the reason for it.

    Attributes:
        lr: the suggested rate; None if the curve does not support one.
        reason: one sentence in plain English.
        confidence: "high", or "low" if the rate is a guess from a doubtful curve.
        falls_at: rate at which the loss begins to fall; None if it does not.
        minimum: rate at the lowest loss; None if the loss does not fall.
        explodes_at: rate at which half of the fall is lost again or, if there is no fall, at which
            the loss climbs out of its noise; None if it does neither.
        spread: standard deviation of the sweeps' own suggestions, in decades; None for one sweep.
    """

    lr: float | None
    reason: str
    confidence: Literal["high", "low"]
    falls_at: float | None = None
    minimum: float | None = None
    explodes_at: float | None = None
    spread: float | None = None

    def doubted(self, why: str) -> Suggestion:
        """Return this suggestion with a reason to doubt it; as it is if it was doubted already."""
        if self.confidence == "low":
            return self
        return replace(self, reason=f"{self.reason}; {why}", confidence="low")

    def cut_short(self) -> Suggestion:
        """Return this suggestion for a sweep that ended before it came to its `end_lr`."""
        return replace(self, reason=self.reason.replace(HIGHER, "sweep on to higher rates"))

    def on_linear_ladder(self) -> Suggestion:
        """Return this suggestion for a ladder whose first rate is far above its `start_lr`."""
        return replace(self, reason=self.reason.replace(LOWER, 'use spacing="log"'))


def suggest(lr: ArrayLike, loss: ArrayLike) -> Suggestion:
    """Suggest a learning rate from the raw losses of one or more range tests.

    Args:
        lr: learning rates, shape (steps,), in any order; a rate that is not a positive number is
            ignored with its losses.
        loss: raw losses, shape (steps,), or (sweeps, steps) for several sweeps of the same task,
            with NaN where a sweep ended early. NaN is a gap, infinity an explosion.

    Returns:
        The suggestion. If the curve shows neither a fall nor a climb, ``lr`` is None and ``reason``
        says why. Scaling or offsetting the loss changes the rate by no more than rounding.

    Raises:
        TypeError, ValueError: the arguments are no numbers, or their shapes do not fit together. No
            values raise an error.
    """
    decades, losses = read_sweeps(lr, loss)
    lack = _lack(decades, as_floats("loss", loss))
    if lack:
        return Suggestion(None, lack, "low")
    marks = find_landmarks(decades, losses)
    rate, share = place_rate(marks)
    spread = _spread(decades, losses) if len(losses) > 1 else None
    sudden = "" if share == 1 and _exploded(marks) else _sudden(lr, loss)
    doubts = _doubts(marks, decades, losses, share, spread, sudden=sudden)
    fell = share > 0
    explodes = marks.half_lost if fell else marks.climbs
    if rate is not None and rate < marks.first:
        # The rate lies below the swept range, whose lowest rate is then the best that is known.
        rate = marks.first if fell else None
        doubts = [f"it does so from the first steps on: {LOWER}"]
    return Suggestion(
        lr=None if rate is None else 10**rate,
        reason="; ".join([_story(marks, losses, rate, share, sudden), *doubts]),
        confidence="low" if rate is None or doubts else "high",
        falls_at=10**marks.begun if fell else None,
        minimum=10**marks.minimum if fell else None,
        explodes_at=None if explodes is None else 10**explodes,
        spread=spread,
    )


def place_rate(marks: Landmarks, distances: Distances = DISTANCES) -> tuple[float | None, float]:
    """Return the rate in decades and the weight of the fall in it, from 0 to 1.

    The rate is None if the landmarks show neither a fall nor a climb.
    """
    least = max(FALL_LEAST * marks.noise, FALL_ERRORS * marks.error)
    enough = max(FALL_ENOUGH * marks.noise, least)
    share = float(np.interp(marks.fall, [least, enough], [0.0, 1.0]))
    height = HEIGHT_UNKNOWN if marks.height is None else min(max(marks.height, 0.0), HEIGHT_MOST)
    nearer = distances.height * height
    by_fall = min(marks.lost - distances.lost, marks.done - distances.done) + nearer
    if marks.climbs is None:
        return (by_fall, share) if share > 0 else (None, 0.0)
    explodes = marks.last + BEYOND_DECADES if marks.explodes is None else marks.explodes
    by_climb = (marks.climbs + max(explodes, marks.climbs)) / 2 - distances.climb
    return share * by_fall + (1 - share) * by_climb, share


def _spread(decades: Array, losses: Array) -> float | None:
    rates = []
    for sweep in losses:
        seen = ~np.isnan(sweep)
        if not broke_off(sweep) and not _lack(decades[seen], sweep):
            rate, _ = place_rate(find_landmarks(decades[seen], sweep[None, seen]))
            rates += [] if rate is None else [rate]
    return float(np.std(rates)) if len(rates) > 1 else None


def _lack(decades: Array, losses: Array) -> str | None:
    """Return why the sweep cannot be analysed; None if it can."""
    if losses.size and not np.isfinite(losses).any():
        return f"no loss was finite, so no rate is the cause: {LOOK_AT_WEIGHTS}"
    points = len(decades)
    if points < LEAST_STEPS:
        shown = f"{points} usable point{'' if points == 1 else 's'}"
        return f"{shown} cannot show a fall and a climb: use at least {_steps(decades)} steps"
    if decades[0] == decades[-1]:
        return "all rates are the same: end_lr must be above start_lr"
    return None


def _steps(decades: Array) -> int:
    span = float(decades[-1] - decades[0]) if len(decades) else 0.0
    return max(2 * LEAST_STEPS, math.ceil(2 * STEPS_PER_DECADE * span))


def _sudden(lr: ArrayLike, loss: ArrayLike) -> str:
    """Return the doubt about a sweep that ended with a loss that was not finite; "" for others."""
    end = sudden_end(lr, loss)
    if end is None:
        return ""
    return (
        f"the loss was not finite at step {end[0]}, rate {rate_in_words(end[1])}, though the "
        f"losses before it did not climb: {CAUSE}; {REMEDY}"
    )


def _exploded(marks: Landmarks) -> bool:
    return marks.half_lost is not None or marks.climbs is not None


def _doubts(
    marks: Landmarks,
    decades: Array,
    losses: Array,
    share: float,
    spread: float | None,
    *,
    sudden: str,
) -> list[str]:
    """Return the reasons to doubt the suggestion, each with a remedy."""
    doubts = []
    if len(decades) < STEPS_PER_DECADE * (marks.last - marks.first):
        doubts.append(f"there are too few points per decade: use at least {_steps(decades)} steps")
    if 0 < share < 1:
        mend = "repeats=3 or more steps" if len(losses) == 1 else "more repeats or more steps"
        doubts.append(f"the fall is hardly larger than the noise: use {mend}")
    if share == 1 and marks.fall < SURE_FALL * _lowest_level(losses):
        doubts.append(
            "it fell by less than half, as where a model hardly learns, or learns its data by "
            "heart: refine the rate with short trials"
        )
    if share == 1 and (again := falls_again_doubt(marks, decades, losses)):
        doubts.append(again)
    if sudden:
        doubts.append(sudden)
    elif share > 0 and not _exploded(marks):
        doubts.append(f"it never exploded, so a higher rate may be better: {HIGHER}")
    if share == 0 and marks.climbs is not None:
        doubts.append("a sweep with more steps may show a fall")
    if spread is not None and spread > SPREAD_DECADES:
        doubts.append(f"the sweeps disagree by {spread:.1f} decades")
    return doubts


def _lowest_level(losses: Array) -> float:
    """Return the size of the loss from which the sweeps fall: the least of theirs."""
    begin = losses[:, : max(1, losses.shape[1] // 10)]
    levels = [abs(float(row[~np.isnan(row)].mean())) for row in begin if not np.isnan(row).all()]
    return min(levels, default=0.0)


def _story(marks: Landmarks, losses: Array, rate: float | None, share: float, sudden: str) -> str:
    """Return a description of the curve and of the place of the rate in it."""
    if share == 0:
        if marks.climbs is None:
            return (
                f"loss neither fell nor climbed by more than its noise up to {_text(marks.last)}"
                f"{'' if sudden else f': {HIGHER}'}"
                f"{_SAME if np.nanmin(losses) == np.nanmax(losses) else ''}"
            )
        story = f"loss never fell by more than its noise; it climbs from {_text(marks.climbs)}"
        if rate is None:
            return story
        return f"{story}, and this rate is a factor {_factor(marks.climbs - rate)} below"
    # The smoothed curve may pass below all losses where it bends sharply.
    low = max(marks.level - marks.fall, float(np.nanmin(losses)))
    story = (
        f"loss fell from {fall_in_words(marks.level, low)} "
        f"between {_text(marks.begun)} and {_text(marks.minimum)}"
    )
    if marks.half_lost is not None:
        story += f"; it explodes at {_text(marks.half_lost)}"
    if rate is None or rate == marks.first:
        return story
    if rate > marks.minimum:
        return f"{story}; this rate is above the minimum, judged by where the loss climbs"
    return f"{story}; this rate is a factor {_factor(marks.minimum - rate)} below the minimum"


_SAME = (
    ", or look at the loss, which is the same in all steps: the cross-entropy of a single output "
    "is always 0"
)


def _factor(decades: float) -> str:
    return f"{10**decades:.2g}" if decades < 1 else f"{10**decades:.0f}"


def _text(decades: float) -> str:
    return rate_in_words(10**decades)
