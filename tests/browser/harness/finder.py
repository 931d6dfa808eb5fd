"""The widget as the page shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Locator

from tests.browser.harness.lab import Lab

Rows = list[list[float]]  # pairs of learning rate and loss

# `figure` is bqplot's model of the chart; `view` its view inside this very element, since a
# widget may be shown more than once.
MARKS = """
async (root, [viewId, name]) => {
  const manager = await labTest.manager();
  const widget = await manager.get_model(viewId);
  const found = widget.get('figure');
  const figure = typeof found === 'string'
    ? await manager.get_model(found.replace('IPY_MODEL_', '')) : found;
  for (const mark of figure.get('marks')) {
    if (mark.get('labels')[0] !== name) continue;
    const views = await Promise.all(Object.values(mark.views));
    const view = views.find((view) => root.contains(view.el));
    if (!view) return null;
    const scale = (key) => mark.get('scales')[key];
    return {
      x: Array.from(mark.get('x')), y: Array.from(mark.get('y')), visible: mark.get('visible'),
      path: view.el.querySelector('path.line')?.getAttribute('d') ?? null,
      x_range: [scale('x').get('min'), scale('x').get('max')],
      y_range: [scale('y').get('min'), scale('y').get('max')],
    };
  }
  return null;
}
"""


@dataclass(frozen=True)
class Mark:
    """A mark of the chart: what it is given, and for a line what is drawn."""

    x: list[float]
    y: list[float]
    visible: bool
    path: str | None  # the `d` of the SVG path
    x_range: tuple[float, float]
    y_range: tuple[float, float]


class Finder:
    """One view of an `LRFinderWidget`; `view` counts the views in the page, `model` the outputs."""

    def __init__(self, lab: Lab, view: int = 0, model: int = 0) -> None:
        self.lab = lab
        self.root = lab.page.locator(".lrwidget").nth(view)
        self._model = model

    # The controls, by their accessible names.

    def button(self, name: str) -> Locator:
        """A button."""
        return self.root.get_by_role("button", name=name, exact=True)

    def slider(self, name: str) -> Locator:
        """A slider."""
        return self.root.get_by_role("slider", name=name, exact=True)

    def field(self, name: str) -> Locator:
        """A field to type into."""
        return self.root.get_by_label(name, exact=True)

    @property
    def progress(self) -> Locator:
        """The progress bar."""
        return self.root.get_by_role("progressbar")

    # The chart.

    def mark(self, name: str) -> Mark:
        """A mark of the chart in this view, by its label."""
        found = self._find_mark(name)
        if found is None:
            raise AssertionError(f"the chart in this view has no mark {name!r}")
        return found

    def _find_mark(self, name: str) -> Mark | None:
        view_id = self.lab.page.evaluate("labTest.modelIds()")[self._model]
        found: dict[str, Any] | None = self.root.evaluate(MARKS, [view_id, name])
        if found is None:
            return None
        ranges = {key: tuple(found.pop(key)) for key in ("x_range", "y_range")}
        return Mark(**found, **ranges)

    @property
    def rows(self) -> Rows:
        """The raw rows that are drawn."""
        raw = self.mark("raw")
        return [[lr, loss] for lr, loss in zip(raw.x, raw.y, strict=True)]
