"""Time and memory of a sweep by its length: `python -m benchmarks.length`.

Two sweeps of the same small network take turns: one after 100,000 steps, and a new one at its 100th
step. It also measures the memory of Python and numpy per row.
"""

import argparse
import gc
import tracemalloc

import torch
from torch import nn

from benchmarks.paired import Quartiles, Seconds, quartiles
from benchmarks.workloads import Problem
from lrwidget.engine.sweep import sweep
from lrwidget.records.records import LRRecords
from lrwidget.task.options import SweepOptions
from lrwidget.task.task import TrainingTask

EARLY, BLOCK = 100, 200  # timed blocks: steps 100 to 300, and from 100,000 on


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.length", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)

    clock, processor = step_ratio(options.rows, options.rounds)
    print(f"time of a step at {options.rows:,} over one at {EARLY}: median (quartiles)")
    for name, ratio in (("clock", clock), ("processor", processor)):
        print(f"  {name:10} {ratio}")
    tenth = options.rows // 10
    for begin, end in ((tenth // 10, tenth), (tenth, options.rows)):
        print(f"bytes a row from {begin:,} to {end:,} rows: {bytes_per_row(begin, end):.1f}")


def step_ratio(rows: int, rounds: int) -> tuple[Quartiles, Quartiles]:
    """Return the ratio of the times at `rows` rows and at 100: quartiles by clock and processor."""
    late = Sweep(rows + rounds * BLOCK + 1)
    late.advance(rows)
    pairs: list[tuple[Seconds, Seconds]] = []
    for round_ in range(rounds):
        early = Sweep(rows + rounds * BLOCK + 1)
        early.advance(EARLY)
        first, second = (late, early) if round_ % 2 else (early, late)
        times = {first: first.timed(BLOCK), second: second.timed(BLOCK)}
        pairs.append((times[late], times[early]))
        early.close()
    late.close()
    return (
        quartiles([a.clock / b.clock for a, b in pairs]),
        quartiles([a.processor / b.processor for a, b in pairs]),
    )


def bytes_per_row(begin: int, end: int) -> float:
    """Return the growth of memory from `begin` to `end` rows, in bytes per row."""
    running = Sweep(end + 1)
    tracemalloc.start()
    try:
        running.advance(begin)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        running.advance(end - begin)
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / (end - begin)
    finally:
        tracemalloc.stop()
        running.close()


class Sweep:
    """A sweep that advances on demand."""

    def __init__(self, steps: int) -> None:
        model = nn.Linear(4, 2)
        data = [(torch.randn(8, 4), torch.randn(8, 2)) for _ in range(50)]
        problem = Problem(model, torch.optim.SGD(model.parameters(), 0.1), nn.MSELoss(), data)
        options = SweepOptions(start_lr=1e-6, end_lr=1e-3, steps=steps, stop_at_divergence=False)
        self.records = LRRecords()
        self._steps = sweep(TrainingTask(*problem), options, self.records)

    def advance(self, steps: int) -> None:
        """Run `steps` steps."""
        for _ in range(steps):
            next(self._steps)

    def timed(self, steps: int) -> Seconds:
        """Run `steps` steps and return their time."""
        watch = Seconds.begin()
        self.advance(steps)
        return watch.until_now()

    def close(self) -> None:
        """End the sweep."""
        self._steps.close()


if __name__ == "__main__":
    main()
