"""What the suggestion is based on: the rules' ticks, the regions of the curve, several sweeps."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from playwright.sync_api import Locator, expect

from lrwidget.curve.centred import centred
from lrwidget.text.numbers import rate_in_words
from tests.browser.harness.cells import END_LR, START_LR, STEPS, WIDGET, open_finder, start
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import Lab

RULES = {"auto", "minimum/10", "steepest", "valley", "slide"}
REPEATS = WIDGET.replace("seed=0", "seed=0, repeats=3")


def pixel_of(finder: Finder, lr: float) -> float:
    """Return the x coordinate of a rate in the page, in pixels."""
    plot = finder.root.locator(".plotarea_background").bounding_box()
    assert plot is not None
    return float(plot["x"] + plot["width"] * np.log(lr / START_LR) / np.log(END_LR / START_LR))


def test_every_rule_has_a_tick_with_name_and_rate(lab: Lab, finished: Finder) -> None:
    said = lab.kernel.value("w.records.suggestions")
    assert set(said) == RULES
    assert None not in said.values()
    for name, lr in said.items():
        expect(finished.button(f"{name}: {rate_in_words(lr)}")).to_be_visible()
    # The feet of the ticks are at their rates, also after the page has changed its width.
    for width in (1200, 700):
        lab.page.set_viewport_size({"width": width, "height": 900})
        wanted = sorted(said.values())

        def stand(wanted: list[float] = wanted) -> bool:
            feet = [f.bounding_box() for f in finished.root.locator(".lrw-foot").all()]
            at = [box["x"] + box["width"] / 2 for box in feet if box]
            return at == pytest.approx([pixel_of(finished, lr) for lr in wanted], abs=2)

        lab.wait_for(f"the ticks stand at their rates at width {width}", stand)
    # Found and looked at in one go: ticks that are placed again are other elements.
    edges = """(root) => [...root.querySelectorAll('.lrw-rule')]
        .map((name) => name.getBoundingClientRect())
        .map(({ left, right }) => [left, right]).sort(([a], [b]) => a - b)"""

    def apart() -> bool:
        names = finished.root.evaluate(edges)
        assert len(names) == len(RULES)
        return all(left[1] <= right[0] + 0.5 for left, right in itertools.pairwise(names))

    lab.wait_for("no name covers another", apart)


def test_a_click_on_a_tick_is_a_pick(lab: Lab, finished: Finder) -> None:
    said = lab.kernel.value("w.records.suggestions")
    assert finished.chosen == said["auto"]
    auto = finished.button(f"auto: {rate_in_words(said['auto'])}")
    valley = finished.button(f"valley: {rate_in_words(said['valley'])}")
    expect(auto).to_have_attribute("aria-pressed", "true")
    valley.click()
    finished.wait_for_kernel(said["valley"])
    expect(valley).to_have_attribute("aria-pressed", "true")
    expect(auto).to_have_attribute("aria-pressed", "false")

    # A clicked tick is the user's pick, so the end of the next sweep does not move the marker.
    lab.allow("steps", 2 * STEPS)
    finished.button("Start").click()
    lab.wait_for(
        "the second sweep has ended", lambda: lab.kernel.value("w._run_list.active.number") == 2
    )
    finished.wait_for_state("finished")
    lab.kernel.run("w.wait()")
    assert lab.kernel.value("w.lr") == said["valley"]
    assert finished.chosen == said["valley"]


def test_the_mouse_over_a_tick_shows_name_and_rate(lab: Lab, finished: Finder) -> None:
    tip = finished.root.locator(".lrw-tip:visible")
    for name, lr in lab.kernel.value("w.records.suggestions").items():
        finished.button(f"{name}: {rate_in_words(lr)}").hover()
        expect(tip).to_contain_text(f"{name}: {rate_in_words(lr)}")
    lab.page.mouse.move(0, 0)
    expect(tip).to_have_count(0)


def test_one_tick_is_marked_as_the_default(lab: Lab, finished: Finder) -> None:
    auto = lab.kernel.value("w.records.suggestions")["auto"]
    marked = finished.root.locator(".lrw-default")
    expect(marked).to_have_count(1)
    expect(marked).to_have_attribute("aria-label", f"auto: {rate_in_words(auto)}")
    # The default has a filled diamond, the others have rings.
    fill = "el => getComputedStyle(el.querySelector('.lrw-shape')).backgroundColor"
    for tick in finished.root.locator(".lrw-rule").all():
        hollow = tick.evaluate(fill) == "rgba(0, 0, 0, 0)"
        assert hollow is (tick.get_attribute("aria-label") != f"auto: {rate_in_words(auto)}")


def test_ticks_are_reached_and_taken_by_keyboard(lab: Lab, finished: Finder) -> None:
    said = lab.kernel.value("w.records.suggestions")
    by_rate = sorted(said, key=lambda name: said[name])
    finished.slider("Chosen learning rate").focus()
    for name in by_rate:
        lab.page.keyboard.press("Tab")
        expect(finished.button(f"{name}: {rate_in_words(said[name])}")).to_be_focused()
        tip = finished.root.locator(".lrw-tip:visible")
        expect(tip).to_contain_text(f"{name}: {rate_in_words(said[name])}")
    lab.page.keyboard.press("Enter")
    finished.wait_for_kernel(said[by_rate[-1]])
    lab.page.keyboard.press("Shift+Tab")
    lab.page.keyboard.press("Space")
    lab.wait_for("the rate is taken", lambda: finished.chosen == said[by_rate[-2]])
    lab.page.keyboard.press("Escape")
    expect(finished.root.locator(".lrw-tip:visible")).to_have_count(0)


def test_the_regions_are_shaded_and_named(lab: Lab, finished: Finder) -> None:
    found = lab.kernel.value("w._detail['landmarks']")
    ends = {
        "flat": (START_LR, found["falls_at"]),
        "falling": (found["falls_at"], found["minimum"]),
        "exploding": (found["explodes_at"], END_LR),
    }
    names = finished.root.get_by_role("list", name="Regions of the curve").get_by_role("listitem")
    expect(names).to_have_count(3)
    for name, (low, high) in ends.items():
        title = names.filter(has_text=name).get_attribute("title")
        assert title is not None
        assert title.startswith(f"{name}, ")
        shade = finished.root.locator(f".lrw-shade[data-region={name}]")

        def fits(shade: Locator = shade, low: float = low, high: float = high) -> bool:
            box = shade.bounding_box()
            assert box is not None
            ends = [pixel_of(finished, low), pixel_of(finished, high)]
            return [box["x"], box["x"] + box["width"]] == pytest.approx(ends, abs=2)

        lab.wait_for(f"{name} is shaded from {low} to {high}", fits)
        expect(names.filter(has_text=name)).to_be_visible()


def test_the_regions_have_colours_of_their_own(lab: Lab, finished: Finder) -> None:
    colours = []
    for name in ("flat", "falling", "exploding"):
        shade = finished.root.locator(f".lrw-shade[data-region={name}]")
        expect(shade).to_be_visible()
        colour = shade.evaluate("el => getComputedStyle(el).backgroundColor")
        # For example "color(srgb 0.1 0.2 0.3 / 0.09)"; a transparent colour is "rgba(0, 0, 0, 0)".
        opacity = float(re.split(r"[/,]", colour)[-1].strip(" )"))
        assert 0.05 < opacity < 0.3, colour
        colours.append(colour)
    assert len(set(colours)) == 3


def test_the_confidence_is_said_in_words(lab: Lab) -> None:
    # With so few points per decade the confidence is low.
    finder = open_finder(lab, allowed=STEPS, widget=WIDGET.replace(f"steps={STEPS}", "steps=20"))
    expect(
        finder.root.get_by_role("group", name="Rates by rule").get_by_role("button")
    ).to_have_count(0)
    start(finder)
    finder.wait_for_state("finished")
    assert lab.kernel.value("w.records.suggestion.confidence") == "low"
    finder.wait_for_text("low confidence")
    expect(finder.root.locator(".lrw-label:visible").first).to_contain_text("low confidence")


def test_repeats_draw_median_band_and_the_sweep_in_progress(lab: Lab) -> None:
    finder = open_finder(lab, allowed=2 * STEPS + 30, widget=REPEATS)
    start(finder)
    total = 2 * STEPS + 30
    lab.wait_for(
        f"{total} rows are drawn",
        lambda: sum(map(math.isfinite, finder.mark("raw loss").y)) == total,
    )
    rows = np.array(finder.kernel_rows)
    assert lab.kernel.value("w.records.sweep_starts") == [0, STEPS, 2 * STEPS]

    def curves() -> np.ndarray:
        losses = np.full((3, STEPS), np.nan)
        for i, sweep in enumerate(np.split(rows[:, 1], [STEPS, 2 * STEPS])):
            losses[i, : len(sweep)] = centred(sweep, lab.kernel.value("w.smoothing"))
        return losses

    expected = curves()
    assert finder.mark("median").y == pytest.approx(np.nanmedian(expected, axis=0), rel=1e-9)
    assert finder.mark("median").x == rows[:STEPS, 0].tolist()
    assert finder.mark("smoothed loss").y == pytest.approx(expected[2, :30], rel=1e-9)
    low, high = np.nanquantile(expected, [0.25, 0.75], axis=0)
    band = finder.mark("band")
    assert band.path
    assert band.y == pytest.approx([*high, *low[::-1], high[0]], rel=1e-9)

    lab.allow("steps", 3 * STEPS)
    finder.wait_for_state("finished")
    rows = np.array(finder.kernel_rows)
    expected = np.nanmedian(curves(), axis=0)
    lab.wait_for("all is drawn", lambda: finder.mark("smoothed loss").y == [])
    assert finder.mark("median").y == pytest.approx(expected, rel=1e-9)
    spread = lab.kernel.value("w.records.suggestion.spread")
    assert spread is not None
    finder.wait_for_text(f"spread {spread:.2f} decades over 3 sweeps")
    expect(finder.root.get_by_text(re.compile("median and quartiles of 3 sweeps"))).to_be_visible()
    assert lab.kernel.value("model_is_as_before()")


def test_one_sweep_has_neither_median_nor_band(lab: Lab, finished: Finder) -> None:
    assert len(finished.mark("smoothed loss").y) == STEPS
    assert finished.mark("median").y == []
    assert finished.mark("band").y == []
    assert "spread" not in finished.root.inner_text()
