"""Where widgets are shown with packages of others: Shiny, Panel, marimo, shared documents.

Each is long because an environment is made for it. That rows stream, a pick reaches Python and a
page is reloaded is tested in `make test` by test_frontends.py and test_stream.py.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.harness.app import App
from tests.browser.harness.cells import SETUP, STEPS, WIDGET, finish_and_export, open_finder, start
from tests.browser.harness.environment import environment
from tests.browser.harness.frontends import serve_cdns
from tests.browser.harness.lab import Lab
from tests.browser.harness.pages import Pages
from tests.browser.harness.seen import TIMEOUT, Seen
from tests.browser.harness.server import JupyterServer

pytestmark = [pytest.mark.full, pytest.mark.process, pytest.mark.timeout(900)]

MADE = WIDGET.replace("\nw\n", "\n")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with all of them."""
    hosts = ("shiny", "shinywidgets", "panel", "ipywidgets-bokeh", "jupyter-collaboration")
    # With the scripts of their own that JupyterLab looks for in its own environment.
    ours = ("jupyterlab", "ipykernel", "anywidget", "bqplot")
    return environment(tmp_path_factory.mktemp("hosts"), *hosts, *ours)


@pytest.fixture(scope="module")
def marimo_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with marimo, which accepts no newer version of these."""
    folder = tmp_path_factory.mktemp("marimo")
    return environment(folder, "marimo", "anywidget", differing=("pymdown-extensions",))


@pytest.fixture
def serve(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., App]]:
    """Start an app. Asked for before the page, it ends after it, as the page of Shiny needs it."""
    apps: list[App] = []

    def start_app(source: str, *command: str, python: str = "python") -> App:
        app = App(tmp_path, source, *command, python=request.getfixturevalue(python))
        apps.append(app)
        app.allow("steps", 40)
        return app

    yield start_app
    for app in apps:
        app.close()


def wait_for_pick(seen: Seen) -> None:
    """Wait until page and Python have a rate near 0.01, which a drag may still move by pixels."""
    marker = seen.slider("Chosen learning rate")
    near = re.compile(r"learning rate (1e-2|9\.\de-3|1\.\d+e-2)$")
    expect(marker).to_have_attribute("aria-valuetext", near, timeout=TIMEOUT)
    for last in (False, False, True):
        lr = float((marker.get_attribute("aria-valuetext") or "").split()[-1])
        words = f"Python has {lr:.1e}"
        try:
            expect(seen.page.locator("body")).to_contain_text(words, timeout=TIMEOUT / 3)
            assert lr == pytest.approx(0.01, rel=0.05)
            return
        except AssertionError:
            if last:
                raise


def sweeps_and_takes_the_pick(app: App, seen: Seen) -> None:
    """Check that rows arrive while a step is held, and that Python has the rate of a drag."""
    seen.wait_for_state("Ready: 100 steps")
    seen.button("Start").click()
    seen.wait_for_points(40)
    seen.wait_for_state("Running.")
    app.allow("steps", STEPS)
    seen.wait_for_state("Finished.")
    seen.wait_for_points(STEPS)
    seen.drag_marker_to(0.5)
    wait_for_pick(seen)
    seen.button("Export").click()
    expect(seen.root).to_contain_text("use lr = w.lr instead", timeout=TIMEOUT)


SHINY = f"""
{SETUP}
from shiny import App, reactive, render, ui
from shinywidgets import output_widget, reactive_read, render_widget

app_ui = ui.page_fluid(
    output_widget("whole", height="auto"), ui.output_text("rate"), output_widget("clipped")
)

def server(input, output, session):
    def finder():
        global w
        exec({MADE!r}, globals())
        return w

    @render_widget
    def whole():
        return finder()

    @render_widget
    def clipped():
        return finder()

    # What a widget sends waits for the next round of reactions: without this, for the next click.
    @reactive.effect
    def rounds():
        reactive.invalidate_later(0.2)

    @render.text
    def rate():
        lr = reactive_read(whole.widget, "lr")
        return "Python has none" if lr is None else f"Python has {{lr:.1e}}"

app = App(app_ui, server)
"""
# Of the output around a widget: its own height, and the height of what is in it.
HEIGHTS = """
(root) => {
  const output = root.closest('.shiny-ipywidget-output');
  return [output.clientHeight, root.scrollHeight];
}
"""


def test_shiny_streams_and_takes_the_pick_and_shows_all_where_the_height_is_automatic(
    serve: Callable[..., App], page: Page
) -> None:
    app = serve(SHINY, "shiny", "run", "APP", "--port", "PORT")
    serve_cdns(page)
    page.goto(app.url, timeout=TIMEOUT)
    seen = Seen(page)
    sweeps_and_takes_the_pick(app, seen)
    output, needed = seen.root.evaluate(HEIGHTS)
    assert output >= needed > 400
    clipped = Seen(page, 1)
    clipped.wait_for_state("Ready")
    output, needed = clipped.root.evaluate(HEIGHTS)
    assert output == 400 < needed  # Shiny's own default, which the docs warn of


PANEL = f"""
{SETUP}
{MADE}
import panel as pn

pn.extension("ipywidgets")
rate = pn.pane.Str("Python has none")
w.observe(lambda change: rate.param.update(object=f"Python has {{change.new:.1e}}"), "lr")
pn.Column(pn.panel(w), rate).servable()
"""


def test_panel_streams_and_takes_the_pick(serve: Callable[..., App], page: Page) -> None:
    command = ("panel", "serve", "APP", "--port", "PORT", "--address", "127.0.0.1")
    app = serve(PANEL, *command)
    serve_cdns(page)
    page.goto(f"{app.url}/app", timeout=TIMEOUT)  # it runs the source first
    sweeps_and_takes_the_pick(app, Seen(page))


def cell(source: str) -> str:
    """Return the code of a cell of a marimo notebook."""
    return "@app.cell\ndef _():\n" + textwrap.indent(source, "    ") + "\n    return\n"


MARIMO = "\n".join(
    [
        "import marimo\napp = marimo.App(width='full')",
        cell(SETUP),
        cell(f"import marimo as mo\n{MADE}\nw = mo.ui.anywidget(w)"),
        cell("w"),
        cell("mo.md(f'Python has {w.lr:.1e}' if w.lr else 'Python has none')"),
        "if __name__ == '__main__':\n    app.run()",
    ]
)
SERVED = ("APP", "--headless", "--host", "127.0.0.1", "--port", "PORT", "--no-token")
CONFIG = '[tool.marimo.display]\ntheme = "{}"\n[tool.marimo.runtime]\nauto_instantiate = true\n'


@pytest.mark.parametrize(("theme", "surface"), [("light", 255), ("dark", 17)])
def test_marimo_draws_the_chart_and_runs_the_cells_that_read_the_rate(
    serve: Callable[..., App], page: Page, tmp_path: Path, theme: str, surface: int
) -> None:
    (tmp_path / "pyproject.toml").write_text(CONFIG.format(theme))
    app = serve(MARIMO, "marimo", "run", *SERVED, python="marimo_python")
    page.emulate_media(color_scheme="dark" if theme == "light" else "light")  # marimo's counts
    page.goto(app.url, timeout=TIMEOUT)
    seen = Seen(page)
    sweeps_and_takes_the_pick(app, seen)
    expect(seen.root).to_have_css("background-color", f"rgb({surface}, {surface}, {surface})")
    smoothed = seen.path("smoothed loss")
    seen.slider("Smoothing").press("Home")
    seen.wait_for_change(smoothed, "smoothed loss")
    seen.button("Copy").click()
    expect(seen.root).to_contain_text("Copied: lr = ", timeout=TIMEOUT)
    seen.root.locator("summary", has_text="Save").click()
    with page.expect_download(timeout=TIMEOUT) as download:
        seen.button("Save as SVG").click()
    assert seen.path("smoothed loss") in download.value.path().read_text("utf-8")
    app.allow("steps", 2 * STEPS)
    seen.button("Start").click()
    labels = seen.root.get_by_role("list", name="Runs").locator(".lrw-run-label")
    expect(labels).to_have_text(["run 1", "run 2"], timeout=TIMEOUT)
    seen.wait_for_state("Finished.")
    inactive = seen.root.locator("[data-style='0'] path.line")
    expect(inactive).to_have_attribute("d", re.compile("^M.*L"), timeout=TIMEOUT)


def test_marimo_keeps_a_sweep_over_a_reload_while_its_notebook_is_edited(
    serve: Callable[..., App], page: Page, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text(CONFIG.format("light"))
    app = serve(MARIMO, "marimo", "edit", *SERVED, python="marimo_python")
    page.goto(app.url, timeout=TIMEOUT)
    seen = Seen(page)
    seen.wait_for_state("Ready: 100 steps")
    seen.button("Start").click()
    seen.wait_for_points(40)
    page.reload()
    seen.wait_for_points(40)
    seen.wait_for_state("Running.")
    app.allow("steps", STEPS)
    seen.wait_for_state("Finished.")
    seen.wait_for_points(STEPS)
    # The marker is there already: a click on the rule's tick says that this rate is meant.
    expect(page.locator("body")).to_contain_text("Python has none")
    seen.root.get_by_role("button", name=re.compile("^auto")).click()
    expect(page.locator("body")).to_contain_text(re.compile(r"Python has \d"), timeout=TIMEOUT)


def test_a_document_that_several_may_edit_keeps_its_widget_over_a_reload(
    python: Path, pages: Pages, tmp_path: Path
) -> None:
    server = JupyterServer(tmp_path, python=python)
    lab = Lab(server, pages.take(fresh=True), "shared")
    try:
        finder = open_finder(lab, allowed=40, shell="lab")
        assert lab.page.evaluate("labTest.panel().model.collaborative")
        start(finder)
        finder.wait_for_rows(40)
        lab.reload()
        finder.wait_for_rows(40)
        smoothed = finder.mark("smoothed loss").path
        finder.slider("Smoothing").press("Home")
        lab.wait_for("the line moves", lambda: finder.mark("smoothed loss").path != smoothed)
        finish_and_export(finder)
        assert lab.errors == []
    finally:
        lab.close(keep_kernel=False)
        server.close()
