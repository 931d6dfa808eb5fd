"""Measures the age of a row when the page draws it, in real JupyterLab under Chromium.

    python -m benchmarks.browser.row_age

Prints, for batches of several durations, the milliseconds from a row's creation in the kernel to
its drawing in the chart's line: median, 95th percentile and maximum. Kernel and page use the same
machine's clock.
"""

import statistics

from tests.browser.harness.finder import FIND_MARK, Finder
from tests.browser.harness.lab import Lab
from tests.browser.screenshots import browser_and_server

# Seconds per batch, and number of batches: at most the plot's width in pixels, so that the drawn
# line has a point for each row.
BATCHES = ((0.003, 300), (0.05, 100), (1.0, 12))

SETUP = """
import time
import torch
from lrwidget import LRFinderWidget

torch.set_num_threads(1)
model = torch.nn.Linear(8, 3)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
data = [(torch.randn(32, 8), torch.randint(3, (32,)))]
times = []

def loss_fn(output, target):
    times.append(time.time())  # the row of the step before exists by now
    time.sleep({seconds})
    return torch.nn.functional.cross_entropy(output, target)
"""
WIDGET = """
w = LRFinderWidget(model, optimizer, loss_fn, data, end_lr=1e-2, steps={steps}, seed=0)
w
"""
WATCH = f"""
async (root, wanted) => {{
  const {{ mark }} = await ({FIND_MARK})(root, wanted);
  window.drawn = [];
  mark.on('change:x', () => window.drawn.push([Date.now() / 1000, mark.get('x').length]));
}}
"""


def ages(lab: Lab, seconds: float, steps: int) -> list[float]:
    """Return the milliseconds from the creation of each row to its drawing."""
    lab.open(SETUP.format(seconds=seconds), WIDGET.format(steps=steps))
    lab.run_cell(0)
    lab.run_cell(1)
    finder = Finder(lab)
    finder.wait_until_drawn()
    finder.root.evaluate(WATCH, [lab.page.evaluate("labTest.modelIds()")[0], "raw loss"])
    finder.button("Start").click()
    lab.wait_for(
        "the end", lambda: finder.button("Start").is_visible() and len(finder.rows) == steps
    )
    existed: list[float] = lab.kernel.value("times")
    drawn: list[tuple[float, int]] = lab.page.evaluate("window.drawn")
    return [
        1000 * (next(at for at, count in drawn if count >= row) - existed[row])
        for row in range(1, steps)  # the last row has no next step, which takes its time
    ]


def main() -> None:
    """Print the figures."""
    with browser_and_server() as (context, server):
        for seconds, steps in BATCHES:
            lab = Lab(server, context.new_page(), f"age{steps}")
            found = sorted(ages(lab, seconds, steps))
            p95 = found[int(0.95 * (len(found) - 1))]
            print(
                f"batches of {1000 * seconds:g} ms: median {statistics.median(found):.0f} ms, "
                f"95% within {p95:.0f} ms, largest {found[-1]:.0f} ms ({len(found)} rows)"
            )
            lab.close(keep_kernel=False)


if __name__ == "__main__":
    main()
