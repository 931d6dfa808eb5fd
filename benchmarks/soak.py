"""Measures the growth of memory while a long sweep with fast batches streams to a page.

    python -m benchmarks.soak --minutes 10

Prints, during the sweep, the number of rows and the memory of kernel and page: the kernel's
resident memory and Python's allocations, the page's heap and array buffers after garbage
collection. At the end it prints bytes per row, from the slopes over the second half.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass

from benchmarks.browser.page import SETUP
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import Lab
from tests.browser.screenshots import browser_and_server

WIDGET = """
import gc, psutil, time, tracemalloc
w = finder({steps})
tracemalloc.start()

def held():
    gc.collect()
    return {{
        "rows": len(w.records),
        "resident": psutil.Process().memory_info().rss,
        "python": tracemalloc.get_traced_memory()[0],
    }}
w
"""


@dataclass(frozen=True)
class Held:
    """Memory of kernel and page at one time, in bytes."""

    rows: int
    resident: int  # of the kernel, as the system counts
    python: int  # of the kernel, as Python counts
    heap: int  # of the page
    buffers: int  # of the page: typed arrays are not in its heap
    nodes: int  # DOM nodes of the page


class Soak:
    """A page with a widget, and the memory of kernel and page."""

    def __init__(self, lab: Lab, steps: int) -> None:
        self.lab = lab
        lab.open(SETUP, WIDGET.format(steps=steps))
        lab.run_all()
        self.finder = Finder(lab)
        self.finder.wait_until_drawn()
        self._session = lab.page.context.new_cdp_session(lab.page)
        self._session.send("Performance.enable")

    def held(self) -> Held:
        """Return the current memory after garbage collection."""
        self._session.send("HeapProfiler.collectGarbage")
        usage = self._session.send("Runtime.getHeapUsage")
        nodes = self._session.send("Memory.getDOMCounters")["nodes"]
        kernel = self.lab.kernel.value("held()")
        return Held(
            kernel["rows"],
            kernel["resident"],
            kernel["python"],
            usage["usedSize"],
            usage["backingStorageSize"],
            nodes,
        )


def slope(held: list[Held], what: str) -> float:
    """Return bytes per row: the slope of a least-squares line through the points."""
    line = statistics.linear_regression([h.rows for h in held], [getattr(h, what) for h in held])
    return line.slope


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args().minutes
    with browser_and_server() as (context, server):
        soak = Soak(Lab(server, context.new_page(), "soak"), steps=10_000_000)
        soak.held()
        soak.finder.button("Start").click()
        found: list[Held] = []
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            soak.lab.page.wait_for_timeout(1000 * 60 * minutes / 30)
            now = soak.held()
            found.append(now)
            print(
                f"{now.rows:9} rows, in MiB: kernel {now.resident / 2**20:7.1f} resident, "
                f"{now.python / 2**20:6.1f} of Python's; page {now.heap / 2**20:6.1f} heap, "
                f"{now.buffers / 2**20:6.1f} buffers; {now.nodes} nodes",
                flush=True,
            )
        soak.finder.button("Stop").click()
        soak.finder.wait_for_state("stopped")
        later = found[len(found) // 2 :]
        for what in ("resident", "python", "heap", "buffers", "nodes"):
            print(f"{what}: {slope(later, what):.3f} a row in the second half")
        soak.lab.close(keep_kernel=False)


if __name__ == "__main__":
    main()
