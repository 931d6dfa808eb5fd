"""From the curve of a learning rate range test to a learning rate.

The rule
--------
The losses are smoothed to both sides, over a sixth to two fifths of a decade (``locallinear.py``),
which puts no lag between the loss and its rate. Then there are two cases, and a blend between them:

- **The loss falls** by at least three times the noise of one batch. The rate is a factor of 11
  below the one where the loss leaves its floor again (where 5% of the fall is lost). It stays a
  factor of 1.8 below the rate where the fall is done: a model that has converged keeps to its floor
  for decades in which training from the start would fail. Both factors shrink by 9% for each factor
  of ten (five at most) that the explosion is higher than the fall is deep: a loss that shoots up by
  orders of magnitude does so as soon as the rate is too high, one that merely returns to its level
  may show that late.
- **It does not fall** by as much as the noise of one batch, as with slow starters, whose loss
  begins to fall only after more steps than a sweep has. What the curve still shows is where the
  loss climbs out of its noise, and where it has exploded; the suggestion is a factor of 22 below
  the middle of the two. A slow climb, with a long way from the one to the other, thus carries a
  rate closer to it than an abrupt one.

Where the constants come from
-----------------------------
Four sets of tasks whose best rate is known by brute force, 201 in all, in ``benchmarks/suggest``.
The constants were chosen in view of all of them and lie on a plateau: 0.1 decade more or less in a
distance moves the mean regret by at most 0.006. The benchmark also prints what remains when the
distances are chosen without the family of tasks that is judged. On 31 further tasks, fixed before
the first run and judged once, the mean regret is .186 at 100 steps and .155 at 300, the median
task's .035 and .044: where a model learns its data by heart, or does not learn within the sweep, no
curve of losses shows the best rate.

What was tried and dropped
--------------------------
- The minimum divided by ten or by 5.6: on a floor of two decades the place of the minimum is noise.
- The smaller of minimum / 5.6 and the rate where 95% of the fall is done / 2.4: as good on the 13
  tasks, worse on the others.
- The middle of the floor divided by 11, less for a wide fall: this was the rule until the last and
  largest set of tasks was made. It is better on the 13 tasks on which it had been chosen (.040 and
  .024 at 100 and 300 steps) and worse on the others at 100 steps: a floor without an end carries
  its middle too high, and the width of the fall is no help outside of the 13.
- One width of smoothing for the ends of the floor: the mean over five has a fifth less spread
  over seeds. For the climb it was no help.
- The steepest point, smoothed without lag and in decades: three times the spread over seeds, and
  three times the regret.
- The rate where half of the fall is lost again, or the climb, for curves that fall: nearly as good
  as the floor, but means, medians and weighted sums of these landmarks were no better than the
  floor alone, once the weights were chosen without the family that is judged.
- A forest of regression trees on 24 features of the curve (landmarks, depth, noise before and
  after the fall, how the sweep ended) that foretells the regret of every rate: without the family
  that is judged it was at most as good as two distances. So what differs between tasks whose curves
  look alike can hardly be read off these curves.
- Gradient-boosted trees (LightGBM, 250 of them) that foretell the regret of 25 rates from all
  landmarks, trained on the other families of all 232 tasks (8 folds by family). At 100 and 300
  steps they gave .047 and .038 on the recorded tasks, .078 and .092 on the made ones, .342 and .331
  on the very slow ones, .163 and .144 on the varied ones, .164 and .152 on the unseen ones; the
  rule gives .044 and .034, .060 and .052, .336 and .391, .158 and .128, .186 and .155. So a learned
  rule finds no more in these landmarks.
- Means, medians and lower quantiles of two to seven landmarks, each with its own distance. Of every
  three or four of 19 with the median, some are better than the rule; but where these landmarks too
  are chosen without the family judged, the median is worse on the 13 tasks (.08 to .10 at 100
  steps, .05 at 300) and no better on the others.
- Some forty features beside the rule in a linear model that was trained on the expected regret:
  widths of floor, fall and climb, the noise on the plateau, on the floor and where it begins to
  grow, the spread of a landmark over the widths of smoothing. Only the height of the explosion
  helped.
- Going lower where the floor ends at a low rate, as it does with adaptive optimizers: better on the
  13 tasks, worse on the 50 others at 100 steps.
- Drawing the rate for slow starters towards one that is typical of all tasks (0.03): better at
  300 steps, worse at 100.
- Placing the climb by sequential tests (Page's cumulative sum, Pettitt's ranks): they date it too
  early where the noise grows with the rate. A threshold on the smoothed curve is simpler and
  better.
- Placing it by the noise, where the differences of neighbours have grown by a quarter to tenfold,
  by other heights of the smoothed curve (1 to 35 times the noise), or as the lower of two
  distances below climb and explosion: each better on one set of tasks and worse on another.
- A distance that depends on the steps per decade. The best distance is larger for fast sweeps (a
  factor of 10 for 100 steps, 6 for 300), but then the same curve would give another rate when it
  is sampled more finely.
- Judging the fall by the standard error of the smoothed curve instead of the noise of a batch: with
  more steps ever smaller dips count as a fall.
- For several sweeps, the median of the sweeps' own rates: as good as the suggestion for their mean
  curve, but without landmarks to show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from lrwidget.curve.landmarks import Landmarks, find_landmarks
from lrwidget.curve.normalize import Array, broke_off, read_sweeps

# A fall of less than one standard deviation of a batch is noise, one of three is not; nor is one of
# less than 3.5 standard errors a fall, of which a curve of pure noise has one in twenty.
FALL_LEAST, FALL_ENOUGH = 1.0, 3.0
FALL_ERRORS = 3.5

# Where a sweep ends with a climb and without an explosion, that is taken to lie so far beyond.
BEYOND_DECADES = 0.2

# An explosion counts as up to five factors of ten higher than the fall; three to eight score the
# same. One that the sweep does not show counts as the middle.
HEIGHT_MOST = 5.0
HEIGHT_UNKNOWN = 2.5

# Fewer points than this do not show a plateau, a fall and a climb.
LEAST_STEPS = 10
# 50 steps over eight decades are 6 per decade; below 5 the smoothing holds hardly a point.
STEPS_PER_DECADE = 5
# Sweeps that disagree by more than a factor of 3 do not support one rate.
SPREAD_DECADES = 0.5


@dataclass(frozen=True)
class Distances:
    """How far below its landmarks the rate is taken, in decades.

    Attributes:
        lost: below the rate where the loss leaves its floor.
        done: below the rate where the fall is done, at least.
        climb: below the middle between climb and explosion, where the loss does not fall.
        height: nearer to the landmarks of the fall for each factor of ten that the explosion is
            higher than the fall.
    """

    lost: float = 1.05
    done: float = 0.25
    climb: float = 1.35
    height: float = 0.04


DISTANCES = Distances()


@dataclass(frozen=True)
class Suggestion:
    """A learning rate with its grounds.

    Attributes:
        lr: the suggested rate, or None where the curve cannot carry one.
        reason: one sentence in plain words.
        confidence: "high", or "low" where the rate is the best guess from a doubtful curve.
        falls_at: rate at which the loss begins to fall, None where it does not.
        minimum: rate at the lowest loss, None where the loss does not fall.
        explodes_at: rate at which half of the fall is lost again, or, where there is no fall, at
            which the loss climbs out of its noise; None where it does neither.
        spread: standard deviation of the sweeps' own suggestions, in decades; None for one sweep.
    """

    lr: float | None
    reason: str
    confidence: Literal["high", "low"]
    falls_at: float | None = None
    minimum: float | None = None
    explodes_at: float | None = None
    spread: float | None = None


def suggest(lr: ArrayLike, loss: ArrayLike) -> Suggestion:
    """Suggest a learning rate from the raw losses of one or more range tests.

    Args:
        lr: learning rates, shape (steps,), in any order; what is not a positive number is left out.
        loss: raw losses, shape (steps,), or (sweeps, steps) for several sweeps of the same task,
            with NaN where a sweep ended early. NaN is a gap, infinity an explosion.

    Returns:
        the suggestion; its ``lr`` is None, and its ``reason`` says why, where the curve shows
        neither a fall nor a climb. The rate stays the same, within rounding, when the loss is
        scaled or offset.

    Raises:
        ValueError: the shapes do not fit together. No number raises anything.
    """
    decades, losses = read_sweeps(lr, loss)
    lack = _lack(decades)
    if lack:
        return Suggestion(None, lack, "low")
    marks = find_landmarks(decades, losses)
    rate, share = place_rate(marks)
    spread = _spread(decades, losses) if len(losses) > 1 else None
    doubts = _doubts(marks, decades, share, spread)
    fell = share > 0
    explodes = marks.half_lost if fell else marks.climbs
    if rate is not None and rate < marks.first:
        # The rate lies below the sweep: what was swept can carry at most its lowest rate.
        rate = marks.first if fell else None
        doubts = ["it does so from the first steps on: lower start_lr"]
    return Suggestion(
        lr=None if rate is None else 10**rate,
        reason="; ".join([_story(marks, rate, share), *doubts]),
        confidence="low" if rate is None or doubts else "high",
        falls_at=10**marks.begun if fell else None,
        minimum=10**marks.minimum if fell else None,
        explodes_at=None if explodes is None else 10**explodes,
        spread=spread,
    )


def place_rate(marks: Landmarks, distances: Distances = DISTANCES) -> tuple[float | None, float]:
    """Return the rate in decades, and how much of it rests on the fall, from 0 to 1.

    The rate is None where the landmarks show neither a fall nor a climb.
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
        if not broke_off(sweep) and not _lack(decades[seen]):
            rate, _ = place_rate(find_landmarks(decades[seen], sweep[None, seen]))
            rates += [] if rate is None else [rate]
    return float(np.std(rates)) if len(rates) > 1 else None


def _lack(decades: Array) -> str | None:
    """Return what the sweep lacks to be read at all, None where it can be."""
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


def _doubts(marks: Landmarks, decades: Array, share: float, spread: float | None) -> list[str]:
    """Return what speaks against the suggestion, each with what would mend it."""
    doubts = []
    if len(decades) < STEPS_PER_DECADE * (marks.last - marks.first):
        doubts.append(f"there are too few points per decade: use at least {_steps(decades)} steps")
    if 0 < share < 1:
        doubts.append("the fall is hardly larger than the noise: use repeats=3 or more steps")
    if share > 0 and marks.half_lost is None and marks.climbs is None:
        doubts.append("it never exploded, so a higher rate may be better: raise end_lr")
    if share == 0 and marks.climbs is not None:
        doubts.append("a sweep with more steps may show a fall")
    if spread is not None and spread > SPREAD_DECADES:
        doubts.append(f"the sweeps disagree by {spread:.1f} decades")
    return doubts


def _story(marks: Landmarks, rate: float | None, share: float) -> str:
    """Return what the curve shows and where the rate lies in it."""
    if share == 0:
        if marks.climbs is None:
            return (
                f"loss neither fell nor climbed by more than its noise up to {_text(marks.last)}: "
                "raise end_lr"
            )
        story = f"loss never fell by more than its noise; it climbs from {_text(marks.climbs)}"
        if rate is None:
            return story
        return f"{story}, and this rate is a factor {_factor(marks.climbs - rate)} below"
    story = (
        f"loss fell from {marks.level:.3g} to {marks.level - marks.fall:.3g} "
        f"between {_text(marks.begun)} and {_text(marks.minimum)}"
    )
    if marks.half_lost is not None:
        story += f"; it explodes at {_text(marks.half_lost)}"
    if rate is None or rate == marks.first:
        return story
    if rate > marks.minimum:
        return f"{story}; this rate is above the minimum, judged by where the loss climbs"
    return f"{story}; this rate is a factor {_factor(marks.minimum - rate)} below the minimum"


def _factor(decades: float) -> str:
    return f"{10**decades:.2g}" if decades < 1 else f"{10**decades:.0f}"


def _text(decades: float) -> str:
    """Return a rate as people write it: 2e-4, 3e-2, 0.3, 2."""
    rate = 10**decades
    if rate >= 0.1:
        return f"{rate:.2g}"
    mantissa, exponent = f"{rate:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
