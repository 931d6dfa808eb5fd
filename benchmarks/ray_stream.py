"""Measures the driver's cost of streaming sweeps on a Ray cluster: bytes, messages, CPU time.

python -m benchmarks.ray_stream [SWEEPS]

A local cluster on the loopback interface runs SWEEPS sweeps at once (4), whose steps only wait, at
50 steps per second. Prints the cost of a message and the estimated cost of a thousand such sweeps.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}

import psutil
import ray
import torch
from ray import cloudpickle

from lrwidget.distributed import RayRunner
from lrwidget.ray.handle import JobHandle
from lrwidget.ray.job import Report
from lrwidget.ray.source import RaySource

STEPS = 100_000
PAUSE = 0.02
AT_ONCE = 1000


def make_task() -> Any:
    """Return a task with a model of one weight, whose loss function waits."""

    def wait(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        time.sleep(PAUSE)
        return (output - target).square().mean()

    torch.set_num_threads(1)
    model = torch.nn.Linear(1, 1)
    return model, torch.optim.SGD(model.parameters(), lr=0.1), wait, [(torch.ones(1, 1),) * 2]


def main() -> None:
    """Measure and print."""
    sweeps = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    ray.init("local", num_cpus=sweeps, **quiet)
    reports: list[Report] = []
    accept = JobHandle._accept

    def counted(handle: JobHandle, report: Report) -> None:
        reports.append(report)
        accept(handle, report)

    JobHandle._accept = counted  # type: ignore[method-assign]
    options = {"steps": STEPS, "repeats": sweeps, "stop_at_divergence": False, "end_lr": 1e-3}
    runner = RaySource(make_task, RayRunner(), **options).runner("")
    runner.start()
    while sum(len(handle.records) > 0 for handle in runner._handles) < sweeps:
        time.sleep(0.1)
    process = psutil.Process()
    began, count, wall = cpu(process), len(reports), time.monotonic()
    time.sleep(10)
    messages, seconds = len(reports) - count, time.monotonic() - wall
    spent = cpu(process) - began
    middle = reports[count:]
    runner.stop()
    runner.wait()
    ray.shutdown()
    rows = sum(len(report.rows) for report in middle) / 16
    sizes = [len(cloudpickle.dumps(report)) for report in middle]  # type: ignore[no-untyped-call]
    a_message = sum(sizes) / len(sizes)
    print(f"sweeps at once           {sweeps}")
    print(f"rows a second and sweep  {rows / seconds / sweeps:.1f}")
    print(f"messages                 {messages / seconds / sweeps:.1f} a second and sweep")
    print(f"size of a message        {a_message:.0f} bytes, with {rows / messages:.1f} rows of 16")
    print(f"CPU time of the driver   {1e3 * spent / messages:.2f} ms a message")
    rate = messages / seconds / sweeps * AT_ONCE
    print(
        f"for {AT_ONCE} sweeps          {rate:.0f} messages/s, {rate * a_message / 1e6:.1f} MB/s,"
    )
    print(f"                         {rate * spent / messages:.1f} cores of the driver")


def cpu(process: psutil.Process) -> float:
    """Return the CPU time of the driver in seconds."""
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
