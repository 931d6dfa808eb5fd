"""Measures the time until a widget is first painted, compared with a plain bqplot figure.

    python -m benchmarks.browser.paint

It runs from the cell's display in the kernel to the chart on the page. Both take turns in one page.
Kernel and page use the same machine's clock.
"""

from __future__ import annotations

import statistics

from benchmarks.browser.page import SETUP
from tests.browser.harness.lab import Lab
from tests.browser.screenshots import browser_and_server

ROUNDS = 12
CELLS = {
    "lrwidget": "import time; it = finder(100); shown = time.time(); display(it)",
    "plain bqplot": "import time; it = plain(); shown = time.time(); display(it)",
}
# Resolves to the time at which the chart of a cell has been painted.
WATCH = """
() => {
  window.painted = new Promise((resolve) => {
    const look = () => {
      if (!document.querySelector('.jp-OutputArea-output .bqplot .plotarea_background')) {
        requestAnimationFrame(look);
      } else requestAnimationFrame(() => setTimeout(() => resolve(Date.now() / 1000)));
    };
    look();
  });
}
"""


def main() -> None:
    """Print the figures."""
    with browser_and_server() as (context, server):
        lab = Lab(server, context.new_page(), "paint")
        lab.open(SETUP, *CELLS.values())
        lab.run_cell(0)
        found: dict[str, list[float]] = {name: [] for name in CELLS}
        for round_ in range(ROUNDS + 1):
            for cell, name in enumerate(CELLS, start=1):
                lab.page.evaluate(
                    "labTest.panel().content.widgets.forEach("
                    "(cell) => cell.model.type === 'code' && cell.model.clearExecution())"
                )
                lab.page.evaluate(WATCH)
                lab.run_cell(cell, wait=False)
                painted = lab.page.evaluate("window.painted")
                lab.wait_for_cell(cell)
                if round_:  # the first round loads the code
                    found[name].append(1000 * (painted - lab.kernel.value("shown")))
                else:
                    print(
                        f"{name}, the first: {1000 * (painted - lab.kernel.value('shown')):.0f} ms"
                    )
        for name, times in found.items():
            print(f"{name}: median {statistics.median(times):.0f} ms of {ROUNDS}")
        ratios = [ours / plain for ours, plain in zip(*found.values(), strict=True)]
        print(f"the ratio of neighbours: median {statistics.median(ratios):.2f}")
        lab.close(keep_kernel=False)


if __name__ == "__main__":
    main()
