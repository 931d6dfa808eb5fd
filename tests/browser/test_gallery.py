"""The gallery of the site, served from this machine: real widgets without a kernel."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Page, Route, expect

from lrwidget import LRRecords
from scripts.record_gallery import RUNS, pages, runs_of
from tests.browser.harness.seen import Seen
from tests.site import build

PAGES = {page.stem: runs_of(page) for page in pages()}
# What the live region says of the active run.
SAID = {
    "diverges": r"No rate to suggest: the loss was not finite",
    "abstains": r"No rate to suggest: loss neither fell nor climbed",
    "noisy-table": r"Suggested rate .*, low confidence",
    "refine": r"Suggested rate .*, low confidence",
    "repeats": r"Suggested rate .*spread .* over 5 sweeps",
}


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and writes nothing."""

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the built site is served."""
    folder = tmp_path_factory.mktemp("site")
    build(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def elsewhere(page: Page) -> list[str]:
    """What a page asks of other hosts, which do not answer."""
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.abort()

    page.route(re.compile(r"^(?!http://127\.0\.0\.1)\w+://"), refuse)
    return asked


def opened(page: Page, address: str, name: str) -> Seen:
    """The widget of a page, with the line of its active run drawn."""
    page.goto(f"{address}/gallery/{name}.html")
    seen = Seen(page)
    seen.path("smoothed loss" if name != "repeats" else "raw loss")
    return seen


def rows(name: str) -> LRRecords:
    """The rows of a page's active run."""
    return LRRecords.load(RUNS / next(iter(PAGES[name].values())))


def test_there_are_ten_pages() -> None:
    assert len(PAGES) == 10


@pytest.mark.parametrize("name", PAGES)
def test_each_page_shows_its_runs_and_asks_no_other_host(
    name: str, page: Page, address: str, elsewhere: list[str]
) -> None:
    seen = opened(page, address, name)
    records = rows(name)
    expect(seen.root.get_by_role("progressbar")).to_have_attribute(
        "aria-valuetext", re.compile(rf"^step {len(records)} of ")
    )
    expect(seen.state).to_contain_text(re.compile(SAID.get(name, r"Suggested rate")))
    expect(seen.root).to_contain_text("No kernel: this is the recorded curve.")
    labels = seen.root.get_by_role("list", name="Runs").locator(".lrw-run-label")
    expect(labels).to_have_text(list(PAGES[name]) if len(PAGES[name]) > 1 else [])
    rate = seen.root.get_by_label("Learning rate", exact=True)
    chosen = records.suggestion.lr
    if name == "refine":
        assert records.refinement is not None
        chosen = records.refinement.lr
        expect(page.get_by_text(records.refinement.reason).first).to_be_visible()
    if chosen is None:
        expect(rate).to_have_value("")
    else:
        assert float(rate.input_value()) == pytest.approx(chosen, rel=1e-2)
    assert elsewhere == []


def test_smoothing_and_loss_limit_are_the_readers(page: Page, address: str) -> None:
    seen = opened(page, address, "mnist")
    smoothed, raw = seen.path("smoothed loss"), seen.path("raw loss")
    seen.slider("Smoothing").press("Home")
    seen.wait_for_change(smoothed, "smoothed loss")
    assert seen.path("smoothed loss") == raw
    seen.slider("Loss limit").press("PageDown")
    seen.wait_for_change(raw, "raw loss")


def test_hover_says_the_recorded_row(page: Page, address: str) -> None:
    seen = opened(page, address, "mnist")
    records = rows("mnist")
    for step in (1, 37, 100):
        said = seen.hover(step / 100)
        lr, loss = (float(re.search(rf"^{name} (\S+)", said, re.M)[1]) for name in ("lr", "loss"))
        assert said.startswith(f"step {step}\n")
        assert lr == pytest.approx(records.lr[step - 1], rel=1e-2)
        assert loss == pytest.approx(records.loss[step - 1], rel=1e-2)


def test_the_marker_moves_by_mouse_and_by_key(page: Page, address: str) -> None:
    seen = opened(page, address, "mnist")
    seen.drag_marker_to(0.5)
    marker = seen.slider("Chosen learning rate")
    expect(marker).to_have_attribute("aria-valuetext", re.compile(r"rate (9\.9e-4|1e-3)$"))
    marker.press("End")
    expect(marker).to_have_attribute("aria-valuetext", "learning rate 1")


def test_the_legend_hides_a_run_and_makes_another_the_active_one(page: Page, address: str) -> None:
    seen = opened(page, address, "batch-sizes")
    beside = seen.root.locator("[data-style] path.line[d]:not([d=''])")
    expect(beside).to_have_count(2)
    seen.button("Show batches of 8").click()
    expect(beside).to_have_count(1)
    before = seen.path("raw loss")
    seen.button("Use batches of 256").click()
    seen.wait_for_change(before, "raw loss")
    suggested = LRRecords.load(RUNS / "batch-256.jsonl").suggestion.lr
    rate = seen.root.get_by_label("Learning rate", exact=True)
    assert float(rate.input_value()) == pytest.approx(suggested, rel=1e-2)


def test_the_widget_has_the_colours_of_the_page(page: Page, address: str) -> None:
    page.emulate_media(color_scheme="light")
    seen = opened(page, address, "mnist")
    expect(seen.root).to_have_css("background-color", "rgb(255, 255, 255)")
    page.locator("label[title=Dark]").click()
    expect(seen.root).to_have_css("background-color", "rgb(17, 17, 17)")
