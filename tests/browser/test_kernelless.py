"""Several runs in an exported page, and what works there without a kernel."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Literal

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import Locator, Page, expect

from tests.browser.harness.axe import CONTRAST
from tests.browser.harness.cells import SETUP as GATED
from tests.browser.harness.cells import STEPS, WIDGET
from tests.browser.harness.frontends import serve_cdns
from tests.browser.harness.seen import TIMEOUT, Seen
from tests.notebook_client import WakefulClient

SETUP = GATED.replace('gate = Gate("steps")', "").replace("gate.pass_through()", "pass")
CELLS = [
    SETUP.replace("from steps import Gate", "import json"),
    WIDGET,
    """
w.start()
records = w.wait()
w.start(label="wide", batch_size=128)
_ = w.wait()
w.add(records, label="added")
w.lr_range = (1e-3, 1e-1)
with open("runs.json", "w") as file:
    json.dump([run.rows().tolist() for run in w.runs], file)
with open("rates.json", "w") as file:
    json.dump([run.suggestion.lr for run in w.runs], file)
""",
]
LABELS = ["run 1", "wide", "added"]
BESIDE = "[data-style] path.line[d]:not([d=''])"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the exported notebook.html, and in the style of the classic notebook.

    The notebook was executed without a page.
    """
    folder = tmp_path_factory.mktemp("kernelless")
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    resources = {"metadata": {"path": str(folder)}}
    WakefulClient(notebook, timeout=300, store_widget_state=True, resources=resources).execute()
    for name, template in {"notebook": "lab", "classic": "classic"}.items():
        html, _ = HTMLExporter(template_name=template).from_notebook_node(notebook)
        (folder / f"{name}.html").write_text(html)
    return folder


@pytest.fixture
def seen(page: Page, folder: Path) -> Seen:
    """Return the widget with its lines drawn; "wide" was run last and is the active run."""
    return opened(page, folder / "notebook.html")


def opened(page: Page, file: Path) -> Seen:
    serve_cdns(page)
    page.goto(file.as_uri())
    seen = Seen(page)
    seen.wait_for_points(STEPS)
    expect(seen.root.locator(BESIDE)).to_have_count(2, timeout=TIMEOUT)
    return seen


def rows_of(folder: Path, label: str) -> list[list[float]]:
    """Return the rows of a run in the kernel."""
    runs: list[list[list[float]]] = json.loads((folder / "runs.json").read_text())
    return runs[LABELS.index(label)]


def saved(seen: Seen, name: str) -> bytes:
    """Return the file that a button of the menu saves."""
    seen.root.locator("summary", has_text="Save").click()
    with seen.page.expect_download() as download:
        seen.button(name).click()
    return download.value.path().read_bytes()


def copied(seen: Seen, name: str, said: str) -> str:
    """Return the text that a button copies to the clipboard."""
    seen.button(name).click()
    expect(seen.root).to_contain_text(f"Copied: {said}", timeout=TIMEOUT)
    return str(seen.page.evaluate("navigator.clipboard.readText()"))


def labels(seen: Seen) -> Locator:
    """Return the labels of the runs in the legend."""
    legend = seen.root.get_by_role("list", name="Runs")
    return legend.locator(".lrw-run-label")


def test_the_legend_names_every_run_and_hides_and_shows_its_line(seen: Seen) -> None:
    expect(labels(seen)).to_have_text(LABELS)
    show = seen.button("Show run 1")
    show.click()
    expect(show).to_have_attribute("aria-pressed", "false")
    expect(seen.root.locator(BESIDE)).to_have_count(1)
    show.click()
    expect(show).to_have_attribute("aria-pressed", "true")
    expect(seen.root.locator(BESIDE)).to_have_count(2)


def test_what_only_the_kernel_can_do_with_a_run_is_not_offered(seen: Seen) -> None:
    expect(labels(seen)).to_have_text(LABELS)
    for label in LABELS:
        expect(seen.root.get_by_role("button", name=f"Use {label}")).to_be_visible()
        for action in ("Rename", "Remove"):
            expect(seen.root.get_by_role("button", name=f"{action} {label}")).to_have_count(0)


def test_another_run_is_made_the_active_one_with_its_rows_and_its_suggestion(
    seen: Seen, folder: Path
) -> None:
    rates = dict(zip(LABELS, json.loads((folder / "rates.json").read_text()), strict=True))
    before = seen.path("raw loss")
    for label in ("run 1", "wide"):
        seen.button(f"Use {label}").click()
        current = seen.root.get_by_role("list", name="Runs").locator("[aria-current=true]")
        expect(current).to_have_attribute("aria-label", f"Use {label}")
        expect(seen.root.locator(BESIDE)).to_have_count(2)
        content = saved(seen, "Save as CSV").decode()
        _, *rows = csv.reader(io.StringIO(content))
        assert [[float(cell) for cell in row] for row in rows] == rows_of(folder, label)
        # No rate was picked, so the marker is at the suggestion.
        field = seen.root.get_by_label("Learning rate", exact=True)
        assert float(field.input_value()) == pytest.approx(rates[label], rel=1e-2)
        if label == "run 1":
            seen.wait_for_change(before, "raw loss")
    assert seen.path("raw loss") == before


def test_hover_names_the_run(seen: Seen) -> None:
    name, step, *_ = seen.hover(0.5).split("\n")
    assert name in LABELS
    assert step == "step 50"


def test_a_tap_names_the_run_which_stays_named_when_the_finger_is_lifted(seen: Seen) -> None:
    x, foot = seen.across(0.5)
    client = seen.page.context.new_cdp_session(seen.page)
    client.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    finger = [{"x": x, "y": foot - 60}]
    client.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": finger})
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    tip = seen.root.locator(".lrw-tip:visible").first
    name, step, *_ = tip.inner_text(timeout=TIMEOUT).split("\n")
    assert name in LABELS
    assert step == "step 50"
    seen.page.wait_for_timeout(500)  # the mouse events that a browser sends after a tap
    expect(tip).to_be_visible()


STYLE = "(element, name) => getComputedStyle(element)[name]"
CANVAS = """
(root) => {
  const probe = root.appendChild(document.createElement('i'));
  probe.style.color = 'Canvas';
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
"""


def test_where_the_system_forces_colours_edges_and_highlights_say_what_backgrounds_said(
    seen: Seen,
) -> None:
    seen.page.emulate_media(forced_colors="active")
    canvas = seen.root.evaluate(CANVAS)
    zoom = seen.button("Zoom")
    edge = zoom.evaluate(STYLE, "borderTopColor")
    zoom.click()
    pressed = zoom.evaluate(STYLE, "borderTopColor")
    assert pressed not in (edge, canvas)
    for what, property_ in (
        (".lrw-primary:visible", "backgroundColor"),  # the next step
        (".lrw-default .lrw-shape", "backgroundColor"),  # the default rule
        (".lrw-range", "borderLeftColor"),  # the chosen range
        (".lrw-shade", "borderTopColor"),  # the three regions
    ):
        part = seen.root.locator(what).first
        expect(part).to_be_visible()
        assert part.evaluate(STYLE, property_) != canvas, what


@pytest.mark.parametrize(("forced", "light"), [("dark", "true"), ("light", "false")])
def test_where_the_system_forces_colours_the_plot_is_legible_on_them_in_another_theme(
    seen: Seen, forced: Literal["dark", "light"], light: str
) -> None:
    seen.page.evaluate("(light) => { document.body.dataset.jpThemeLight = light }", light)
    seen.page.emulate_media(forced_colors="active", color_scheme=forced)
    seen.page.evaluate(CONTRAST)
    for text in (".axis .tick text", ".axislabel", ".lrw-primary:visible"):
        contrast = seen.root.locator(text).first.evaluate("(text) => lowestContrast(text)")
        assert contrast >= 4.5, text


def test_the_style_of_the_classic_notebook_resizes_no_picture_and_takes_no_sign(
    page: Page, folder: Path
) -> None:
    seen = opened(page, folder / "classic.html")
    chart = seen.root.locator(".lrw-chart")
    for picture in (".lrw-leaders", ".lrw-tried"):
        expect(seen.root.locator(picture)).to_have_css("height", chart.evaluate(STYLE, "height"))
    expect(seen.root.locator(".lrw-legend svg").first).to_have_css("height", "12px")
    expect(seen.root.get_by_text("Use it in code")).to_have_css("display", "list-item")


def test_zoom_by_brush_and_back(seen: Seen) -> None:
    whole = seen.path("raw loss")
    seen.button("Zoom").click()
    x, foot = seen.across(0.4)
    end, _ = seen.across(0.6)
    seen.page.mouse.move(x, foot - 100)
    seen.page.mouse.down()
    seen.page.mouse.move(end, foot - 90, steps=8)
    seen.page.mouse.up()
    seen.wait_for_change(whole, "raw loss")
    ticks = seen.root.locator(".axis").first.locator(".tick text")
    expect(ticks.filter(has_text="10⁻⁵")).to_have_count(0)
    seen.button("Reset zoom").click()
    expect(seen.line("raw loss")).to_have_attribute("d", whole)


def test_smoothing_limit_and_marker_with_runs_beside(seen: Seen) -> None:
    beside = seen.root.locator(BESIDE).first
    for slider, key in (("Smoothing", "Home"), ("Loss limit", "PageDown")):
        before = beside.get_attribute("d") or ""
        seen.slider(slider).press(key)
        expect(beside).not_to_have_attribute("d", before)
    seen.drag_marker_to(0.5)
    assert re.fullmatch(r"learning rate (9\.9e-3|1e-2)", seen.chosen)
    # The picked rate stays when another run becomes the active one.
    seen.button("Use run 1").click()
    assert re.fullmatch(r"learning rate (9\.9e-3|1e-2)", seen.chosen)


def test_pictures_and_the_table_are_made_in_the_page(seen: Seen) -> None:
    svg = saved(seen, "Save as SVG").decode()
    assert seen.path("smoothed loss") in svg
    assert "run: wide" in svg
    assert saved(seen, "Save as PNG").startswith(b"\x89PNG")
    seen.root.locator("summary", has_text="Save").click()
    table = copied(seen, "Copy as Markdown", "a table in Markdown")
    assert re.search(r"^\| run \| wide \|$", table, re.M)
    assert "suggested rate" in table


def test_the_code_for_rate_and_range_is_there_to_copy(seen: Seen) -> None:
    seen.root.get_by_text("Use it in code").click()
    code = copied(seen, "Copy optimizer", "optimizer")
    assert code.startswith("optimizer = torch.optim.SGD(model.parameters(), lr=")
    cyclic = copied(seen, "Copy CyclicLR", "CyclicLR")
    assert "base_lr=1e-03, max_lr=1e-01" in cyclic
