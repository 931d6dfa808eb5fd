"""Overhead of a sweep over a bare loop, and of other finders: `python -m benchmarks.sweep_cost`.

Measures lrwidget without and with its progress bar, and all other installed finders, in a script.
Then it measures lrwidget with a streaming widget in a real Jupyter kernel, whose messages a client
receives. All times include start-up and restore.
"""

import argparse
import contextlib
import functools
import importlib.util
import os
import platform
import tempfile
from importlib.metadata import PackageNotFoundError, version

import torch

from benchmarks import finders, in_kernel
from benchmarks.paired import Measured, Run, measure
from benchmarks.workloads import LENET, LENET_READY, MLP, MLP_READY, Workload

WORKLOADS = {"mlp": (MLP, MLP_READY), "lenet": (LENET, LENET_READY)}


def main() -> None:
    """Measure, and print tables."""
    options = arguments()
    torch.set_num_threads(options.threads)
    print(machine(options.threads))
    for name in options.workloads:
        loaded, ready = WORKLOADS[name]
        others = installed() if options.others else {}
        report(loaded, in_script(loaded, options.steps, options.rounds, others))
        report(ready, in_script(ready, options.steps, options.rounds, {}))
        for workload in (loaded, ready):
            measured = in_kernel.measured(workload, options.steps, options.rounds, options.threads)
            report(workload, measured, where="in a kernel")


def in_script(workload: Workload, steps: int, rounds: int, others: dict[str, Run]) -> Measured:
    """Measure lrwidget without a widget and the other finders against the bare loop."""
    runs: dict[str, Run] = {
        "lrwidget": finders.ours,
        "lrwidget, with its bar": functools.partial(finders.ours, progress=True),
        **others,
    }
    # Lightning and fastai write files to the current folder.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), finders.quiet():
        return measure(runs, finders.bare_loop, workload, steps, rounds)


def report(workload: Workload, measured: Measured, where: str = "in a script") -> None:
    """Print one table."""
    step = f"{measured.bare_step:.2f} ms of processor time a step"
    print(f"\n{workload.name}, {where}, over the bare loop ({step}): median (quartiles)")
    print(f"  {'':26} {'clock':>12} {'processor':>26}")
    for name, ratio in measured.ratios.items():
        print(f"  {name:26} {ratio}", flush=True)


def installed() -> dict[str, Run]:
    """Return the other finders that are installed."""
    found: dict[str, Run] = {}
    for name, (module, finder) in finders.OTHERS.items():
        if importlib.util.find_spec(module) is None:
            print(f"{name} is not installed here, so it is left out")
        else:
            found[name] = finder
    return found


def machine(threads: int) -> str:
    """Return the processor and the versions that affect the figures."""
    packages = ["torch", "ipykernel", *(m.replace("_", "-") for m, _ in finders.OTHERS.values())]
    names = {"ignite": "pytorch-ignite"}
    found = []
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{package} {version(names.get(package, package))}")
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), torch on {threads} of them; "
        f"Python {platform.python_version()}, {', '.join(found)}"
    )


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep_cost", description=__doc__)
    parser.add_argument("workloads", nargs="*", default=list(WORKLOADS), help="mlp, lenet")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="of torch (1)")
    parser.add_argument("--no-others", dest="others", action="store_false")
    return parser.parse_args()


if __name__ == "__main__":
    main()
