"""Overhead of a sweep over a bare loop, and of other finders: `python -m benchmarks.sweep_cost`.

Measures lrwidget without and with its progress bar and with a widget, and all other installed
finders, in a script. Then it measures lrwidget with a streaming widget in a real Jupyter kernel,
whose messages a client receives. Does so with torch's default number of threads, as users have it,
and with one. All times include start-up and restore.
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
from benchmarks.workloads import (
    LENET,
    LENET_READY,
    MLP,
    MLP_READY,
    RESNET,
    TRANSFORMER,
    Workload,
)

WORKLOADS = {
    "mlp": (MLP, MLP_READY),
    "lenet": (LENET, LENET_READY),
    "resnet": (RESNET,),
    "transformer": (TRANSFORMER,),
}
DEFAULT_THREADS = torch.get_num_threads()


def main() -> None:
    """Measure, and print tables."""
    options = arguments()
    print(machine())
    for threads in dict.fromkeys(options.threads):
        torch.set_num_threads(threads)
        default = " (torch's default)" if threads == DEFAULT_THREADS else ""
        print(f"\n== torch on {threads} thread{'s'[: threads != 1]}{default}")
        for workload in (each for name in options.workloads for each in WORKLOADS[name]):
            steps = options.steps or workload.steps
            others = installed() if options.others and workload in (MLP, LENET) else {}
            report(workload, in_script(workload, steps, options.rounds, others))
            measured = in_kernel.measured(workload, steps, options.rounds, threads)
            report(workload, measured, where="in a kernel")


def in_script(workload: Workload, steps: int, rounds: int, others: dict[str, Run]) -> Measured:
    """Measure lrwidget and the other finders against the bare loop."""
    runs: dict[str, Run] = {
        "lrwidget": finders.ours,
        "lrwidget, with its bar": functools.partial(finders.ours, progress=True),
        "lrwidget, widget": finders.widget,
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


def machine() -> str:
    """Return the processor and the versions that affect the figures."""
    packages = ["torch", "ipykernel", *(m.replace("_", "-") for m, _ in finders.OTHERS.values())]
    names = {"ignite": "pytorch-ignite"}
    found = []
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{package} {version(names.get(package, package))}")
    return (
        f"{os.cpu_count()} cores ({platform.machine()}); "
        f"Python {platform.python_version()}, {', '.join(found)}"
    )


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep_cost", description=__doc__)
    parser.add_argument("workloads", nargs="*", default=list(WORKLOADS), help=", ".join(WORKLOADS))
    parser.add_argument("--steps", type=int, help="of every sweep, in place of its own number")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        default=[DEFAULT_THREADS, 1],
        help=f"of torch ({DEFAULT_THREADS}, its default, and 1)",
    )
    parser.add_argument("--no-others", dest="others", action="store_false")
    return parser.parse_args()


if __name__ == "__main__":
    main()
