"""What a new user is led to: little at first sight, and one primary button in each state."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.harness.cells import STEPS, open_finder, start
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import Lab

LATER = (".lrw-toolbar", ".lrw-view", ".lrw-pick")


# Where the chart is in the widget, and how high that is, by its width.
PLACES = """
(root) => Object.fromEntries([320, 400, 650, 900, 1150].map((width) => {
  root.style.width = `${width}px`;
  const { top, height } = root.getBoundingClientRect();
  const chart = root.querySelector('.lrw-chart').getBoundingClientRect();
  root.style.width = '';
  return [width, [chart.top - top, height]];
}))
"""


def expect_primary(finder: Finder, name: str) -> None:
    """Wait until this is the one primary button that can be seen."""
    primary = finder.root.locator(".lrw-primary:visible")
    expect(primary).to_have_count(1)
    expect(primary).to_have_text(name)


def expect_opacity(finder: Finder, opacity: str) -> None:
    for part in LATER:
        expect(finder.root.locator(part).first).to_have_css("opacity", opacity)


def test_at_first_sight_there_is_a_chart_start_and_one_sentence(lab: Lab) -> None:
    finder = open_finder(lab)
    expect_opacity(finder, "0")
    expect(finder.root.locator(".lrw-empty")).to_have_css("opacity", "0")
    expect(finder.root.locator(".lrw-state")).to_have_text(re.compile("^Ready: 100 steps"))
    expect_primary(finder, "Start")
    # Who looks for the rest finds it, with the keyboard and with the mouse.
    finder.field("Variable").focus()
    expect_opacity(finder, "1")
    finder.button("Start").focus()
    expect_opacity(finder, "0")
    finder.root.locator(".lrw-view").hover()
    expect_opacity(finder, "1")
    lab.page.mouse.move(0, 0)
    expect_opacity(finder, "0")
    lab.kernel.run("w.lr = 0.01")  # there is something to show, and still nothing to export
    expect_opacity(finder, "1")
    expect_primary(finder, "Start")


def test_each_state_has_one_primary_button(lab: Lab) -> None:
    finder = open_finder(lab, allowed=30)
    before, places = finder.plot, finder.root.evaluate(PLACES)
    start(finder)
    finder.wait_for_rows(30)
    expect_primary(finder, "Stop")
    expect_opacity(finder, "1")
    assert finder.plot["y"] == before["y"]  # the chart has not moved
    assert finder.root.evaluate(PLACES) == places
    expect(finder.root.locator(".lrw-pick > .lrw-hint")).to_be_hidden()
    finder.button("Pause").click()
    finder.wait_for_pause()
    lab.allow("steps", STEPS)
    expect_primary(finder, "Resume")
    assert finder.root.evaluate(PLACES) == places
    finder.button("Resume").click()
    finder.wait_for_state("finished")
    expect_primary(finder, "Export")
    assert finder.root.evaluate(PLACES) == places
    expect(finder.root.locator(".lrw-pick > .lrw-hint")).to_be_visible()
