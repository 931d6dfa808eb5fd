"""The widget as the page shows it, and its models in the page."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Locator, expect

from tests.browser.harness.lab import TIMEOUT, Lab

Rows = list[list[float]]  # pairs of learning rate and loss

# The chart's marks by their labels, each with its view inside this element: a page may show the
# same widget more than once.
FIND_MARK = """
async (root, [widgetId, name]) => {
  const manager = await labTest.manager();
  const model = async (found) => typeof found === 'string'
    ? await manager.get_model(found.replace('IPY_MODEL_', '')) : found;
  const widget = await manager.get_model(widgetId);
  for (const reference of (await model(widget.get('figure'))).get('marks')) {
    const mark = await model(reference);
    if (mark.get('labels')[0] !== name) continue;
    const views = await Promise.all(Object.values(mark.views ?? {}));
    return { mark, view: views.find((view) => root.contains(view.el)) };
  }
  return {};
}
"""
MARK = f"""
async (root, wanted) => {{
  const {{ mark, view }} = await ({FIND_MARK})(root, wanted);
  if (!view) return null;
  const range = (key) => ['min', 'max'].map((end) => mark.get('scales')[key].get(end));
  return {{
    x: Array.from(mark.get('x')), y: Array.from(mark.get('y')),
    path: view.el.querySelector('path.line')?.getAttribute('d') ?? null,
    x_range: range('x'), y_range: range('y'),
  }};
}}
"""
MARKER_ELEMENT = f"""
async (root, widgetId) => (await ({FIND_MARK})(root, [widgetId, 'marker'])).view.el
  .querySelector('.object_grp path, .dot_grp path, .dot')
"""


@dataclass(frozen=True)
class Mark:
    """A mark of the chart: its traits, and for a line its path."""

    x: list[float]
    y: list[float]
    path: str | None  # the `d` of the SVG path
    x_range: list[float]
    y_range: list[float]


class Finder:
    """One view of an `LRFinderWidget`; `view` counts the views in the page, `model` the outputs."""

    def __init__(self, lab: Lab, view: int = 0, model: int = 0) -> None:
        self.lab = lab
        self.root = lab.page.locator(".lrwidget").nth(view)
        self._model = model

    # The controls, by their accessible names

    def button(self, name: str) -> Locator:
        """Return a button."""
        return self.root.get_by_role("button", name=name, exact=True)

    def slider(self, name: str) -> Locator:
        """Return a slider."""
        return self.root.get_by_role("slider", name=name, exact=True)

    def field(self, name: str) -> Locator:
        """Return a text field."""
        return self.root.get_by_label(name, exact=True)

    @property
    def progress(self) -> Locator:
        """The progress bar."""
        return self.root.get_by_role("progressbar")

    # The chart

    def mark(self, name: str) -> Mark:
        """Return a mark of the chart in this view, by its label."""
        found = self._find_mark(name)
        if found is None:
            raise AssertionError(f"the chart in this view has no mark {name!r}")
        return found

    @property
    def _model_id(self) -> str:
        model_id: str = self.lab.page.evaluate("labTest.modelIds()")[self._model]
        return model_id

    def _find_mark(self, name: str) -> Mark | None:
        found: dict[str, Any] | None = self.root.evaluate(MARK, [self._model_id, name])
        if found is None:
            return None
        return Mark(**found)

    @property
    def rows(self) -> Rows:
        """The raw rows that the chart has."""
        raw = self.mark("raw loss")
        # JavaScript writes a large float without a point, and Python would read it as an int.
        return [[float(lr), float(loss)] for lr, loss in zip(raw.x, raw.y, strict=True)]

    @property
    def chosen(self) -> float | None:
        """The rate at which the marker is drawn; None if it is not drawn."""
        at = self.mark("marker").x
        return at[0] if at else None

    @property
    def plot(self) -> dict[str, float]:
        """The position and size of the plot in the page: x, y, width and height in pixels."""
        self.root.locator(".lrw-chart").scroll_into_view_if_needed()
        box = self.root.locator(".plotarea_background").bounding_box()
        assert box is not None
        return {key: float(value) for key, value in box.items()}  # type: ignore[call-overload]

    def pixel_of(self, lr: float) -> float:
        """Return the x coordinate of a rate in the page, in pixels."""
        low, high = self.mark("marker").x_range
        plot = self.plot
        return plot["x"] + plot["width"] * math.log(lr / low) / math.log(high / low)

    def point_at(self, lr: float) -> None:
        """Move the mouse over the plot to a rate, away from the marker."""
        plot = self.plot
        self.lab.page.mouse.move(self.pixel_of(lr), plot["y"] + 0.3 * plot["height"])

    def click_at(self, lr: float) -> None:
        """Click in the plot at a rate."""
        self.point_at(lr)
        self.lab.page.mouse.down()
        self.lab.page.mouse.up()

    def drag(self, start: float, end: float) -> None:
        """Press the mouse in the plot at one rate and release it at another."""
        plot = self.plot
        to = self.pixel_of(end)
        self.point_at(start)
        self.lab.page.mouse.down()
        self.lab.page.mouse.move(to, plot["y"] + 0.4 * plot["height"], steps=8)
        self.lab.page.mouse.up()

    def drag_marker_to(self, lr: float) -> float:
        """Drag the marker to a rate, even outside of the axis; return the axis' width in pixels."""
        width = self.hold_marker_at(lr)
        self.lab.page.mouse.up()
        return width

    def hold_marker_at(self, lr: float) -> float:
        """The same, but do not release it."""
        marker = self.root.evaluate_handle(MARKER_ELEMENT, self._model_id).as_element()
        assert marker is not None
        marker.scroll_into_view_if_needed()
        handle = marker.bounding_box()
        plot = self.root.locator(".plotarea_background").bounding_box()
        viewport = self.lab.page.viewport_size
        assert handle is not None
        assert plot is not None
        assert viewport is not None
        low, high = self.mark("marker").x_range
        x = plot["x"] + plot["width"] * math.log(lr / low) / math.log(high / low)
        y = handle["y"] + handle["height"] / 2
        mouse = self.lab.page.mouse
        mouse.move(handle["x"] + handle["width"] / 2, y)
        mouse.down()
        mouse.move(min(max(x, 1), viewport["width"] - 1), y, steps=8)
        return plot["width"]

    def type_lr(self, text: str) -> None:
        """Type into the field of the chosen rate."""
        field = self.field("Learning rate")
        field.fill(text)
        field.press("Enter")

    # The kernel

    @property
    def kernel_rows(self) -> Rows:
        """The rows in the kernel."""
        rows: Rows = self.lab.kernel.value("w.records.rows().tolist()")
        return rows

    # Waiting

    def wait_until_drawn(self) -> None:
        """Wait until the chart and its marks are drawn."""
        self.root.wait_for(timeout=TIMEOUT * 1000)
        self.lab.wait_for("the chart is drawn", lambda: self._find_mark("raw loss"))

    def wait_for_pause(self) -> None:
        """Wait until the kernel has received Pause: the current step is the last one.

        A query of the test may reach the kernel before the page's message does.
        """
        self.lab.wait_for(
            "Pause has arrived",
            lambda: self.lab.kernel.value("not w._run_list.active._runner._go.is_set()"),
        )

    def wait_for_rows(self, count: int) -> None:
        """Wait until this number of rows is drawn."""
        self.wait_until_drawn()
        self.lab.wait_for(f"{count} rows are drawn", lambda: len(self.rows) == count)

    def wait_for_state(self, state: str) -> None:
        """Wait until the live region shows this state."""
        self.wait_until_drawn()
        status = self.root.locator("[aria-live=polite]").first
        expect(status).to_have_text(re.compile(state, re.IGNORECASE), timeout=TIMEOUT * 1000)

    def wait_for_text(self, text: str) -> None:
        """Wait until the widget shows this text."""
        expect(self.root).to_contain_text(text, timeout=TIMEOUT * 1000)

    def wait_for_kernel(self, lr: object = None) -> float:
        """Wait until kernel and page have the same chosen rate, and return it.

        After a change give `lr`, which may be `pytest.approx`: both may still have the rate before.
        """

        def agreed() -> bool:
            shown = self.chosen
            if shown is None or (lr is not None and shown != lr):
                return False
            return bool(self.lab.kernel.value("w.lr") == shown)

        self.lab.wait_for("page and kernel have the same rate", agreed)
        lr: float = self.lab.kernel.value("w.lr")
        return lr
