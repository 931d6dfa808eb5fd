"""Reads a widget from the DOM alone, in any page, without its model."""

from __future__ import annotations

import re
from typing import Literal

from playwright.sync_api import Locator, Page, expect

TIMEOUT = 90_000  # milliseconds for one condition; the full time passes only if it stays false

# The lines by their colours, the only attribute in which they differ.
LINES = {"raw loss": "--lrw-raw", "smoothed loss": "--lrw-line"}


class Seen:
    """One view of a widget; `index` counts the widgets of the page."""

    def __init__(self, page: Page, index: int = 0) -> None:
        self.page = page
        self.root = page.locator(".lrwidget").nth(index)

    def button(self, name: str) -> Locator:
        """Return a button."""
        return self.root.get_by_role("button", name=name, exact=True)

    def slider(self, name: str) -> Locator:
        """Return a slider."""
        return self.root.get_by_role("slider", name=name, exact=True)

    @property
    def state(self) -> Locator:
        """The live region."""
        return self.root.locator("[aria-live=polite]").first

    def line(self, name: Literal["raw loss", "smoothed loss"]) -> Locator:
        """Return a line that has points."""
        return self.root.locator(f"path.line[style*='{LINES[name]}'][d]:not([d=''])").first

    def path(self, name: Literal["raw loss", "smoothed loss"]) -> str:
        """Return the path of a line; wait until it has one."""
        path = self.line(name).get_attribute("d", timeout=TIMEOUT)
        assert path
        return path

    def points(self, name: Literal["raw loss", "smoothed loss"]) -> int:
        """Return the number of points of a line."""
        return len(re.findall("[ML]", self.path(name)))

    def wait_for_points(self, count: int) -> None:
        """Wait until the raw line has this number of points."""
        self.line("raw loss").wait_for(state="attached", timeout=TIMEOUT)
        drawn = re.compile(f"^([^ML]*[ML]){{{count}}}[^ML]*$")
        expect(self.line("raw loss")).to_have_attribute("d", drawn, timeout=TIMEOUT)

    def wait_for_state(self, words: str) -> None:
        """Wait until the live region shows these words."""
        expect(self.state).to_contain_text(words, timeout=TIMEOUT)

    def wait_for_change(self, path: str, name: Literal["raw loss", "smoothed loss"]) -> None:
        """Wait until a line has another path than this."""
        expect(self.line(name)).not_to_have_attribute("d", path, timeout=TIMEOUT)

    @property
    def chosen(self) -> str:
        """The chosen rate as the marker's slider announces it."""
        return self.slider("Chosen learning rate").get_attribute("aria-valuetext") or ""

    def across(self, fraction: float) -> tuple[float, float]:
        """Return the point of the page at a fraction of the axis: 0 is its low, 1 its high end."""
        self.root.scroll_into_view_if_needed()
        plot = self.root.locator(".plotarea_background").bounding_box()
        assert plot is not None
        return plot["x"] + fraction * plot["width"], plot["y"] + plot["height"]

    def hover(self, fraction: float) -> str:
        """Hover at a fraction of the axis and return the text of the tip."""
        x, foot = self.across(fraction)
        self.page.mouse.move(x, foot - 60)
        tip = self.root.locator(".lrw-tip:visible").first
        return tip.inner_text(timeout=TIMEOUT)

    def drag_marker_to(self, fraction: float) -> None:
        """Drag the marker to a fraction of the axis."""
        x, _ = self.across(fraction)
        handle = self.root.locator(".object_grp path").bounding_box()
        assert handle is not None
        y = handle["y"] + handle["height"] / 2
        self.page.mouse.move(handle["x"] + handle["width"] / 2, y)
        self.page.mouse.down()
        self.page.mouse.move(x, y, steps=8)
        self.page.mouse.up()
