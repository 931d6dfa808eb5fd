"""Timings in a real Jupyter kernel, with a client that receives all messages of the widget."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from benchmarks import finders, workloads
from benchmarks.paired import Measured, Quartiles, Ratio, Run, measure
from benchmarks.workloads import Workload

ROOT = Path(__file__).resolve().parents[1]


def measured(workload: Workload, steps: int, rounds: int, threads: int) -> Measured:
    """Measure lrwidget with and without a widget against the bare loop, in a new kernel."""
    call = f"in_kernel.work({workload.name!r}, {steps}, {rounds}, {threads})"
    with kernel() as client:
        ratios, bare_step = json.loads(
            output_of(client, f"from benchmarks import in_kernel\n{call}")
        )
    quartiles = {name: Ratio(*(Quartiles(*of) for of in pair)) for name, pair in ratios.items()}
    return Measured(quartiles, bare_step)


def work(name: str, steps: int, rounds: int, threads: int) -> None:
    """Measure inside the kernel, and print the result as JSON."""
    torch.set_num_threads(threads)
    workload = next(
        w for w in vars(workloads).values() if isinstance(w, Workload) and w.name == name
    )
    runs: dict[str, Run] = {
        "lrwidget": finders.ours,
        "lrwidget, widget streaming": finders.widget,
    }
    print(json.dumps(measure(runs, finders.bare_loop, workload, steps, rounds)))


@contextlib.contextmanager
def kernel() -> Iterator[BlockingKernelClient]:
    """Yield a connected client of a new kernel of this interpreter, in the project's root."""
    manager = KernelManager()
    manager.start_kernel(cwd=str(ROOT))
    client: Any = manager.blocking_client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=120)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def output_of(client: BlockingKernelClient, code: str) -> str:
    """Return the output of `code`; receives every message of the kernel, like a server."""
    asked: Any = client.execute(code)
    printed = ""
    while True:
        message: Any = client.get_iopub_msg(timeout=None)
        if message["parent_header"].get("msg_id") != asked:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind == "stream" and content["name"] == "stdout":
            printed += content["text"]
        elif kind == "error":
            raise RuntimeError("\n".join(content["traceback"]))
        elif kind == "status" and content["execution_state"] == "idle":
            return printed
