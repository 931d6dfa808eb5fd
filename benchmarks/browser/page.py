"""A page with widgets to measure by the browser's own count of processor time.

Rows go straight to a widget's model, as the front end passes the kernel's messages. A table of
100,000 rows thus arrives at once, and only the page is measured.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from playwright.sync_api import CDPSession, Locator

from tests.browser.harness.lab import Lab

SETUP = """
import bqplot as bq
import torch
from lrwidget import LRFinderWidget

def finder(steps):
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = [(torch.zeros(1, 1), torch.zeros(1, 1))] * 100
    return LRFinderWidget(model, optimizer, torch.nn.functional.mse_loss, data,
                          start_lr=1e-6, end_lr=1.0, steps=steps)

def plain():
    scales = {"x": bq.LogScale(min=1e-6, max=1.0), "y": bq.LinearScale(min=0.0, max=3.0)}
    lines = bq.Lines(x=[], y=[], scales=scales)
    axes = [bq.Axis(scale=scales["x"]), bq.Axis(scale=scales["y"], orientation="vertical")]
    return bq.Figure(marks=[lines], axes=axes, animation_duration=0)
"""

# `rows` makes rows [from, to) of a ladder of `total`: a range test's curve with noise and spikes.
# `give` passes the prepared data to a finder (rows) or a plain figure (whole columns); `settled`
# waits until the result is drawn, including bqplot's delayed drawing.
SCRIPT = """
window.bench = {
  rows(from, to, total) {
    const data = new Float64Array(2 * (to - from));
    for (let i = from; i < to; i++) {
      const t = (i + 1) / total;
      const fall = 1.9 / (1 + Math.exp(-25 * (t - 0.5)));
      const noise = 0.2 * Math.sin(12345.678 * i) + (i % 977 === 0 ? 1 : 0);
      data.set([1e-6 * 1e6 ** t, 2.3 - fall + noise + 40 * Math.max(0, t - 0.9)], 2 * (i - from));
    }
    return data;
  },
  models: new Map(),  // finding one leaves elements behind
  async model(index) {
    if (!bench.models.has(index)) {
      const manager = await labTest.manager();
      bench.models.set(index, await manager.get_model(labTest.modelIds()[index]));
    }
    return bench.models.get(index);
  },
  async prepareRows([index, from, to, total]) {
    const model = await bench.model(index);
    const data = new DataView(bench.rows(from, to, total).buffer);
    const news = { type: 'rows', run: 1, offset: from, starts: from ? [] : [0], state: 'running',
      step: to, steps: total, elapsed: 1, error: null, suggestion: null };
    bench.give = () => model.trigger('msg:custom', news, [data]);
  },
  async prepareColumns([index, to, total]) {
    const mark = (await bench.model(index)).get('marks')[0];
    const line = typeof mark === 'string'
      ? await (await labTest.manager()).get_model(mark.replace('IPY_MODEL_', '')) : mark;
    const data = bench.rows(0, to, total);
    const [x, y] = [data.filter((_, i) => i % 2 === 0), data.filter((_, i) => i % 2)];
    bench.give = () => line.set({ x, y });
  },
  async settled() {
    for (let i = 0; i < 3; i++) await new Promise((done) => requestAnimationFrame(done));
    await new Promise((done) => setTimeout(done));
  },
};
"""


class Cost(NamedTuple):
    """Processor time of the page's main thread, in milliseconds."""

    script: float
    everything: float  # including style, layout and paint


class Meter:
    """Measures the processor time of the page's main thread."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._session: CDPSession = lab.page.context.new_cdp_session(lab.page)
        # Thread time excludes the time that other programs take.
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def cost(self, action: str, argument: Any = None) -> Cost:
        """Return the cost of a JavaScript function of one argument until its result is drawn."""
        before = self._spent()
        self._lab.page.evaluate(
            f"async (given) => {{ await ({action})(given); await bench.settled(); }}", argument
        )
        after = self._spent()
        return Cost(after.script - before.script, after.everything - before.everything)

    def cost_of_rows(self, index: int, begin: int, end: int, total: int) -> Cost:
        """Return the cost of rows [begin, end) sent to a finder; `index` counts the outputs."""
        self._lab.page.evaluate("bench.prepareRows", [index, begin, end, total])
        return self.cost("() => bench.give()")

    def cost_of_columns(self, index: int, end: int, total: int) -> Cost:
        """Return the cost of sending all rows up to `end` to a plain figure."""
        self._lab.page.evaluate("bench.prepareColumns", [index, end, total])
        return self.cost("() => bench.give()")

    def _spent(self) -> Cost:
        answer = self._session.send("Performance.getMetrics")
        metrics = {metric["name"]: metric["value"] for metric in answer["metrics"]}
        return Cost(1e3 * metrics["ScriptDuration"], 1e3 * metrics["TaskDuration"])


def open_page(lab: Lab, *cells: str) -> list[Locator]:
    """Open a notebook of these cells after SETUP, run them, and return their outputs."""
    # Tall enough for all cells, because the browser does not paint hidden parts.
    lab.page.set_viewport_size({"width": 1200, "height": 700 * len(cells)})
    lab.open(SETUP, *cells)
    lab.run_all()
    lab.page.evaluate(SCRIPT)
    outputs = lab.page.locator(".jp-OutputArea-output .bqplot")
    lab.wait_for("all charts are drawn", lambda: outputs.count() == len(cells))
    return [lab.page.locator(".jp-OutputArea-output").nth(i) for i in range(len(cells))]
