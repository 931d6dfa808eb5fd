"""Front ends other than JupyterLab: Notebook 7 and Voila."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.harness.cells import SETUP, STEPS, WIDGET, finish_and_export, open_finder, start
from tests.browser.harness.frontends import serve_cdns
from tests.browser.harness.lab import Lab
from tests.browser.harness.seen import TIMEOUT, Seen
from tests.browser.harness.voila import Voila


def test_notebook_7_runs_a_sweep_and_keeps_it_over_a_reload(lab: Lab) -> None:
    finder = open_finder(lab, allowed=30, shell="notebook7")
    start(finder)
    finder.wait_for_rows(30)
    lab.reload()
    finder.wait_for_rows(30)
    finish_and_export(finder)
    lab.allow("steps", 2 * STEPS)
    lab.kernel.run("w.start(label='again')\n_ = w.wait()")
    labels = finder.root.get_by_role("list", name="Runs").locator(".lrw-run-label")
    expect(labels).to_have_text(["run 1", "again"], timeout=TIMEOUT)


@pytest.fixture(scope="module")
def voila(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Voila]:
    """Yield a server of a notebook that shows an idle widget."""
    voila = Voila(tmp_path_factory.mktemp("voila"), SETUP, WIDGET)
    yield voila
    voila.close()


def test_voila_streams_and_takes_the_pick(voila: Voila, page: Page) -> None:
    voila.allow("steps", 40)
    serve_cdns(page)
    page.goto(voila.url, timeout=TIMEOUT)  # Voila runs the notebook before it answers
    seen = Seen(page)
    seen.wait_for_state("Ready: 100 steps")
    seen.button("Start").click()
    seen.wait_for_points(40)  # during the sweep: the gate stops its 41st step
    seen.wait_for_state("Running.")
    voila.allow("steps", STEPS)
    seen.wait_for_state("Finished.")
    seen.wait_for_points(STEPS)
    seen.drag_marker_to(0.5)
    expect(seen.slider("Chosen learning rate")).to_have_attribute(
        "aria-valuetext", "learning rate 1e-2"
    )
    kernel = voila.kernel()
    try:
        deadline = time.monotonic() + TIMEOUT / 1000
        while kernel.value("w.lr") != pytest.approx(0.01, rel=0.05):  # the move may be in transit
            assert time.monotonic() < deadline, kernel.value("w.lr")
        assert kernel.value("len(w.records)") == STEPS
        voila.allow("steps", 2 * STEPS)
        seen.button("Start").click()
        labels = seen.root.get_by_role("list", name="Runs").locator(".lrw-run-label")
        expect(labels).to_have_text(["run 1", "run 2"], timeout=TIMEOUT)
    finally:
        kernel.close()


@pytest.mark.parametrize(
    ("theme", "surface"), [pytest.param("light", 255, marks=pytest.mark.full), ("dark", 17)]
)
def test_voila_has_the_colours_of_its_theme(
    voila: Voila, page: Page, theme: str, surface: int
) -> None:
    serve_cdns(page)
    page.goto(f"{voila.url}/?theme={theme}", timeout=TIMEOUT)
    seen = Seen(page)
    seen.wait_for_state("Ready")
    expect(seen.root).to_have_css("background-color", f"rgb({surface}, {surface}, {surface})")
