"""One Jupyter server and one browser for all tests; a page and a notebook for each test."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.browser.harness.browser import launch
from tests.browser.harness.cells import STEPS, open_finder, start
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import TIMEOUT, Lab
from tests.browser.harness.pages import VIEWPORT, Pages
from tests.browser.harness.server import JupyterServer

HERE = Path(__file__).parent
FAILURES = HERE.parents[1] / "test-results"  # the page at each failure: its picture and its HTML

failed = pytest.StashKey[bool]()
# Playwright's default of five seconds is too short on a busy machine.
expect.set_options(timeout=TIMEOUT * 1000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("browser")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell the fixtures whether the test failed."""
    report = yield
    if report.failed:
        item.stash[failed] = True
    return report


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """Yield a JupyterLab server for all tests."""
    server = JupyterServer(tmp_path_factory.mktemp("jupyter"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """Yield a Chromium with an empty profile; its cache serves all tests."""
    with sync_playwright() as playwright:
        context = launch(
            playwright.chromium,
            tmp_path_factory.mktemp("profile"),
            viewport=VIEWPORT,
            permissions=["clipboard-read", "clipboard-write"],
        )
        context.set_default_timeout(TIMEOUT * 1000)
        yield context
        context.close()


@pytest.fixture
def page(context: BrowserContext, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Yield an empty page; fail the test on any uncaught error and any error in its console."""
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: note_error(message, errors))
    yield page
    if request.node.stash.get(failed, False):
        picture(page, request.node.name)
    page.close()
    assert errors == []


# Errors that are not ours: a page made by nbconvert asks for a widget's module in its own folder
# before it asks the CDN, and for mermaid, which no cell here needs; Voila asks for the extension of
# Notebook 7, which it does not serve.
NOT_OURS = re.compile(
    r"\(file://.*/(anywidget|bqplot|bqscales)\.js\)$|/mermaid/|/@jupyter-notebook/lab-extension/"
)


def note_error(message: ConsoleMessage, errors: list[str]) -> None:
    """Record an error message of the page with its location."""
    text = f"{message.text} ({message.location.get('url', '')})"
    if message.type == "error" and not NOT_OURS.search(text):
        errors.append(text)


def picture(page: Page, name: str) -> None:
    """Save a screenshot and the HTML of the page of a failed test."""
    FAILURES.mkdir(exist_ok=True)
    name = re.sub(r"\W+", "-", name)
    (FAILURES / f"{name}.html").write_text(page.content(), "utf-8")
    page.screenshot(path=FAILURES / f"{name}.png")


@pytest.fixture(scope="session")
def pages(context: BrowserContext) -> Pages:
    """Return the pages that the tests reuse."""
    return Pages(context)


@pytest.fixture
def lab(server: JupyterServer, pages: Pages, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Yield a notebook for JupyterLab; fail the test on any error in the page."""
    name = re.sub(r"\W+", "-", request.node.name)
    has_own_page = request.node.get_closest_marker("own_page") is not None
    lab = Lab(server, pages.take(fresh=has_own_page), name)
    yield lab
    has_failed = request.node.stash.get(failed, False)
    try:
        if has_failed:
            picture(lab.page, name)
    finally:
        lab.close(keep_kernel=not has_failed, keep_page=not (has_failed or has_own_page))
        pages.give_back(lab.aside or lab.page)
    assert not lab.errors, "the page wrote errors:\n" + "\n".join(lab.errors)


@pytest.fixture
def finished(lab: Lab) -> Finder:
    """Return a widget whose sweep has finished."""
    finder = open_finder(lab, allowed=STEPS)
    start(finder)
    finder.wait_for_state("finished")
    return finder
