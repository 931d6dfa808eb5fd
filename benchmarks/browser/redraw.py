"""Measures the page's cost of a redraw and of a smoothing change, by the size of the table.

    python -m benchmarks.browser.redraw

One page has widgets with 1,000, 10,000 and 100,000 rows, and plain bqplot figures that get their
whole arrays. Each round adds rows to all of them and draws them in turn. Prints medians, and the
median over rounds of the ratio to the table with 1,000 rows.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence

from benchmarks.browser.page import Cost, Meter, open_page
from tests.browser.harness.lab import Lab
from tests.browser.screenshots import browser_and_server

SIZES = (1_000, 10_000, 100_000)
NEW = 5  # rows per redraw
# Share of the ladder: the curve is flat beyond it, so that new rows change only the lines.
AT = 0.72

SLIDE = """
([index, value]) => {
  const slider = document.querySelectorAll('.lrwidget')[index]
    .querySelector('input[aria-label="Smoothing"]');
  slider.value = value;
  slider.dispatchEvent(new Event('input', { bubbles: true }));
}
"""


def measure(lab: Lab, rounds: int, plain_rounds: int) -> dict[str, list[list[Cost]]]:
    """Return, by kind of drawing, a list of rounds, each with the cost at every size."""
    total = 2 * max(SIZES)
    cells = [f"display(finder({total}))" for _ in SIZES] + ["display(plain())" for _ in SIZES]
    open_page(lab, *cells)
    meter = Meter(lab)
    for index, size in enumerate(SIZES):
        meter.cost_of_rows(index, 0, size, round(size / AT))
    found: dict[str, list[list[Cost]]] = {"redraw": [], "slider": [], "plain": [], "nothing": []}
    order = list(enumerate(SIZES))
    for round_ in range(rounds + 1):
        costs: dict[str, list[Cost]] = {name: [Cost(0, 0)] * len(SIZES) for name in found}
        for index, size in order:
            begin, end = size + round_ * NEW, round(size / AT)
            costs["redraw"][index] = meter.cost_of_rows(index, begin, begin + NEW, end)
            costs["slider"][index] = meter.cost(SLIDE, [index, 0.5 + 0.4 * (round_ % 2)])
            costs["nothing"][index] = meter.cost("() => {}")
            if round_ <= plain_rounds:
                plain = meter.cost_of_columns(index + len(SIZES), begin + NEW, end)
                costs["plain"][index] = plain
        order.append(order.pop(0))  # so that no result depends on the drawing before it
        if round_ == 0:
            continue  # warm-up
        for name, sizes in costs.items():
            if name != "plain" or round_ <= plain_rounds:
                found[name].append(sizes)
    return found


def report(name: str, rounds: Sequence[Sequence[Cost]]) -> None:
    """Print a line for each size."""
    for at, size in enumerate(SIZES):
        script = statistics.median(costs[at].script for costs in rounds)
        everything = statistics.median(costs[at].everything for costs in rounds)
        ratio = statistics.median(costs[at].script / costs[0].script for costs in rounds)
        whole = statistics.median(costs[at].everything / costs[0].everything for costs in rounds)
        print(
            f"{name:28} {size:7} rows: script {script:7.2f} ms (x {ratio:5.2f}), "
            f"with layout and paint {everything:7.2f} ms (x {whole:5.2f})"
        )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    with browser_and_server() as (context, server):
        lab = Lab(server, context.new_page(), "redraw")
        found = measure(lab, arguments.rounds, plain_rounds=4)
        report(f"{NEW} more rows", found["redraw"])
        report("the smoothing slider", found["slider"])
        report("plain bqplot, whole arrays", found["plain"])
        report("nothing to draw", found["nothing"])
        lab.close(keep_kernel=False)


if __name__ == "__main__":
    main()
