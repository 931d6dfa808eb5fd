"""The page's memory after garbage collection grows with the rows, not with redraws or old views."""

from __future__ import annotations

import pytest

from benchmarks.browser.page import SCRIPT, SETUP
from tests.browser.harness.cells import WIDGET_INDEX, open_finder
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import Lab

REDRAWS = 300
NEW = 20  # rows per message
ROW = 96  # bytes: five numbers per row, in arrays that may be allocated at twice their length

# Repeatedly passes the page the rows of one message and waits for the redraw.
FEED = """
async ([begin, redraws, rows]) => {
  for (let i = 0; i < redraws; i++) {
    await bench.prepareRows([0, begin + i * rows, begin + (i + 1) * rows, 100_000]);
    bench.give();
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  }
}
"""
LAST_IS_SHOWN = "document.querySelector('.lrwidget') === views.at(-1).deref()"


def held(lab: Lab) -> dict[str, float]:
    """Return the page's memory in bytes and its numbers of nodes and listeners."""
    session = lab.page.context.new_cdp_session(lab.page)
    for _ in range(3):  # an element is collected only after the objects that refer to it
        session.send("HeapProfiler.collectGarbage")
        lab.page.wait_for_timeout(300)
    usage = session.send("Runtime.getHeapUsage")
    counts = session.send("Memory.getDOMCounters")
    session.detach()
    return {
        "heap": usage["usedSize"],
        "buffers": usage["backingStorageSize"],
        "nodes": counts["nodes"],
        "listeners": counts["jsEventListeners"],
    }


@pytest.mark.own_page
def test_the_page_keeps_the_rows_and_nothing_of_the_redraws(lab: Lab) -> None:
    lab.open(SETUP, "finder(100)")
    lab.run_all()
    finder = Finder(lab)
    finder.wait_until_drawn()
    lab.page.evaluate(SCRIPT)
    lab.page.evaluate(FEED, [0, 100, NEW])
    before = held(lab)
    lab.page.evaluate(FEED, [100 * NEW, REDRAWS, NEW])
    now = held(lab)
    grown = {name: now[name] - before[name] for name in now}
    # JupyterLab's own vary by some dozens; one leak per redraw would add hundreds.
    assert grown["nodes"] < REDRAWS / 2, grown
    assert grown["listeners"] < REDRAWS / 2, grown
    assert grown["buffers"] < ROW * REDRAWS * NEW + 500_000, grown
    assert grown["heap"] < 2_000_000, grown


@pytest.mark.own_page
def test_nothing_of_a_view_is_kept_when_its_cell_is_run_again(lab: Lab) -> None:
    finder = open_finder(lab)
    lab.page.evaluate("window.views = []")
    for _ in range(3):
        finder.root.evaluate("(view) => { views.push(new WeakRef(view)) }")
        lab.run_cell(WIDGET_INDEX)
        lab.wait_for("another view", lambda: not lab.page.evaluate(LAST_IS_SHOWN))
        finder.wait_until_drawn()
    held(lab)
    # Playwright's own selectors may hold what they found last.
    assert lab.page.evaluate("views.slice(0, -1).filter((view) => view.deref()).length") == 0
