"""Read a widget from the DOM alone, in any page, without its model."""

from __future__ import annotations

import re
from typing import Literal

from playwright.sync_api import Locator, Page, expect

TIMEOUT = 90_000  # milliseconds for one fact to come true; matters only where it never does

# The lines by what tells them apart in the picture: their colours.
LINES = {"raw loss": "--lrw-raw", "smoothed loss": "--lrw-line"}


class Seen:
    """One view of a widget; `index` counts those in the page."""

    def __init__(self, page: Page, index: int = 0) -> None:
        self.page = page
        self.root = page.locator(".lrwidget").nth(index)

    def button(self, name: str) -> Locator:
        """A button."""
        return self.root.get_by_role("button", name=name, exact=True)

    def slider(self, name: str) -> Locator:
        """A slider."""
        return self.root.get_by_role("slider", name=name, exact=True)

    @property
    def state(self) -> Locator:
        """What the live region says."""
        return self.root.locator("[aria-live=polite]").first

    def line(self, name: Literal["raw loss", "smoothed loss"]) -> Locator:
        """A line with points."""
        return self.root.locator(f"path.line[style*='{LINES[name]}'][d]:not([d=''])").first

    def path(self, name: Literal["raw loss", "smoothed loss"]) -> str:
        """What is drawn of a line; waits until there is something."""
        path = self.line(name).get_attribute("d", timeout=TIMEOUT)
        assert path
        return path

    def points(self, name: Literal["raw loss", "smoothed loss"]) -> int:
        """How many points a line has."""
        return len(re.findall("[ML]", self.path(name)))

    def wait_for_points(self, count: int) -> None:
        """Wait until the raw line has so many points."""
        self.line("raw loss").wait_for(state="attached", timeout=TIMEOUT)
        drawn = re.compile(f"^([^ML]*[ML]){{{count}}}[^ML]*$")
        expect(self.line("raw loss")).to_have_attribute("d", drawn, timeout=TIMEOUT)

    def wait_for_state(self, words: str) -> None:
        """Wait until the live region says so."""
        expect(self.state).to_contain_text(words, timeout=TIMEOUT)

    def wait_for_change(self, path: str, name: Literal["raw loss", "smoothed loss"]) -> None:
        """Wait until a line is drawn in another way than this."""
        expect(self.line(name)).not_to_have_attribute("d", path, timeout=TIMEOUT)

    @property
    def chosen(self) -> str:
        """The chosen rate as the marker's twin says it."""
        return self.slider("Chosen learning rate").get_attribute("aria-valuetext") or ""

    def across(self, fraction: float) -> tuple[float, float]:
        """A place on the axis, 0 at its low end and 1 at its high end, in the page."""
        self.root.scroll_into_view_if_needed()
        plot = self.root.locator(".plotarea_background").bounding_box()
        assert plot is not None
        return plot["x"] + fraction * plot["width"], plot["y"] + plot["height"]

    def hover(self, fraction: float) -> str:
        """Hover at a place on the axis and return the readout's text."""
        x, foot = self.across(fraction)
        self.page.mouse.move(x, foot - 60)
        tip = self.root.locator(".lrw-tip:visible").first
        return tip.inner_text(timeout=TIMEOUT)

    def drag_marker_to(self, fraction: float) -> None:
        """Drag the marker to a place on the axis."""
        x, _ = self.across(fraction)
        handle = self.root.locator(".object_grp path").bounding_box()
        assert handle is not None
        y = handle["y"] + handle["height"] / 2
        self.page.mouse.move(handle["x"] + handle["width"] / 2, y)
        self.page.mouse.down()
        self.page.mouse.move(x, y, steps=8)
        self.page.mouse.up()
