"""VS Code's own renderer of widgets, over a real kernel."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.harness.aligned import RATES, Rates, misplaced
from tests.browser.harness.axe import UNFOLD, violations
from tests.browser.harness.cells import SETUP, STEPS, WIDGET
from tests.browser.harness.seen import Seen
from tests.browser.harness.server import JupyterServer
from tests.browser.harness.vscode import MODULES, Theme, VSCode

SAVED = "No kernel: this is the recorded curve."


@pytest.fixture
def code(server: JupyterServer, page: Page, request: pytest.FixtureRequest) -> Iterator[VSCode]:
    """A notebook in VS Code, whose scripts come from where the test's parameter says."""
    name = re.sub(r"\W+", "-", request.node.name)
    code = VSCode(server, page, name, getattr(request, "param", "local"))
    yield code
    code.close()


def opened(code: VSCode, allowed: int, theme: Theme = "vscode-dark") -> Seen:
    """The widget, of whose sweep so many steps may pass, when they are drawn."""
    code.allow("steps", allowed)
    code.open(theme)
    code.run(SETUP, WIDGET)
    seen = Seen(code.page)
    seen.wait_for_state("Ready: 100 steps")
    seen.button("Start").click()
    seen.wait_for_points(allowed)
    seen.wait_for_state("Running." if allowed < STEPS else "Finished.")
    return seen


def type_lr(seen: Seen, text: str) -> None:
    """Type into the field of the rate."""
    field = seen.root.get_by_label("Learning rate", exact=True)
    field.fill(text)
    field.press("Enter")


@pytest.mark.parametrize("code", ["local", "cdn"], indirect=True)
def test_rows_stream_and_a_pick_and_an_export_reach_the_kernel(
    code: VSCode, request: pytest.FixtureRequest
) -> None:
    seen = opened(code, allowed=40)  # the 41st step is held
    cdn = {url.split("/npm/")[1].split("@")[0] for url in code.loaded if "cdn." in url}
    assert cdn == (set(MODULES) if "cdn" in request.node.callspec.id else set())
    code.allow("steps", STEPS)
    seen.wait_for_state("Finished.")
    seen.wait_for_points(STEPS)
    seen.drag_marker_to(0.5)
    assert seen.chosen == "learning rate 1e-2"
    about = pytest.approx(0.01, rel=0.05)
    code.wait_for("w.lr follows the drag", lambda: code.kernel.value("w.lr") == about)
    seen.button("Export").click()
    expect(seen.root).to_contain_text("lr = ")
    assert code.kernel.value("lr == w.lr")


def test_a_second_view_shows_everything_and_stays_when_the_first_goes(code: VSCode) -> None:
    first = opened(code, allowed=40)
    code.run("w")
    second = Seen(code.page, 1)
    second.wait_for_points(40)
    code.allow("steps", 60)
    first.wait_for_points(60)
    second.wait_for_points(60)
    type_lr(second, "0.02")
    marker = first.slider("Chosen learning rate")
    expect(marker).to_have_attribute("aria-valuetext", "learning rate 2e-2")

    model_id = code.model_id
    code.hide(0)
    only = Seen(code.page)
    expect(code.page.locator(".lrwidget")).to_have_count(1)
    code.allow("steps", STEPS)
    only.wait_for_state("Finished.")
    only.wait_for_points(STEPS)
    code.show(model_id)
    again = Seen(code.page, 1)
    again.wait_for_points(STEPS)
    assert again.chosen == "learning rate 2e-2"
    assert misplaced(again.root, Rates(**code.kernel.value(RATES))) == {}


def test_a_saved_state_has_marker_and_axis_in_place_and_no_kernel(code: VSCode) -> None:
    seen = opened(code, allowed=STEPS)
    type_lr(seen, "0.2")
    code.wait_for("the pick", lambda: code.kernel.value("w.lr") == 0.2)
    rates = Rates(**code.kernel.value(RATES))
    assert misplaced(seen.root, rates) == {}
    raw, model_id, state = seen.path("raw loss"), code.model_id, code.state

    code.open("vscode-dark", state)
    code.show(model_id)
    saved = Seen(code.page)
    saved.wait_for_points(STEPS)
    saved.wait_for_state("Finished.")
    expect(saved.root).to_contain_text(SAVED)
    expect(saved.button("Start")).to_be_disabled()
    assert saved.path("raw loss") == raw
    assert misplaced(saved.root, rates) == {}
    smoothed = saved.path("smoothed loss")
    saved.slider("Smoothing").press("Home")
    saved.wait_for_change(smoothed, "smoothed loss")
    saved.drag_marker_to(0.5)
    assert saved.chosen == "learning rate 1e-2"


def test_what_is_saved_is_handed_to_the_extension(code: VSCode) -> None:
    seen = opened(code, allowed=STEPS)
    downloads: list[object] = []
    code.page.on("download", lambda download: downloads.append(download))
    for kind in ("CSV", "SVG", "PNG"):
        seen.root.locator("summary", has_text="Save").click()
        seen.button(f"Save as {kind}").click()
    code.wait_for("all three are there", lambda: len(code.saved_files) == 3)
    files = code.saved_files
    head, *rows = csv.reader(io.StringIO(files["lr-sweep-run-1.csv"].decode()))
    assert head == ["lr", "loss"]
    assert [[float(x) for x in row] for row in rows] == code.kernel.value(
        "w.records.rows().tolist()"
    )
    assert seen.path("smoothed loss") in files["lr-sweep.svg"].decode()
    assert files["lr-sweep.png"].startswith(b"\x89PNG")
    assert downloads == []


DARK, LIGHT = "rgb(17, 17, 17)", "rgb(255, 255, 255)"
THEMES: dict[Theme, str] = {
    "vscode-dark": DARK,
    "vscode-light": LIGHT,
    "vscode-high-contrast": DARK,
    "vscode-high-contrast vscode-high-contrast-light": LIGHT,
}


def test_every_theme_is_followed_and_legible_on_the_white_that_is_put_behind_it(
    code: VSCode,
) -> None:
    seen = opened(code, allowed=STEPS)
    seen.root.evaluate(UNFOLD)
    found = {}
    for theme, surface in THEMES.items():
        code.page.evaluate("(theme) => { document.body.className = theme }", theme)
        # What the system prefers is another matter than what VS Code is set to.
        code.page.emulate_media(color_scheme="light" if surface == DARK else "dark")
        expect(seen.root).to_have_css("background-color", surface)
        found[theme] = violations(code.page)
    assert {theme: problems for theme, problems in found.items() if problems} == {}


WIDTHS = """
(root) => [root.parentElement, root, root.querySelector('.lrw-chart')]
  .map((element) => element.getBoundingClientRect().width)
"""


def test_in_a_wide_window_nothing_of_the_white_is_left_beside_it(code: VSCode) -> None:
    code.page.set_viewport_size({"width": 1700, "height": 900})
    seen = opened(code, allowed=STEPS)
    output, widget, chart = seen.root.evaluate(WIDTHS)
    assert widget == output > 1600
    assert 1100 < chart <= 1200
