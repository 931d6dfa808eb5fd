"""Pages that show anywidgets but no other widgets, as marimo does: the page draws the chart."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from typing import Any, Literal
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Page, expect

from lrwidget.widget.bundle import STATIC
from tests.browser.harness.seen import TIMEOUT, Seen
from tests.widget.finder import finder

ROWS = 60
SVG = "{http://www.w3.org/2000/svg}"

# Shows a widget twice, as a host does that gives a model this manager; null is no manager.
HOST = """
async ([source, traits, message, rows, manager]) => {
  const bundle = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
  const widget = await (await import(bundle)).default();
  const listeners = {};
  window.kept = {};
  const model = {
    get: (name) => traits[name],
    set: (name, value) => { traits[name] = value; },
    save_changes: () => { window.kept = { lr: traits.lr, smoothing: traits.smoothing }; },
    send: () => Promise.resolve(),
    on: (event, listener) => { (listeners[event] ??= []).push(listener); },
    off() {},
    ...(manager && { widget_manager: eval(manager) }),
  };
  await widget.initialize({ model, signal: new AbortController().signal });
  const show = async () => {
    const controller = new AbortController();
    const el = document.body.appendChild(document.createElement('div'));
    await widget.render({ model, el, signal: controller.signal });
    return () => { controller.abort(); el.remove(); };
  };
  await show();
  window.closeSecond = await show();
  // The first words of the kernel name the model that is saved.
  for (const listen of listeners['msg:custom']) {
    listen({ type: 'sync', run: 1, offset: 0, model_id: 'w', ...message },
      [new DataView(Float64Array.from(rows, Number).buffer)]);
  }
  await new Promise(requestAnimationFrame);
}
"""
# Like marimo 0.25: it returns a proxy for every model, which does not resolve references and can
# neither create a view nor save a state.
PROXIES = """({
  get_model: async (id) => ({
    get: (name) => ({
      figure: { layout: 'IPY_MODEL_layout', marks: ['IPY_MODEL_a'], axes: ['IPY_MODEL_b'] },
      layout: { height: '240px' },
    })[id]?.[name],
    set() {}, save_changes() {}, on() {}, off() {},
  }),
})"""
NESTS = PROXIES.replace("get_model:", "create_view: () => { throw Error(); }, get_model:")


def traits() -> dict[str, Any]:
    """Return the state of an idle widget as a host receives it."""
    state = {
        k: v
        for k, v in finder(start_lr=1e-5, end_lr=10.0).get_state().items()
        if k not in ("_esm", "_css")
    }
    values: dict[str, Any] = json.loads(json.dumps(state, default=lambda _: None))
    return values | {"figure": "IPY_MODEL_figure"}


def show(page: Page, manager: str | None) -> Seen:
    """Show a finished sweep of ROWS rows, of which one has no loss; its rate is 1e-3."""
    page.add_style_tag(content=(STATIC / "widget.css").read_text("utf-8"))
    rates = [1e-5 * 1e6 ** (step / (ROWS - 1)) for step in range(ROWS)]
    losses = [2 - math.tanh((math.log10(lr) + 2) / 2) for lr in rates]
    losses[40] = math.nan
    rows = [str(value) for row in zip(rates, losses, strict=True) for value in row]
    message = {"state": "finished", "step": ROWS, "lr": 1e-3, "suggestion": 1e-3}
    source = (STATIC / "widget.js").read_text("utf-8")
    page.evaluate(HOST, [source, traits(), message, rows, manager])
    return Seen(page)


@pytest.mark.parametrize(("manager", "height"), [(None, 360), (PROXIES, 240)])
def test_the_chart_is_drawn_where_no_other_widget_is(
    page: Page, manager: str | None, height: int
) -> None:
    seen = show(page, manager)
    seen.wait_for_points(ROWS - 1)
    assert len(re.findall("M", seen.path("raw loss"))) == 2  # a gap where there is no loss
    figure = seen.root.locator("svg:has(.plotarea_background)")
    assert figure.bounding_box()["height"] == height  # type: ignore[index]
    expect(figure.locator(".axis")).to_contain_text("learning rate")
    expect(figure.locator(".axis")).to_contain_text("10⁻³")
    wait_for_handle(seen, 2 / 6)
    assert "step 30" in seen.hover(0.5)


def wait_for_handle(seen: Seen, fraction: float) -> None:
    """Wait until the handle is drawn at a fraction of the axis, at the foot of the plot."""
    deadline = time.monotonic() + TIMEOUT / 1000
    while True:
        wanted = seen.across(fraction)
        box = seen.root.locator(".object_grp path").bounding_box() or {}
        if box and (middle_of(box) == pytest.approx(wanted, abs=1.5)):
            return
        assert time.monotonic() < deadline, (box, wanted)


def middle_of(box: Mapping[str, float]) -> tuple[float, float]:
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_drag_a_click_and_a_slider_work_and_reach_the_kernel(page: Page) -> None:
    seen = show(page, PROXIES)
    seen.wait_for_points(ROWS - 1)
    seen.drag_marker_to(0.5)
    expect(seen.slider("Chosen learning rate")).to_have_attribute(
        "aria-valuetext", re.compile(r"learning rate (1e-2|9\.\de-3|1\.\d+e-2)$")
    )
    # The handle stays under the pointer, and rests where it was left.
    wait_for_handle(seen, 0.5)
    assert page.evaluate("kept.lr") == pytest.approx(0.01, rel=0.1)
    x, foot = seen.across(0.75)
    page.mouse.move(x + 40, foot)
    wait_for_handle(seen, 0.5)
    page.mouse.click(x, foot - 60)
    page.wait_for_function("kept.lr > 0.1")
    assert page.evaluate("kept.lr") == pytest.approx(10**-0.5, rel=0.1)
    wait_for_handle(seen, 0.75)
    seen.drag_marker_to(1.2)  # no further than the axis
    page.wait_for_function("kept.lr === 10")
    smoothed = seen.path("smoothed loss")
    seen.slider("Smoothing").press("Home")
    seen.wait_for_change(smoothed, "smoothed loss")
    page.wait_for_function("kept.smoothing === 0")


def test_each_view_is_drawn_in_its_width_until_it_is_closed(page: Page) -> None:
    seen, second = show(page, None), Seen(page, 1)
    second.wait_for_points(ROWS - 1)
    page.evaluate("document.body.children[0].style.width = '420px'")
    expect(seen.root.locator("svg:has(.plotarea_background)")).to_have_css("width", "396px")
    narrow = seen.root.locator(".plotarea_background")
    expect(narrow).to_have_attribute("width", "318")
    wait_for_handle(seen, 2 / 6)
    wait_for_handle(second, 2 / 6)
    second.drag_marker_to(0.5)
    wait_for_handle(seen, 0.5)
    page.evaluate("closeSecond()")
    assert page.locator(".lrwidget").count() == 1
    seen.drag_marker_to(0.25)
    wait_for_handle(seen, 0.25)


@pytest.mark.parametrize(("scheme", "surface"), [("light", 255), ("dark", 17)])
def test_the_picture_that_is_saved_has_the_lines_within_the_plot_and_the_theme_of_the_page(
    page: Page, scheme: Literal["light", "dark"], surface: int
) -> None:
    page.emulate_media(color_scheme=scheme)
    seen = show(page, None)
    seen.wait_for_points(ROWS - 1)
    seen.root.locator("summary", has_text="Save").click()
    with page.expect_download(timeout=TIMEOUT) as download:
        seen.button("Save as SVG").click()
    picture = ElementTree.fromstring(download.value.path().read_text("utf-8"))
    texts = list(picture.iter(f"{SVG}text"))
    assert {"learning rate", "loss", "10⁻³"} <= {text.text for text in texts}
    background, *_ = picture.iter(f"{SVG}rect")
    assert background.get("fill") == f"rgb({surface}, {surface}, {surface})"
    # An svg clips to its width and height what it holds.
    (plot,) = (svg for svg in picture.iter(f"{SVG}svg") if svg is not picture)
    assert seen.path("raw loss") in {path.get("d") for path in plot.iter(f"{SVG}path")}
    area = seen.root.locator(".plotarea_background").bounding_box() or {}
    assert float(plot.get("width", 0)) == pytest.approx(area["width"], abs=0.5)
    assert float(plot.get("height", 0)) == pytest.approx(area["height"], abs=0.5)


def test_a_manager_that_makes_views_but_knows_no_marks_is_told_from_one_that_does(
    page: Page,
) -> None:
    page.evaluate(
        HOST,
        [(STATIC / "widget.js").read_text("utf-8"), traits(), {"state": "idle"}, [], NESTS],
    )
    expect(page.locator("body")).to_contain_text("cannot show a bqplot figure")
    expect(page.locator("body")).to_contain_text("Use lr_find(...) and records.plot() here")
