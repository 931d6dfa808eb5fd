"""A hidden tab draws nothing, and shows everything once it is visible again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.harness.cells import STEPS, open_finder, start
from tests.browser.harness.finder import FIND_MARK
from tests.browser.harness.lab import Lab
from tests.browser.harness.tab import Tab, Window

# Counts the changes of the widget's element and of the chart's line from now on.
WATCH = f"""
(async () => {{
  const root = document.querySelector('.lrwidget');
  const {{ mark }} = await ({FIND_MARK})(root, [labTest.modelIds()[0], 'raw loss']);
  window.line = mark;
  window.changes = {{ element: 0, line: 0, frames: 0 }};
  mark.on('change', () => changes.line++);
  new MutationObserver((all) => changes.element += all.length)
    .observe(root, {{ subtree: true, childList: true, attributes: true, characterData: true }});
  const count = () => {{ changes.frames++; requestAnimationFrame(count); }};
  requestAnimationFrame(count);
}})()
"""
ROWS = "Array.from(line.get('x')).map((lr, i) => [lr, line.get('y')[i]])"


@pytest.fixture
def window(lab: Lab) -> Iterator[Window]:
    """Yield a browser window with tabs."""
    window = Window(lab)
    yield window
    window.close()


def test_a_hidden_tab_draws_nothing_and_catches_up_when_shown(lab: Lab, window: Window) -> None:
    finder = open_finder(lab)
    tab = Tab(window)
    tab.open_notebook()
    tab.evaluate(WATCH)
    lab.wait_for("the tab draws", lambda: tab.evaluate("changes.frames > 1"))

    other = Tab(window)
    other.to_front()
    lab.wait_for("the tab is hidden", lambda: tab.evaluate("document.hidden"))
    before = tab.evaluate("changes")
    lab.allow("steps", STEPS)
    start(finder)
    finder.wait_for_state("finished")
    finder.wait_for_rows(STEPS)
    assert tab.evaluate("changes") == before

    tab.to_front()
    lab.wait_for("the tab has all rows", lambda: tab.evaluate(ROWS) == finder.kernel_rows)
    assert tab.evaluate("changes.element") > before["element"]
    assert tab.evaluate("document.querySelector('.lrwidget').innerText").count("Finished") == 1
