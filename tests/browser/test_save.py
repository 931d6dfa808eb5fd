"""Files and tables that the page creates without the kernel."""

from __future__ import annotations

import csv
import io
import re
import time
from xml.etree import ElementTree

import pytest
from PIL import Image, ImageStat
from playwright.sync_api import expect

from tests.browser.harness.cells import STEPS, open_finder, start
from tests.browser.harness.clicks import click_at
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import Lab
from tests.browser.screenshots import set_width


@pytest.fixture
def finished(lab: Lab) -> Finder:
    """Return a widget whose sweep has finished."""
    finder = open_finder(lab, allowed=STEPS)
    start(finder)
    finder.wait_for_state("finished")
    finder.wait_for_rows(STEPS)
    return finder


def saved(finder: Finder, name: str) -> tuple[str, bytes]:
    """Return name and content of the file that a button of the menu saves."""
    finder.root.locator("summary", has_text="Save").click()
    with finder.lab.page.expect_download() as download:
        finder.button(name).click()
    return download.value.suggested_filename, download.value.path().read_bytes()


# The boxes of what is drawn by HTML in the chart: left, top, right and bottom in its pixels.
SHAPES = """
(chart) => {
  const all = chart.getBoundingClientRect();
  const boxes = (selector, of) => [...chart.querySelectorAll(selector)]
    .filter((element) => element.checkVisibility())
    .map((element) => of(element.getBoundingClientRect()))
    .map(({ x, y, width, height }) =>
      [x - all.x, y - all.y, x - all.x + width, y - all.y + height].map(Math.round));
  const top = ({ x, y, width }) => ({ x, y, width, height: 3 });
  return {
    rule: boxes('.lrw-shape', (box) => box), region: boxes('.lrw-shade', top),
    handle: boxes('.lrw-range > *', (box) => box),
  };
}
"""
MARGIN = 12  # of a picture, in the pixels of the chart


def differing(finder: Finder, picture: Image.Image) -> list[str]:
    """Return the shapes whose mean colour in a picture is not that in the chart."""
    finder.lab.page.mouse.move(0, 0)
    chart = finder.root.locator(".lrw-chart")
    shown = Image.open(io.BytesIO(chart.screenshot())).convert("RGB")
    scale = picture.width / (shown.width + 2 * MARGIN)
    found = []
    for kind, boxes in chart.evaluate(SHAPES).items():
        assert boxes, kind
        for box in boxes:
            moved = tuple(round(scale * (MARGIN + edge)) for edge in box)
            pair = (shown.crop(box), picture.convert("RGB").crop(moved))
            means = [ImageStat.Stat(image).mean for image in pair]
            if max(abs(a - b) for a, b in zip(*means, strict=True)) > 16:
                found.append(f"{kind}: {means}")
    return found


def test_pictures_are_whole_and_need_nothing_else(lab: Lab, finished: Finder) -> None:
    lab.kernel.run("w.lr_range = (1e-3, 1)")
    surfaces = {}
    for theme in ("light", "dark"):
        lab.theme(theme)
        finished.wait_until_drawn()
        name, content = saved(finished, "Save as SVG")
        assert name == "lr-sweep.svg"
        text = content.decode()
        assert "var(" not in text
        assert not re.search(r"(href|src)=|@import|url\((?!(&quot;|\"|')?#)", text)
        root = ElementTree.fromstring(text)
        labels = list(root.iter("{http://www.w3.org/2000/svg}text"))
        # A stroke over its text would hide that.
        outlined = [label for label in labels if label.get("stroke") not in (None, "none")]
        assert {label.get("paint-order") for label in outlined} == {"stroke"}
        texts = {element.text for element in labels}
        lr = finished.root.locator(".lrw-label:visible").first.inner_text()
        assert {"learning rate", "loss", "10⁻³", "falling", "auto", lr} <= texts
        paths = [path.get("d") or "" for path in root.iter("{http://www.w3.org/2000/svg}path")]
        assert finished.mark("smoothed loss").path in paths
        name, content = saved(finished, "Save as PNG")
        assert name == "lr-sweep.png"
        image = Image.open(io.BytesIO(content)).convert("RGBA")
        surfaces[theme] = image.getpixel((2, 2))
        assert image.width > 1000
        assert differing(finished, image) == []
        edges = root.iter("{http://www.w3.org/2000/svg}path")
        assert any(
            path.get("d", "").count("v") == 1 and path.get("stroke-dasharray") for path in edges
        )
        assert image.getextrema()[3] == (255, 255)  # opaque
        counts = sorted(n for n, _ in image.getcolors(1 << 24) or [])
        assert len(counts) > 50
        assert counts[-1] < 0.97 * image.width * image.height
    assert surfaces["light"][:3] > (200, 200, 200)
    assert surfaces["dark"][:3] < (60, 60, 60)


# The texts of a picture that stick out of it at the right.
BEYOND = """
(svg) => {
  const box = document.createElement('div');
  box.innerHTML = svg;
  document.body.append(box);
  const { right } = box.firstChild.getBoundingClientRect();
  const out = [...box.querySelectorAll('text')]
    .filter((text) => text.getBoundingClientRect().right > right)
    .map((text) => text.textContent);
  box.remove();
  return out;
}
"""
LONG = "a run whose label has some length, which is to say seventy-nine characters, no"


def test_all_text_below_a_picture_is_in_it(lab: Lab, finished: Finder) -> None:
    lab.kernel.run(f"w.rename('run 1', {LONG!r})")
    finished.wait_for_text(LONG)
    for width in (400, 1000):
        set_width(finished, width)
        picture = saved(finished, "Save as SVG")[1].decode()
        assert lab.page.evaluate(BEYOND, picture) == []
        texts = ElementTree.fromstring(picture).itertext()
        whole = " ".join(" ".join(texts).split())
        assert LONG in whole
        assert lab.kernel.value("w.records.suggestion.reason") in whole


def test_csv_has_the_rows_of_the_frame_to_the_last_bit(lab: Lab, finished: Finder) -> None:
    name, content = saved(finished, "Save as CSV")
    assert name == "lr-sweep-run-1.csv"
    head, *rows = csv.reader(io.StringIO(content.decode()))
    assert head == ["lr", "loss"]
    assert head == lab.kernel.value("list(w.records.frame.columns)")
    assert [[float(x) for x in row] for row in rows] == finished.kernel_rows


# Hosts such as VS Code save a file themselves when they see a click on its link reach the body.
HEAR_LINKS = """
() => {
  window.heard = [];
  document.body.addEventListener('click', ({ target }) => {
    const link = target.closest('a[download]');
    if (link) window.heard.push([link.download, link.href.split(':')[0], link.isConnected]);
  });
}
"""


def test_the_link_to_a_file_is_clicked_in_the_document_and_taken_out_again(
    lab: Lab, finished: Finder
) -> None:
    lab.page.evaluate(HEAR_LINKS)
    saved(finished, "Save as CSV")
    saved(finished, "Save as SVG")
    assert lab.page.evaluate("heard") == [
        ["lr-sweep-run-1.csv", "blob", True],
        ["lr-sweep.svg", "blob", True],
    ]
    expect(lab.page.locator("a[download^=lr-sweep]")).to_have_count(0)


def test_a_double_click_in_the_menu_chooses_no_rate_in_the_plot_below_it(
    lab: Lab, finished: Finder
) -> None:
    before = finished.chosen
    plot = finished.plot
    finished.root.locator("summary", has_text="Save").click()
    item = finished.button("Copy as Markdown").bounding_box()
    assert item is not None
    x, y = item["x"] + item["width"] / 2, item["y"] + item["height"] / 2
    assert plot["x"] < x < plot["x"] + plot["width"]
    assert plot["y"] < y < plot["y"] + plot["height"]
    now = time.time()
    click_at(lab, x, y, now)
    click_at(lab, x, y, now + 0.1, count=2)
    finished.wait_for_text("Copied: a table in Markdown")
    assert finished.chosen == before
    # One that comes later is for the plot.
    finished.click_at(0.02)
    lab.wait_for("the marker moves", lambda: finished.chosen == pytest.approx(0.02, rel=0.1))


def test_the_menu_closes_when_another_place_is_clicked_or_reached_by_keyboard(
    lab: Lab, finished: Finder
) -> None:
    menu = finished.root.locator("summary", has_text="Save")
    last = finished.button("Copy as Markdown")
    menu.click()
    expect(last).to_be_visible()
    finished.click_at(0.02)
    expect(last).to_be_hidden()
    menu.click()
    for _ in range(4):
        lab.page.keyboard.press("Tab")
    expect(last).to_be_focused()
    lab.page.keyboard.press("Tab")
    expect(last).to_be_hidden()


def test_the_summary_is_copied_as_a_table_by_keyboard(lab: Lab, finished: Finder) -> None:
    menu = finished.root.locator("summary", has_text="Save")
    menu.focus()
    lab.page.keyboard.press("Enter")
    for _ in range(4):
        lab.page.keyboard.press("Tab")
    lab.page.keyboard.press("Enter")
    finished.wait_for_text("Copied: a table in Markdown")
    text = str(lab.page.evaluate("navigator.clipboard.readText()"))
    lines = dict(
        [cell.strip() for cell in line.strip("|").split("|", 1)]
        for line in text.strip().split("\n")
    )
    assert lines["range"] == "1e-5 to 10 |".removesuffix(" |")
    assert lines["suggested rate"].endswith(lab.kernel.value("w.records.suggestion.reason"))
    assert lines["optimizer"] == "torch.optim.SGD, momentum=0.9"
