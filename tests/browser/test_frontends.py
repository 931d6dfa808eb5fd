"""Front ends other than JupyterLab: Notebook 7 and Voila."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from lrwidget.widget.bundle import STATIC
from tests.browser.harness.cells import SETUP, STEPS, WIDGET, finish_and_export, open_finder, start
from tests.browser.harness.frontends import serve_cdns
from tests.browser.harness.lab import Lab
from tests.browser.harness.seen import TIMEOUT, Seen
from tests.browser.harness.voila import Voila
from tests.widget.finder import finder


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


@pytest.mark.parametrize(("theme", "surface"), [("light", 255), ("dark", 17)])
def test_voila_has_the_colours_of_its_theme(
    voila: Voila, page: Page, theme: str, surface: int
) -> None:
    serve_cdns(page)
    page.goto(f"{voila.url}/?theme={theme}", timeout=TIMEOUT)
    seen = Seen(page)
    seen.wait_for_state("Ready")
    expect(seen.root).to_have_css("background-color", f"rgb({surface}, {surface}, {surface})")


# A front end such as marimo that supports anywidget but no other widget: it has no widget manager.
BARE_HOST = """
async ([source, traits]) => {
  const bundle = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
  const widget = await (await import(bundle)).default();
  const model = {
    get: (name) => traits[name], set() {}, save_changes() {}, send() {}, on() {}, off() {},
  };
  const { signal } = new AbortController();
  await widget.initialize({ model, signal });
  await widget.render({ model, el: document.body, signal });
}
"""


def traits() -> dict[str, Any]:
    """Return the state of an idle widget as a host receives it."""
    state = {k: v for k, v in finder().get_state().items() if k not in ("_esm", "_css")}
    values: dict[str, Any] = json.loads(json.dumps(state, default=lambda _: None))
    return values


def test_where_bqplot_cannot_be_shown_a_sentence_says_what_to_do(page: Page) -> None:
    page.evaluate(BARE_HOST, [(STATIC / "widget.js").read_text("utf-8"), traits()])
    expect(page.locator("body")).to_contain_text("cannot show a bqplot figure")
    expect(page.locator("body")).to_contain_text("Use lr_find(...) and records.plot() here")


# Like marimo 0.25: the manager returns a proxy for every model, which does not resolve references
# and can neither create a view nor save a state.
PROXY_HOST = """
async ([source, traits, row]) => {
  const bundle = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
  const widget = await (await import(bundle)).default();
  const proxy = (values, listeners) => ({
    get: (name) => values[name],
    set: (name, value) => { values[name] = value; },
    save_changes() {},
    send: () => Promise.resolve(),
    on: (event, listener) => { (listeners[event] ??= []).push(listener); },
    off() {},
    widget_manager: {
      get_model: async () => proxy({ marks: ['IPY_MODEL_a'], axes: ['IPY_MODEL_b'] }, {}),
    },
  });
  const listeners = {};
  const model = proxy(traits, listeners);
  const { signal } = new AbortController();
  await widget.initialize({ model, signal });
  await widget.render({ model, el: document.body, signal });
  // The first words of the kernel name the model that is saved.
  for (const listen of listeners['msg:custom']) {
    listen({ type: 'sync', run: 1, offset: 0, model_id: 'w', state: 'finished', step: 1 },
      [new DataView(Float64Array.from(row).buffer)]);
  }
  await new Promise(requestAnimationFrame);
}
"""


def test_where_a_manager_answers_for_any_model_the_sentence_is_said_too(page: Page) -> None:
    page.evaluate(PROXY_HOST, [(STATIC / "widget.js").read_text("utf-8"), traits(), [1e-3, 2.0]])
    expect(page.locator("body")).to_contain_text("cannot show a bqplot figure")
    expect(page.locator("body")).to_contain_text("Use lr_find(...) and records.plot() here")


def test_a_manager_that_makes_views_but_knows_no_marks_is_told_from_one_that_does(
    page: Page,
) -> None:
    host = PROXY_HOST.replace("get_model:", "create_view: () => { throw Error(); }, get_model:")
    page.evaluate(host, [(STATIC / "widget.js").read_text("utf-8"), traits(), [1e-3, 2.0]])
    expect(page.locator("body")).to_contain_text("cannot show a bqplot figure")
