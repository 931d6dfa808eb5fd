"""A notebook executed without a page and exported to HTML works without a kernel."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import Page, expect

from tests.browser.harness.axe import UNFOLD, violations
from tests.browser.harness.cells import SETUP as GATED
from tests.browser.harness.cells import STEPS, WIDGET
from tests.browser.harness.frontends import serve_cdns
from tests.browser.harness.seen import Seen

SETUP = GATED.replace('gate = Gate("steps")', "").replace("gate.pass_through()", "pass")
SETUP = SETUP.replace("from steps import Gate", "import json, os, time")
# The error's message and its traceback contain the absolute path of a file.
FAILING = """
def open_missing(output, target):
    if len(failed.records) == 20:
        open(os.path.abspath("missing.txt"))
    return cross_entropy(output, target)

failed = LRFinderWidget(model, optimizer, open_missing, data, start_lr=1e-5, end_lr=1.0, seed=0)
failed.start()
while failed.state == "running":
    time.sleep(0.01)
failed
"""
CELLS = [
    SETUP,
    WIDGET,
    "w.start()\nrecords = w.wait()",
    "_ = w.check(steps=20)\n_ = w.wait()",
    FAILING,
    """
with open("rows.json", "w") as file:
    json.dump(records.rows().tolist(), file)
""",
]
TELLTALE = "telltale-folder"
SECRETS = {"TELLTALE_TOKEN": "secret-5f0c1d", "WANDB_API_KEY": "secret-77ab9e"}


def notebook() -> nbformat.NotebookNode:
    """Return the notebook before it is executed."""
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in CELLS]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a notebook that `jupyter nbconvert` has executed there, and its HTML."""
    folder = tmp_path_factory.mktemp(TELLTALE)
    nbformat.write(notebook(), folder / "notebook.ipynb")
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to", "notebook", "--inplace"]
    command += ["notebook.ipynb"]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | SECRETS,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    exported(folder, "lab")
    return folder


def exported(folder: Path, template: str) -> Path:
    """Export the notebook in a folder with one of nbconvert's templates, and return the file."""
    html, _ = HTMLExporter(template_name=template).from_filename(folder / "notebook.ipynb")
    file = folder / f"{template}.html"
    file.write_text(html, "utf-8")
    return file


@pytest.fixture
def recorded(page: Page, folder: Path) -> Seen:
    """Return the widget in the exported page, with its line drawn."""
    return opened(page, folder / "lab.html")


def opened(page: Page, file: Path) -> Seen:
    """Return the first widget of an exported page once both widgets are drawn."""
    serve_cdns(page)
    page.goto(file.as_uri())
    Seen(page, 1).wait_for_points(20)
    seen = Seen(page)
    seen.wait_for_points(STEPS)
    return seen


def test_the_recorded_curve_is_there_to_the_last_row(folder: Path, recorded: Seen) -> None:
    rows = json.loads((folder / "rows.json").read_text())
    recorded.wait_for_state("Finished.")
    assert (
        recorded.root.get_by_role("progressbar").get_attribute("aria-valuetext")
        == "step 100 of 100"
    )
    for step in (1, 37, STEPS):
        said = recorded.hover(step / STEPS)
        lr, loss = (float(re.search(rf"^{name} (\S+)", said, re.M)[1]) for name in ("lr", "loss"))
        assert said.startswith(f"step {step}\n")
        assert [lr, loss] == pytest.approx(rows[step - 1], rel=1e-2)


def test_how_it_is_looked_at_is_up_to_the_reader(recorded: Seen) -> None:
    smoothed = recorded.path("smoothed loss")
    recorded.slider("Smoothing").press("Home")
    recorded.wait_for_change(smoothed, "smoothed loss")
    raw = recorded.path("raw loss")
    assert recorded.path("smoothed loss") == raw  # smoothing is off
    recorded.slider("Loss limit").press("PageDown")
    recorded.wait_for_change(raw, "raw loss")
    recorded.root.get_by_label("Raw loss", exact=True).uncheck()
    expect(recorded.line("raw loss")).to_be_hidden()


def test_the_marker_moves_and_its_rate_can_be_copied(recorded: Seen) -> None:
    recorded.drag_marker_to(0.5)
    marker = recorded.slider("Chosen learning rate")
    expect(marker).to_have_attribute("aria-valuetext", re.compile(r"rate (9\.9e-3|1e-2)$"))
    marker.press("Home")
    expect(marker).to_have_attribute("aria-valuetext", "learning rate 1e-5")
    recorded.button("Copy").click()
    expect(recorded.root).to_contain_text("Copied: lr = 0.00001")


def test_what_needs_a_kernel_is_off_and_it_is_said_why(recorded: Seen) -> None:
    for name in ("Start", "Refine", "Export"):
        expect(recorded.button(name)).to_be_disabled()
    expect(recorded.root).to_contain_text("No kernel: this is the recorded curve.")


def test_the_check_and_a_failed_run_are_shown(recorded: Seen, page: Page) -> None:
    expect(recorded.root.get_by_role("table", name="Checked rates")).to_contain_text("best")
    assert recorded.root.locator("[role=img] path.lrw-trial").count() == 3
    failed = Seen(page, 1)
    failed.wait_for_state("Failed at step 20 of 100")
    failed.wait_for_points(20)
    failed.root.get_by_text("Traceback", exact=True).locator("visible=true").click()
    expect(failed.root.get_by_role("group", name="Traceback")).to_contain_text("in open_missing")


def test_nothing_in_the_page_tells_where_it_was_made(folder: Path) -> None:
    html = (folder / "lab.html").read_text()
    shared = html + "\n".join(strings(json.loads(saved_state(html))))
    assert "missing.txt" in shared  # the failure is saved
    root = Path(__file__).parents[2]
    places = {TELLTALE, str(folder), str(root), str(Path.home()), sys.prefix, "site-packages"}
    assert {place for place in places if place in shared} == set()
    values = {
        os.environ.get(name, "") for name in ("PATH", "VIRTUAL_ENV", "PWD", "USER", "HOSTNAME")
    }
    values |= set(SECRETS) | set(SECRETS.values())
    assert {value for value in values if len(value) > 4 and value in shared} == set()


def saved_state(html: str) -> str:
    """Return the JSON of all widgets in a page."""
    kind = re.escape("application/vnd.jupyter.widget-state+json")
    found = re.search(rf'<script type="{kind}">(.*?)</script>', html, re.DOTALL)
    assert found
    return found[1]


def strings(value: object) -> list[str]:
    """Return all strings in a JSON value."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return [text for part in value for text in strings(part)] if isinstance(value, list) else []


def test_where_a_page_has_no_theme_the_systems_is_followed(page: Page, folder: Path) -> None:
    file = exported(folder, "classic")
    serve_cdns(page)
    found = {}
    for scheme, surface in {"light": "rgb(255, 255, 255)", "dark": "rgb(17, 17, 17)"}.items():
        page.emulate_media(color_scheme=scheme)
        seen = opened(page, file)
        expect(seen.root).to_have_css("background-color", surface)
        seen.root.evaluate(UNFOLD)
        found[scheme] = violations(page)
    assert found == {"light": [], "dark": []}
