"""Measures the time from a move of the marker in the page to `w.lr`, with an idle kernel.

    python -m benchmarks.browser.drag

Kernel and page use the same machine's clock.
"""

from __future__ import annotations

import math
import statistics

from benchmarks.browser.page import SETUP
from tests.browser.harness.finder import FIND_MARK, Finder
from tests.browser.harness.lab import Lab
from tests.browser.screenshots import browser_and_server

MOVES = 60

WIDGET = """
import time
w = finder(100)
w.lr = 1e-3
heard = []
w.observe(lambda change: heard.append((change.new, time.time())), "lr")
w
"""
WATCH = f"""
async (root, wanted) => {{
  const {{ mark }} = await ({FIND_MARK})(root, wanted);
  window.moved = [];
  window.picked = [];
  mark.on('change:x', () => window.moved.push([mark.get('x')[0], Date.now() / 1000]));
  const model = await (await labTest.manager()).get_model(wanted[0]);
  model.on('change:lr', () => window.picked.push([model.get('lr'), Date.now() / 1000]));
}}
"""


def latencies(lab: Lab) -> tuple[list[float], list[float]]:
    """Return the ms until the kernel had a rate: for all rates, and for each drag's last one."""
    lab.open(SETUP, WIDGET)
    lab.run_all()
    finder = Finder(lab)
    finder.wait_until_drawn()
    finder.root.evaluate(WATCH, [lab.page.evaluate("labTest.modelIds()")[0], "marker"])
    ends = []
    for move in range(MOVES):
        # No rate occurs twice, so that each belongs to one move.
        finder.drag_marker_to(1e-5 * 10 ** (1 + (move % 7) / 2 + move / 1000))
        ends.append(finder.wait_for_kernel())
    # The marker first moves to the pointer, then to the final rate: the later move counts. A press
    # next to the marker is sent before the next frame moves it; then the pick itself counts.
    moved: list[tuple[float, float]] = lab.page.evaluate("window.moved")
    picked: list[tuple[float, float]] = lab.page.evaluate("window.picked")
    heard: list[tuple[float, float]] = lab.kernel.value("heard")
    found = [
        (lr, 1000 * (at - (last_of(lr, at, moved) or last_of(lr, at, picked) or math.nan)))
        for lr, at in heard
    ]
    assert all(math.isfinite(age) for _, age in found), (found, moved, picked)
    last = [milliseconds for lr, milliseconds in found if lr in ends]
    return [milliseconds for _, milliseconds in found], last


def last_of(lr: float, before: float, moves: list[tuple[float, float]]) -> float | None:
    """Return the last time of a move to the rate before the kernel had it, to the ms."""
    times = [time for rate, time in moves if rate == lr and time <= before + 0.001]
    return max(times, default=None)


def main() -> None:
    """Print the figures."""
    with browser_and_server() as (context, server):
        lab = Lab(server, context.new_page(), "drag")
        for name, found in zip(("any move", "the last of a drag"), latencies(lab), strict=True):
            found.sort()
            print(
                f"{name} to w.lr: median {statistics.median(found):.0f} ms, "
                f"95% within {found[int(0.95 * (len(found) - 1))]:.0f} ms, "
                f"largest {found[-1]:.0f} ms ({len(found)} rates)"
            )
        lab.close(keep_kernel=False)


if __name__ == "__main__":
    main()
