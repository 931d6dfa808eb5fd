"""The schedule of learning rates of a sweep, which can be extended while the sweep runs."""

import dataclasses
import itertools
import math
import threading
from collections.abc import Iterator

from lrwidget.task.options import SweepOptions


class Ladder:
    """The rates of one sweep, in order.

    Step i of N, i = 1..N, runs at `start * (end / start) ** (i / N)`, with linear spacing at
    `start + (end - start) * i / N`. This is the rule of luz's `lr_finder`
    (mlverse/luz, R/lr-finder.R): no step runs at the start, and the last runs at exactly `end`.

    One thread iterates over the rates, `options.repeats` times; any thread may extend them.

    Args:
        options: range, steps and spacing.

    Attributes:
        options: the present options; `extend` changes `end_lr` and `steps`.
        total: planned steps of all climbs together.
    """

    def __init__(self, options: SweepOptions) -> None:
        self.options: SweepOptions = options
        self.total: int = options.steps * options.repeats
        self._first = options
        # Each piece begins at the end of the one before it: an extension changes no earlier rate.
        self._pieces = [(options.start_lr, options.end_lr, options.steps)]
        self._lock = threading.Lock()
        self._climbs = 0
        self._at_top = True  # no climb is running, or the current one is at its top

    def extend(self, end_lr: float) -> None:
        """Extend the range to `end_lr` at the same density (per decade, or linear by difference).

        The number of added steps is rounded, and the last step runs at exactly `end_lr`.

        Raises:
            TypeError, ValueError: `end_lr` is not a rate, or not above the present end.
            RuntimeError: the last climb is at its top, or has ended.
        """
        with self._lock:
            before = self.options
            wanted = dataclasses.replace(before, end_lr=end_lr)
            if wanted.end_lr <= before.end_lr:
                raise ValueError(
                    f"end_lr is {wanted.end_lr!r}, and the sweep goes to {before.end_lr!r} "
                    "already; expected a higher end"
                )
            climbs = before.repeats - self._climbs + (not self._at_top)
            if not climbs:
                raise RuntimeError("the sweep is at its end; start another one to go higher")
            more = self.steps_to(wanted.end_lr)
            self._pieces.append((before.end_lr, wanted.end_lr, more))
            self.options = dataclasses.replace(wanted, steps=before.steps + more)
            self.total += climbs * more

    def steps_to(self, end_lr: float) -> int:
        """Return how many steps an extension to `end_lr` adds to each climb."""
        # Counted from the start, so that the rounding errors of extensions do not add up.
        first = self._first
        whole = self._distance(first.start_lr, first.end_lr)
        steps = round(first.steps * (self._distance(first.start_lr, end_lr) / whole))
        return max(1, steps - self.options.steps)

    def climb(self) -> Iterator[float]:
        """Start a climb: return its rates in order, including those added meanwhile."""
        with self._lock:
            self._climbs += 1
            self._at_top = False
        return self._rates()

    def close(self) -> None:
        """Refuse further extensions, after the end of the sweep."""
        with self._lock:
            self._climbs = self.options.repeats
            self._at_top = True

    def _rates(self) -> Iterator[float]:
        for number in itertools.count():
            with self._lock:
                if number == len(self._pieces):
                    self._at_top = True
                    return
            start, end, steps = self._pieces[number]
            for step in range(1, steps):
                yield self._rate(start, end, step / steps)
            # start * (end / start) may differ from the end by rounding; the contract is exactly it.
            yield end

    def _rate(self, start: float, end: float, part: float) -> float:
        if self.options.spacing == "log":
            return float(start * (end / start) ** part)
        return start + (end - start) * part

    def _distance(self, low: float, high: float) -> float:
        return math.log(high) - math.log(low) if self.options.spacing == "log" else high - low
