"""What a sweep costs on a CUDA device, and how often it waits there: `python -m benchmarks.gpu`.

The bare loop reads its loss at each step, so it waits at each step. Waits are counted twice: by
the warnings of `torch.cuda.set_sync_debug_mode`, which come from torch's own code, and by the
calls of the CUDA runtime that the profiler sees.
"""

import argparse
import sys
import warnings
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader

from benchmarks import finders
from benchmarks.paired import Run, measure
from benchmarks.workloads import LENET, MLP, Problem, Workload

WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


def main() -> None:
    """Measure, and print; without CUDA, say so and fail."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("no CUDA device here: nothing was measured")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    for workload in (MLP, LENET):
        measured = measure(
            {"lrwidget": on_gpu(finders.ours)},
            on_gpu(bare_loop),
            workload,
            options.steps,
            options.rounds,
        )
        print(f"\n{workload.name}: over the bare loop, clock and processor, median (quartiles)")
        for name, ratio in measured.ratios.items():
            print(f"  {name}  {ratio}")
        for name, run in (("bare loop", bare_loop), ("lrwidget", finders.ours)):
            print(f"  {name} waits in {options.steps} steps: {waits(run, workload, options.steps)}")


def on_gpu(run: Run) -> Run:
    """`run` with the network on the device, and until the device has done all of it."""

    def moved(problem: Problem, steps: int) -> Any:
        run(to_gpu(problem), steps)
        torch.cuda.synchronize()

    return moved


def to_gpu(problem: Problem) -> Problem:
    """The same problem with the network on the device and batches in pinned memory."""
    model, _, loss_fn, data = problem
    assert isinstance(data, DataLoader)
    model.cuda()
    pinned = DataLoader(data.dataset, data.batch_size, shuffle=True, pin_memory=True)
    return Problem(model, torch.optim.Adam(model.parameters()), loss_fn, pinned)


def bare_loop(problem: Problem, steps: int) -> list[float]:
    """The bare loop, which moves its batches without waiting."""
    model, optimizer, loss_fn, data = problem

    def on_device() -> Any:
        while True:
            for batch in data:
                yield [tensor.cuda(non_blocking=True) for tensor in batch]

    return finders.bare_loop(Problem(model, optimizer, loss_fn, on_device()), steps)


def waits(run: Run, workload: Workload, steps: int) -> str:
    """How often one sweep waits for the device: torch's own count, and the profiler's."""
    problem = to_gpu(workload.problem())
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            run(problem, steps)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    own = sum("synchronizing" in str(warning.message) for warning in warned)

    problem = to_gpu(workload.problem())
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        run(problem, steps)
    calls = {event.key: event.count for event in seen.key_averages() if event.key in WAITS}
    return f"{own} by torch; by the profiler {calls}"


if __name__ == "__main__":
    main()
