"""Decides which rates to try, for how long, and which to choose; `refine` does the training.

Rates lie on a ladder of half decades around a centre. A place is an index on it; 0 is the centre.

1. Start: run trials of n steps at the centre and half a decade to either side (`first_length`).
2. Walk: while the best rate is at an edge, try one more rate beyond it, at most three decades from
   the centre. If all trials have diverged, try half a decade below the lowest rate.
3. Lengthen: continue the best rate and its two neighbours to twice as many steps, up to 300 or a
   tenth of the planned training (`longest_trial`), and walk again. A trial that could exceed the
   budget is not started.
4. Choose: take the lowest point of a parabola through the best rate and its neighbours, at most a
   quarter decade from the best; losses are capped at the untrained loss. Then lower the rate by
   .4 log10(T / n) decades, at most .6, where T is the number of planned steps and n that of the
   trials: short trials favour higher rates than a whole training does. If T is unknown, lower it
   by .15 decades.
5. Compare with the suggestion of the sweep: a rate within half a decade of it is drawn towards it,
   the more the nearer it is, since both have errors of that size and their mean has less.

Where the loss has not fallen by 5%, neither the held-out one in the best trial nor that of training
in any, the trials are still on the plateau that training begins with. They then say nothing about
the rates, and the suggestion stays.

`benchmarks/suggest/README.md` has the figures behind these constants. They were chosen on 128 tasks
of 200 to 600 steps and 30 of 5,000 to 20,000; 31 others were judged once afterwards.
"""

import dataclasses
import math
from collections.abc import Generator, Mapping

STEP = 0.5  # decades between neighbours
FARTHEST = 6  # places from the centre
LONGEST = 300
LENGTH, SHORT_LENGTH, SHORT_BUDGET = 100, 60, 500
BUDGET = 1500  # usual limit of steps, those of the sweep included
NEARBY = 0.25  # largest shift by the parabola, in decades
LOWER_BY, LOWER_MOST, LOWER_UNKNOWN = 0.4, 0.6, 0.15
# A rate that is nearer to the suggestion than this is drawn towards it, in decades.
NEAR_SUGGESTION = 0.5
# Losses that have fallen by a smaller share are on the plateau that training begins with.
LEARNED = 0.05
# Trials of this share of the planned training are long enough, if the budget allows them.
SHARE_OF_PLANNED = 10
# The trials predict little about a training that is more than this many times as long.
MUCH_LONGER = 30
# The centre if the curve suggests no rate.
NO_SUGGESTION = 0.1


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """Train at a rate from step `begin` (0 is a fresh start) to step `end`, and evaluate.

    Attributes:
        place: index of the rate on the ladder.
        lr: the rate.
        begin, end: steps of the trial.
    """

    place: int
    lr: float
    begin: int
    end: int


def centre_of(suggested: float | None) -> float:
    """Return the suggestion, rounded to a quarter decade."""
    rate = NO_SUGGESTION if suggested is None else suggested
    return float(10 ** (round(4 * math.log10(rate)) / 4))


def first_length(budget: int, left: int) -> int:
    """Return the number of steps of the first trials.

    Args:
        budget: upper limit of steps, including those of the sweep.
        left: steps that remain after the sweep.

    Raises:
        ValueError: the remaining steps do not suffice for three short trials.
    """
    length = SHORT_LENGTH if budget < SHORT_BUDGET or left < 3 * LENGTH else LENGTH
    if left < 3 * length:
        raise ValueError(
            f"budget is {budget}, of which the sweep took {budget - left} steps; three trials of "
            f"{length} steps need {3 * length} more: give a budget of at least "
            f"{budget - left + 3 * length}"
        )
    return length


def longest_trial(planned: int | None) -> int:
    """Return the steps beyond which trials are not continued.

    They are 300, a tenth of a longer planned training, or all of a shorter one.
    """
    if planned is None:
        return LONGEST
    return min(max(LONGEST, planned // SHARE_OF_PLANNED), planned)


class Search:
    """Yields the jobs of a search and collects their scores.

    Args:
        centre: the rate in the middle of the ladder.
        left: upper limit of the steps to spend.
        length: steps of the first trials.
        longest: steps beyond which no trial is continued.

    Attributes:
        scores: held-out losses by place and length; infinite if a trial broke off.
        spent: steps so far.
        length: steps of the trials that are compared.
    """

    def __init__(self, centre: float, left: int, length: int, longest: int = LONGEST) -> None:
        self.centre: float = centre
        self.longest: int = longest
        self.left: int = left
        self.scores: dict[int, dict[int, float]] = {}
        self.spent: int = 0
        self.length: int = min(length, longest)
        self.wanted: frozenset[int] = frozenset((-1, 0, 1))
        self._first = self.length
        self._kept: dict[int, int] = {}

    def lr(self, place: int) -> float:
        """Return the rate at a place."""
        return float(self.centre * 10 ** (STEP * place))

    def jobs(self) -> Generator[Job, tuple[float, int], None]:
        """Yield the jobs; the caller sends back the score of each and the steps it took.

        After each job the caller keeps only the states of the places in `wanted`.
        """
        for place in (0, -1, 1):
            yield from self._run(place, self._first)
        yield from self._walk()
        while self.length < self.longest:
            longer = min(2 * self.length, self.longest)
            three = self._three()
            alive = [place for place in three if math.isfinite(self._score(place, self.length))]
            if not alive or sum(self._cost(p, longer) for p in alive) > self.left - self.spent:
                return
            for place in alive:
                yield from self._run(place, longer)
            for place in set(three) - set(alive):
                self.scores[place][longer] = math.inf
            self.length = longer
            yield from self._walk()

    def at(self, length: int) -> dict[int, float]:
        """Return the scores of the trials of a length, by place in ascending order."""
        found = {p: s[length] for p, s in self.scores.items() if length in s}
        return dict(sorted(found.items()))

    def best(self) -> int | None:
        """Return the place with the lowest score at this length; None if no score is finite."""
        scores = {p: s for p, s in self.at(self.length).items() if math.isfinite(s)}
        return min(scores, key=lambda p: (scores[p], abs(p), p)) if scores else None

    def _walk(self) -> Generator[Job, tuple[float, int], None]:
        while True:
            places = list(self.at(self.length))
            best = self.best()
            if best is None or best == places[0]:
                beyond = places[0] - 1
            elif best == places[-1]:
                beyond = best + 1
            else:
                return
            if abs(beyond) > FARTHEST:
                return
            broke_off = any(map(math.isinf, self.scores.get(beyond, {}).values()))
            if broke_off:
                self.scores[beyond][self.length] = math.inf
                continue
            if self._cost(beyond, self.length) > self.left - self.spent:
                return
            yield from self._run(beyond, self.length)

    def _three(self) -> list[int]:
        best = self.best()
        if best is None:
            return []
        return [p for p in (best, best - 1, best + 1) if self.length in self.scores.get(p, {})]

    def _score(self, place: int, length: int) -> float:
        return self.scores[place][length]

    def _cost(self, place: int, length: int) -> int:
        return length - self._kept.get(place, 0)

    def _run(self, place: int, length: int) -> Generator[Job, tuple[float, int], None]:
        job = Job(place, self.lr(place), self._kept.get(place, 0), length)
        score, steps = yield job
        self.spent += steps
        self.scores.setdefault(place, {})[length] = score
        self._keep(place, length if math.isfinite(score) else 0)

    def _keep(self, place: int, length: int) -> None:
        """Update `wanted` to the states of the best place and its neighbours."""
        if length and length < self.longest:
            self._kept[place] = length
        else:
            self._kept.pop(place, None)
        newest = max(max(scores) for scores in self.scores.values())
        scores = {p: s for p, s in self.at(newest).items() if math.isfinite(s)}
        if newest > self.length:  # while lengthening: the trials still to be continued
            self.wanted = frozenset(p for p in self._kept)
            return
        best = min(scores, key=lambda p: (scores[p], abs(p), p)) if scores else None
        self.wanted = frozenset(() if best is None else (best - 1, best, best + 1))
        self._kept = {p: n for p, n in self._kept.items() if p in self.wanted}


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """The rate that the trials support.

    Attributes:
        lr: the chosen rate; None if every trial diverged.
        best: the rate of the best trial, before it is moved.
        lowered: decades by which the rate was lowered for a longer training.
        drawn: decades by which it was then moved towards the suggestion, with their sign.
        at_edge: whether the best rate is the highest or the lowest that was tried.
        tied: whether a neighbour of the best rate has the same loss.
        learned: whether the trials have left the plateau; otherwise `lr` is the centre.
        fall: share of the untrained loss by which the best held-out loss is below it.
    """

    lr: float | None
    best: float | None
    lowered: float = 0.0
    drawn: float = 0.0
    at_edge: bool = False
    tied: bool = False
    learned: bool = False
    fall: float = 0.0


def choose(
    scores: Mapping[float, float],
    centre: float,
    untrained: float,
    steps: int,
    planned: int | None,
    *,
    suggested: float | None = None,
    trained: float = 0.0,
) -> Choice:
    """Choose a rate.

    Args:
        scores: held-out losses after `steps` steps, by rate, half a decade apart.
        centre: the rate to return if the trials have learned nothing.
        untrained: the held-out loss before the first step.
        steps: steps of each trial.
        planned: steps of the planned training, or None.
        suggested: the rate that the sweep suggests, or None.
        trained: share by which the training loss has fallen in the trial where it fell most.
    """
    finite = {lr: loss for lr, loss in scores.items() if math.isfinite(loss)}
    if not finite:
        return Choice(None, None)
    capped = {lr: _capped(loss, untrained) for lr, loss in sorted(scores.items())}
    best = min(finite, key=lambda lr: (finite[lr], abs(math.log(lr / centre))))
    fall = fallen(untrained, finite[best])
    if not (fall > 0 and max(fall, trained) >= LEARNED):
        return Choice(centre, best, fall=fall)
    rates = list(capped)
    place = rates.index(best)
    at_edge = place in (0, len(rates) - 1)
    shift = 0.0
    if not at_edge:
        shift = _vertex(*(capped[rates[i]] for i in (place - 1, place, place + 1)))
    lowered = lowered_by(steps, planned)
    rate = best * 10 ** (shift - lowered)
    drawn = 0.0
    if suggested is not None:
        away = math.log10(suggested / rate)
        drawn = away * (1 - min(1.0, abs(away) / NEAR_SUGGESTION))
    beside = rates[max(0, place - 1) : place + 2]
    tied = sum(scores[lr] == finite[best] for lr in beside) > 1
    return Choice(rate * 10**drawn, best, lowered, drawn, at_edge, tied, True, fall)


def fallen(before: float, after: float) -> float:
    """Return by which share of its size a loss has fallen; 1 if its first value is not known."""
    if not math.isfinite(before):
        return 1.0
    if before == 0:
        return math.copysign(1.0, -after) if after else 0.0
    return (before - after) / abs(before)


def lowered_by(steps: int, planned: int | None) -> float:
    """Return by how many decades to lower the best rate of short trials for a longer training."""
    if planned is None:
        return LOWER_UNKNOWN
    return min(LOWER_MOST, max(0.0, LOWER_BY * math.log10(planned / steps)))


def _capped(loss: float, untrained: float) -> float:
    if not math.isfinite(loss):
        return untrained
    return min(loss, untrained) if math.isfinite(untrained) else loss


def _vertex(low: float, middle: float, high: float) -> float:
    """Return the lowest point of the parabola through three neighbours, in decades from the
    middle one, at most NEARBY."""
    bend = low - 2 * middle + high
    if not bend > 0:
        return 0.0
    return max(-NEARBY, min(NEARBY, STEP * (low - high) / (2 * bend)))
