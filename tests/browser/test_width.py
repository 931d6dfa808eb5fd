"""In a narrow cell nothing is cut off or overflows, and every control can be pressed."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.harness.cells import SETUP, STEPS, WIDGET, open_finder, start
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import Lab
from tests.browser.harness.seen import Seen
from tests.browser.screenshots import set_width

NARROWEST = 400  # pixels

SEVEN_MORE = """
for options in [
    *({"batch_size": 8 * 2**i} for i in range(5)),
    {"label": "one that has a name as long as a name may be, which is to say 80 characters long"},
    {"repeats": 3, "steps": 20},
]:
    w.start(**options)
    w.wait()
"""
# Elements that stick out of the widget at its sides. Of a drawing only its texts count, since the
# rest is clipped; the content of a box that scrolls or clips may be wider than the widget.
STICKS_OUT = """
(root) => {
  const { left, right } = root.getBoundingClientRect();
  const held = (element) => {
    for (let up = element.parentElement; up !== root; up = up.parentElement)
      if (getComputedStyle(up).overflowX !== 'visible' && !up.matches('svg')) return true;
    return false;
  };
  const out = [...root.querySelectorAll('*')].filter((element) => {
    const box = element.getBoundingClientRect();
    return element.checkVisibility() && box.width > 0 && !held(element)
      && (!element.closest('svg') || element.matches('svg, text'))
      && (box.left < left - 0.5 || box.right > right + 0.5);
  }).map((element) => element.outerHTML.slice(0, 120));
  return root.scrollWidth > root.clientWidth ? ['the widget scrolls', ...out] : out;
}
"""
# Controls that are covered by another element. The keyboard's sliders take no clicks.
OUT_OF_REACH = """
(root) => [...root.querySelectorAll('button, input, summary')].filter((control) => {
  if (!control.checkVisibility() || control.disabled || control.matches('.lrw-twin')) return false;
  control.scrollIntoView({ block: 'center' });
  const { x, y, width, height } = control.getBoundingClientRect();
  return !control.contains(document.elementFromPoint(x + width / 2, y + height / 2));
}).map((control) => control.outerHTML.slice(0, 120))
"""
# Shares of the widget's width: the plot's, and the free space at its right.
PLOT = """
(root) => {
  const [all, plot] = [root, root.querySelector('.plotarea_background')]
    .map((element) => element.getBoundingClientRect());
  return { plot: plot.width / all.width, free: (all.right - plot.right) / all.width };
}
"""
# The parts beside the chart, which bqplot draws later, that are wider than a widget of this width.
TOO_WIDE = """
(root, width) => {
  root.style.width = `${width}px`;
  const wide = [...root.children]
    .filter((part) => !part.matches('.lrw-chart') && part.scrollWidth > part.clientWidth);
  root.style.width = '';
  return wide.map((part) => part.outerHTML.slice(0, 120));
}
"""
PANELS = ("details.lrw-save", "details.lrw-code")


def problems(finder: Finder) -> dict[str, Any]:
    """Return what does not fit or cannot be reached, with the menus closed and open."""
    found: dict[str, Any] = {}
    for panels in ("closed", "open"):
        for panel in PANELS:
            finder.root.locator(panel).evaluate(
                "(panel, open) => { panel.open = open }", panels == "open"
            )
        found[f"sticks out, {panels}"] = finder.root.evaluate(STICKS_OUT)
        if panels == "closed":
            found["out of reach"] = finder.root.evaluate(OUT_OF_REACH)
    # An open menu may cover other controls, but its own items must be reachable.
    found["out of reach, open"] = [
        control for control in finder.root.evaluate(OUT_OF_REACH) if "Save as" in control
    ]
    return {what: controls for what, controls in found.items() if controls}


def test_at_400_pixels_nothing_is_cut_off_and_all_is_in_reach(lab: Lab) -> None:
    finder = open_finder(lab, allowed=100 * STEPS)
    set_width(finder, NARROWEST)
    found = {"idle": problems(finder)}
    start(finder)
    finder.wait_for_state("finished")
    found["one run"] = problems(finder)
    plot = finder.root.evaluate(PLOT)
    assert plot["plot"] > 0.75
    assert plot["free"] == pytest.approx(0.07, abs=0.03)
    finder.button("Zoom").click()
    finder.drag(1e-4, 1e-1)
    found["zoomed"] = problems(finder)
    finder.button("Range").click()
    lab.kernel.run(f"w.lr_range = (1e-3, 1e-1)\n_ = w.check(steps=20)\n_ = w.wait()\n{SEVEN_MORE}")
    finder.wait_for_text("median and quartiles of 3 sweeps")
    finder.wait_for_text("best")
    found["eight runs, a range, a check"] = problems(finder)
    assert finder.root.get_by_role("list", name="Runs").locator(".lrw-entry").count() == 8
    found["tiny"] = finder.root.evaluate(TOO_WIDE, 260)
    assert {when: what for when, what in found.items() if what} == {}


@pytest.mark.own_page
def test_in_a_page_that_is_read_from_right_to_left_nothing_is_cut_off(lab: Lab) -> None:
    finder = open_finder(lab, allowed=STEPS)
    lab.page.evaluate("document.documentElement.dir = 'rtl'")
    start(finder)
    finder.wait_for_state("finished")
    assert problems(finder) == {}


# Boxes that are as wide as their contents, with what each shows in it.
BOXES = {
    "HBox": "HBox([w])",
    "HBox of two": "HBox([w, HTML('beside')])",
    "VBox": "VBox([w], layout=Layout(align_items='flex-start'))",
    "Box": "Box([w], layout=Layout(display='block', width='fit-content', max_width='100%'))",
    "GridBox": "GridBox([w, HTML('beside')], layout=Layout(grid_template_columns='auto auto'))",
}


@pytest.mark.parametrize(
    "box",
    [
        pytest.param(box, marks=[] if box in ("HBox", "VBox") else [pytest.mark.full])
        for box in BOXES
    ],
)
def test_the_width_is_not_that_of_its_texts(lab: Lab, box: str) -> None:
    shown = WIDGET.replace("\nw\n", f"\nfrom ipywidgets import *\n{BOXES[box]}\n")
    lab.allow("steps", 40)
    lab.open(SETUP, shown)
    lab.run_cell(0)
    lab.run_cell(1)
    seen = Seen(lab.page)
    seen.wait_for_state("Ready: 100 steps")
    width = "(root) => root.getBoundingClientRect().width"
    widths = {"idle": seen.root.evaluate(width)}
    assert widths["idle"] > 500
    seen.button("Start").click()
    seen.wait_for_points(40)
    widths["running"] = seen.root.evaluate(width)
    lab.allow("steps", STEPS)
    seen.wait_for_state("Finished.")
    seen.wait_for_points(STEPS)
    widths["finished"] = seen.root.evaluate(width)
    seen.drag_marker_to(0.5)
    near = pytest.approx(1e-2, rel=0.05)  # to the pixel
    lab.wait_for("the kernel has the rate", lambda: lab.kernel.value("w.lr") == near)
    widths["picked"] = seen.root.evaluate(width)
    assert len(set(widths.values())) == 1, widths
    lab.page.set_viewport_size({"width": 500, "height": 800})
    lab.wait_for("it is narrower", lambda: seen.root.evaluate(width) < 450)
    # bqplot takes on a new size only a moment after the element has it.
    lab.wait_for("all of it fits", lambda: seen.root.evaluate(STICKS_OUT) == [])


@pytest.mark.parametrize("width", [320, 500])
def test_the_tip_stays_within_the_widget(lab: Lab, width: int) -> None:
    finder = open_finder(lab, allowed=100 * STEPS)
    start(finder)
    finder.wait_for_state("finished")
    label = "a run whose label has some length, which is to say seventy-nine characters, no"
    lab.kernel.run(f"w.start(label={label!r}, seed=3)\nw.wait()")
    finder.wait_for_text(label)
    set_width(finder, width)
    finder.root.locator(".lrw-chart").evaluate("(e) => e.scrollIntoView({ block: 'center' })")
    for lr in (1e-3, 5e-3, 2e-2, 0.2):
        finder.point_at(lr)
        expect(finder.root.locator(".lrw-tip:visible")).to_be_visible()
        assert finder.root.evaluate(STICKS_OUT) == []


# How far the shade of the first region is from the plot, and by how much it is less high.
OFF = """
(root) => {
  const box = (selector) => root.querySelector(selector).getBoundingClientRect();
  const [plot, shade] = [box('.plotarea_background'), box('.lrw-shade')];
  return ['left', 'top', 'height'].map((side) => shade[side] - plot[side]);
}
"""


@pytest.mark.parametrize("css", ["zoom: 0.8", "transform: scale(0.7); transform-origin: 0 0"])
def test_where_a_page_is_scaled_everything_stands_and_is_taken_at_its_rate(
    lab: Lab, finished: Finder, css: str
) -> None:
    finished.root.evaluate("(root, css) => { root.parentElement.style.cssText = css }", css)
    lab.page.wait_for_timeout(500)  # bqplot takes on a new size only a moment after it
    finished.type_lr("2e-3")  # draws anew
    finished.wait_for_kernel(2e-3)
    lab.wait_for("it is drawn", lambda: max(map(abs, finished.root.evaluate(OFF))) < 1.5)
    finished.click_at(0.1)
    near = pytest.approx(0.1, rel=0.05)
    lab.wait_for("the rate", lambda: lab.kernel.value("w.lr") == near)
    finished.drag_marker_to(1e-3)
    near = pytest.approx(1e-3, rel=0.05)
    lab.wait_for("the rate", lambda: lab.kernel.value("w.lr") == near)
