"""Paired timings: on a busy machine only ratios of adjacent runs are meaningful."""

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.workloads import Problem, Workload

Run = Callable[[Problem, int], Any]


class Seconds(NamedTuple):
    """Duration of a sweep: wall-clock time, and processor time of all threads of the process."""

    clock: float
    processor: float

    @classmethod
    def begin(cls) -> "Seconds":
        """Return the current readings of both clocks."""
        return cls(time.perf_counter(), time.process_time())

    def until_now(self) -> "Seconds":
        """Return the time since `begin`."""
        now = self.begin()
        return Seconds(now.clock - self.clock, now.processor - self.processor)


class Quartiles(NamedTuple):
    """Lower quartile, median and upper quartile; of a single value the quartiles are NaN."""

    low: float
    median: float
    high: float

    def __str__(self) -> str:
        spread = "" if math.isnan(self.low) else f" ({self.low:5.3f} to {self.high:5.3f})"
        return f"{self.median:5.3f}{spread}"


class Ratio(NamedTuple):
    """Time of a finder divided by that of the paired bare loop: quartiles over all pairs.

    Other programs on the machine lengthen wall-clock times, not equally within a pair. They hardly
    affect processor times, but these exclude the time that a thread waits for another.
    """

    clock: Quartiles
    processor: Quartiles

    def __str__(self) -> str:
        return "    ".join(map(str, self))


class Measured(NamedTuple):
    """The result of `measure`: ratios by name; the bare loop's processor time in ms per step."""

    ratios: dict[str, Ratio]
    bare_step: float


def seconds(run: Run, workload: Workload, steps: int) -> Seconds:
    """Time one sweep of a new problem, without making the problem."""
    problem = workload.problem()
    gc.collect()
    began = Seconds.begin()
    result = run(problem, steps)
    took = began.until_now()
    if hasattr(result, "close"):
        result.close()
    return took


def measure(
    finders: Mapping[str, Run], bare: Run, workload: Workload, steps: int, rounds: int
) -> Measured:
    """Run each finder paired with the bare loop for `rounds` rounds, all interleaved.

    The order within a pair alternates. An additional first round is not counted.
    """
    pairs: dict[str, list[tuple[Seconds, Seconds]]] = {name: [] for name in finders}
    for round_ in range(rounds + 1):
        for name, finder in finders.items():
            if round_ % 2:
                theirs = seconds(finder, workload, steps)
                base = seconds(bare, workload, steps)
            else:
                base = seconds(bare, workload, steps)
                theirs = seconds(finder, workload, steps)
            if round_:
                pairs[name].append((theirs, base))
    bare_times = [base.processor for found in pairs.values() for _, base in found]
    return Measured(
        {name: ratio(found) for name, found in pairs.items()},
        1e3 * statistics.median(bare_times) / steps,
    )


def ratio(pairs: list[tuple[Seconds, Seconds]]) -> Ratio:
    """Return the quartiles over all pairs (finder, bare loop)."""
    return Ratio(
        quartiles([theirs.clock / base.clock for theirs, base in pairs]),
        quartiles([theirs.processor / base.processor for theirs, base in pairs]),
    )


def quartiles(values: list[float]) -> Quartiles:
    """Return lower quartile, median and upper quartile of at least one value."""
    if len(values) == 1:
        return Quartiles(math.nan, values[0], math.nan)
    return Quartiles(*statistics.quantiles(values, n=4, method="inclusive"))
