"""Zooming by mouse, button and key, and placing the marker anywhere."""

from __future__ import annotations

import math
import re

import pytest
from playwright.sync_api import expect

from tests.browser.harness.cells import BUSY_INDEX, END_LR, START_LR, STEPS, open_finder, start
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import Lab

MANY = 4000


def zoomed(finder: Finder) -> list[float]:
    """Return the rates at the ends of the x axis."""
    return finder.mark("raw loss").x_range


def wait_for_range(finder: Finder, low: float, high: float) -> None:
    """Wait until the axis has these ends, to within a pixel of the mouse."""
    decades = math.log10(END_LR / START_LR)

    def there() -> bool:
        ends = zip(zoomed(finder), (low, high), strict=True)
        return all(abs(math.log10(now / wanted)) < 4 * decades / 500 for now, wanted in ends)

    finder.lab.wait_for(f"the axis goes from {low} to {high}", there)


def test_a_brush_zooms_and_everything_follows(lab: Lab, finished: Finder) -> None:
    lr = lab.kernel.value("w.lr")
    drawn = finished.mark("smoothed loss").path
    finished.button("Zoom").click()
    expect(finished.button("Zoom")).to_have_attribute("aria-pressed", "true")
    expect(finished.button("Reset zoom")).to_be_hidden()
    finished.drag(1e-4, 1e-1)
    wait_for_range(finished, 1e-4, 1e-1)
    low, high = zoomed(finished)
    lab.wait_for("the line is drawn anew", lambda: finished.mark("smoothed loss").path != drawn)
    assert lab.kernel.value("w.lr") == lr  # zooming does not pick a rate
    assert finished.chosen == lr
    # The ticks are those of the visible decades.
    ticks = finished.root.locator(".axis").first.locator(".tick text").all_text_contents()
    assert {"10⁻³", "10⁻²"} <= set(ticks)
    assert "10⁰" not in ticks
    # The shades and the feet of the rules' ticks are at their rates on the zoomed axis.
    landmarks = lab.kernel.value("w._detail['landmarks']")
    shade = finished.root.locator(".lrw-shade[data-region=falling]")
    ends = [
        finished.pixel_of(min(max(rate, low), high))
        for rate in (landmarks["falls_at"], landmarks["minimum"])
    ]

    def fits() -> bool:
        box = shade.bounding_box()
        assert box is not None
        return [box["x"], box["x"] + box["width"]] == pytest.approx(ends, abs=2)

    lab.wait_for("the shade fits", fits)
    inside = [r for r in lab.kernel.value("w.records.suggestions").values() if low <= r <= high]
    feet = [f.bounding_box() for f in finished.root.locator(".lrw-foot:visible").all()]
    at = sorted(box["x"] + box["width"] / 2 for box in feet if box)
    assert at == pytest.approx(sorted(map(finished.pixel_of, inside)), abs=2)
    # The tip shows the row under the mouse.
    step = 60
    rate = START_LR * (END_LR / START_LR) ** (step / STEPS)
    assert low < rate < high
    finished.point_at(rate)
    expect(finished.root.locator(".lrw-tip:visible")).to_contain_text(f"step {step}\n")

    finished.button("Reset zoom").click()
    lab.wait_for("all is shown", lambda: zoomed(finished) == [START_LR, END_LR])
    expect(finished.button("Reset zoom")).to_be_hidden()
    expect(finished.button("Zoom")).to_be_focused()


def test_no_label_of_the_axis_is_cut_off(lab: Lab, finished: Finder) -> None:
    finished.button("Zoom").click()
    finished.drag(1e-4, 2e-3)
    wait_for_range(finished, 1e-4, 2e-3)
    # The last tick is at the right end. The widget has a margin, which its drawings may use.
    seen = finished.root.evaluate("""(root) => {
      const { right } = root.getBoundingClientRect();
      const ticks = [...root.querySelectorAll('.axis .tick text')].filter((t) => t.textContent);
      const clips = [...root.querySelectorAll('.lrw-figure *')].filter((element) =>
        element.querySelector('.axis') && getComputedStyle(element).overflow !== 'visible');
      return { beyond: ticks.filter((t) => t.getBoundingClientRect().right > right).length,
        ticks: ticks.length, clips: clips.length };
    }""")
    assert seen["ticks"] > 4
    assert (seen["beyond"], seen["clips"]) == (0, 0)


def test_zoom_works_without_the_kernel_and_survives_new_rows(lab: Lab) -> None:
    finder = open_finder(lab, allowed=60)
    start(finder)
    finder.wait_for_rows(60)
    lab.run_cell(BUSY_INDEX, wait=False)
    lab.wait_for("the kernel is busy", lambda: lab.is_busy(BUSY_INDEX))
    finder.button("Zoom").click()
    finder.drag(1e-3, 1e-2)
    wait_for_range(finder, 1e-3, 1e-2)
    ends = zoomed(finder)
    assert lab.is_busy(BUSY_INDEX)
    lab.allow("steps", 70)
    finder.wait_for_rows(70)
    assert zoomed(finder) == ends
    lab.allow("busy", 1)
    lab.wait_for_cell(BUSY_INDEX)


def test_a_zoom_shows_rows_that_thinning_had_left_out(lab: Lab) -> None:
    widget = f"""
w = LRFinderWidget(model, optimizer, cross_entropy, data, start_lr={START_LR}, end_lr={END_LR},
                   steps={MANY}, stop_at_divergence=False, seed=0)
w
"""
    finder = open_finder(lab, widget=widget)
    start(finder)
    finder.wait_for_state("finished")
    rows = finder.kernel_rows
    lab.wait_for("a part of them is drawn", lambda: 0 < len(finder.rows) < MANY)
    finder.button("Zoom").click()
    finder.drag(1e-3, 2e-3)
    wait_for_range(finder, 1e-3, 2e-3)
    low, high = zoomed(finder)
    wanted = [row for row in rows if low <= row[0] <= high]
    assert len(wanted) > 150
    lab.wait_for(
        "every row in it is drawn",
        lambda: [row for row in finder.rows if low <= row[0] <= high] == wanted,
    )


def test_zoom_by_keyboard(lab: Lab, finished: Finder) -> None:
    lr = lab.kernel.value("w.lr")
    marker = finished.slider("Chosen learning rate")
    marker.press("+")
    decades = math.log10(END_LR / START_LR)
    lab.wait_for(
        "half of the decades is shown",
        lambda: math.log10(zoomed(finished)[1] / zoomed(finished)[0]) == pytest.approx(decades / 2),
    )
    low, high = zoomed(finished)
    assert low < lr < high
    # An arrow key moves the marker by 1% of the visible span.
    marker.press("ArrowRight")
    one_step = lr * (high / low) ** 0.01
    lab.wait_for("the marker moves", lambda: finished.chosen == pytest.approx(one_step))
    marker.press("-")
    lab.wait_for("all is shown", lambda: zoomed(finished) == [START_LR, END_LR])
    # The buttons of the zoom mode do the same.
    finished.button("Zoom").press("Enter")
    finished.button("Zoom in").press("Enter")
    lab.wait_for("a part is shown", lambda: zoomed(finished) != [START_LR, END_LR])
    marker.press("0")
    lab.wait_for("all is shown", lambda: zoomed(finished) == [START_LR, END_LR])


def test_a_marker_out_of_sight_is_told_of_at_the_edge(lab: Lab, finished: Finder) -> None:
    finished.type_lr("2e-5")
    finished.wait_for_kernel()
    finished.button("Zoom").click()
    finished.drag(1e-2, 1.0)
    wait_for_range(finished, 1e-2, 1.0)
    lab.wait_for("no marker stands in the margin", lambda: finished.chosen is None)
    label = finished.root.locator(".lrw-label", has_text="2e-5")
    expect(label).to_have_text("‹ 2e-5")
    box, plot = label.bounding_box(), finished.plot
    assert box is not None
    assert plot["x"] <= box["x"] < plot["x"] + 12
    assert lab.kernel.value("w.lr") == 2e-5
    # After the reset it is visible again, at the same rate.
    finished.button("Reset zoom").click()
    lab.wait_for("the marker is there", lambda: finished.chosen == 2e-5)


def test_a_click_in_the_plot_places_the_marker_before_during_and_after_a_sweep(lab: Lab) -> None:
    finder = open_finder(lab)
    finder.click_at(1e-2)
    first = finder.wait_for_kernel()
    assert first == pytest.approx(1e-2, rel=0.05)
    start(finder)
    lab.allow("steps", 30)
    finder.wait_for_rows(30)
    finder.click_at(3.0)  # beyond the last row
    finder.wait_for_kernel(pytest.approx(3.0, rel=0.05))
    # Pressing elsewhere in the plot moves the marker there, and dragging moves it along.
    finder.drag(1e-4, 1e-3)
    picked = finder.wait_for_kernel()
    assert picked == pytest.approx(1e-3, rel=0.05)
    lab.allow("steps", STEPS)
    finder.wait_for_state("finished")
    assert lab.kernel.value("w.suggestion") != picked
    assert lab.kernel.value("w.lr") == picked


def test_the_marker_itself_is_dragged_in_every_mode(lab: Lab, finished: Finder) -> None:
    for mode, rate in (("Zoom", 1e-2), ("Range", 1e-3)):
        finished.button(mode).click()
        finished.drag_marker_to(rate)
        finished.wait_for_kernel(pytest.approx(rate, rel=0.05))
        assert zoomed(finished) == [START_LR, END_LR]
        assert lab.kernel.value("w.lr_range") is None


def test_a_click_on_the_rule_at_which_the_marker_stands_is_a_pick_too(
    lab: Lab, finished: Finder
) -> None:
    lr = lab.kernel.value("w.lr")
    assert lab.kernel.value("w._page.state.picked") is False
    finished.root.locator(".lrw-rule.lrw-default").click()
    lab.wait_for("it is the user's", lambda: lab.kernel.value("w._page.state.picked"))
    assert lab.kernel.value("w.lr") == lr


@pytest.mark.parametrize("beyond", [1, 7])
def test_of_two_taps_that_follow_at_once_each_takes_its_button(
    lab: Lab, finished: Finder, beyond: int
) -> None:
    mouse = lab.page.mouse
    pick, zoom = (finished.button(name).bounding_box() for name in ("Pick", "Zoom"))
    assert pick is not None
    assert zoom is not None
    y = pick["y"] + pick["height"] / 2
    mouse.click(zoom["x"] - 8, y)
    # Two taps count as a double one also where they are some pixels apart, or beside an edge.
    mouse.move(pick["x"] + pick["width"] + beyond, y)
    mouse.down(click_count=2)
    mouse.up(click_count=2)
    expect(finished.button("Zoom")).to_have_attribute("aria-pressed", "true")


def test_of_a_pointer_at_rest_is_said_what_is_under_it_after_each_change(
    lab: Lab, finished: Finder
) -> None:
    tip = finished.root.locator(".lrw-tip:visible")
    finished.point_at(1e-2)
    expect(tip).to_contain_text("lr 1e-2")
    lab.kernel.run("w.smoothing = 0")
    expect(tip).to_have_text(re.compile(r"loss (\S+)\nsmoothed \1$"))
    finished.root.evaluate("(root) => { root.parentElement.style.width = '700px' }")
    expect(tip).not_to_contain_text("lr 1e-2\n")
    lr = float(tip.inner_text().split("lr ")[1].split()[0])
    line = finished.root.locator(".lrw-hairline:visible").bounding_box()
    assert line is not None
    step = finished.plot["width"] / STEPS
    assert line["x"] == pytest.approx(finished.pixel_of(lr), abs=step / 2)
