"""Several runs in one chart: variants, labels, visibility, the active run, reloads."""

from __future__ import annotations

import time
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.harness.axe import violations
from tests.browser.harness.cells import STEPS, open_finder, open_second_view
from tests.browser.harness.clicks import click_at
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import TIMEOUT, Lab

# The rows, by run, that the page's widget model would save.
SAVED = """
async (root, id) => {
  const model = await (await labTest.manager()).get_model(id);
  const pairs = ({ buffer, byteOffset, byteLength }) =>
    Array.from(new Float64Array(buffer.slice(byteOffset, byteOffset + byteLength)));
  return Object.fromEntries(model.get_state()._runs.map(({ run, data }) => [run, pairs(data)]));
}
"""
DASHES = """
(root) => Array.from(root.querySelectorAll('[data-style] path.line'), (path) => {
  const { strokeDasharray, stroke } = getComputedStyle(path);
  return [path.closest('[data-style]').dataset.style, strokeDasharray, stroke,
          path.getAttribute('d') ?? ''];
}).filter(([, , , d]) => d.length > 1)
"""
SAMPLES = """
(root) => Array.from(root.querySelectorAll('.lrw-legend line:not([data-style=active])'), (line) => {
  const { strokeDasharray, stroke } = getComputedStyle(line);
  return [line.dataset.style, strokeDasharray, stroke];
})
"""


def legend(finder: Finder) -> Locator:
    return finder.root.get_by_role("list", name="Runs")


def labels(finder: Finder) -> list[str]:
    names = legend(finder).locator(".lrw-run-label").all_inner_texts()
    return [name.strip() for name in names]


def active(finder: Finder) -> str:
    current = legend(finder).locator("[aria-current=true]")
    return str(current.get_attribute("aria-label")).removeprefix("Use ")


def run(finder: Finder, options: str = "") -> None:
    """Run a sweep to its end from the kernel."""
    finder.lab.allow("steps", 100 * STEPS)
    finder.lab.kernel.run(f"w.start({options})\nw.wait()")


def wait_for_labels(finder: Finder, *wanted: str) -> None:
    finder.lab.wait_for("the labels", lambda: labels(finder) == list(wanted))


def drawn_beside(finder: Finder) -> list[str]:
    """Return the styles in which the inactive runs are drawn."""
    return [style for style, *_ in finder.root.evaluate(DASHES)]


def wait_for_all_rows(finder: Finder) -> None:
    """Wait until the page has exactly the rows of all runs of the kernel."""
    kernels = finder.lab.kernel.value(
        "{number: run.records.rows().ravel().tolist() for number, run in w._run_list.kept.items()}"
    )

    def comparable(runs: dict[str, list[float]]) -> dict[str, list[str]]:
        return {run: [repr(float(value)) for value in rows] for run, rows in runs.items()}

    finder.lab.wait_for(
        "the rows of all runs",
        lambda: comparable(finder.root.evaluate(SAVED, finder._model_id)) == comparable(kernels),
    )


@pytest.fixture
def three(lab: Lab) -> Finder:
    """Return a widget with a run and two variants of it, the last one active."""
    finder = open_finder(lab)
    run(finder)
    run(finder, "batch_size=128")
    run(finder, "label='up to 100', end_lr=100.0")
    wait_for_labels(finder, "run 1", "batch_size=128", "up to 100")
    return finder


def test_a_single_run_has_no_legend(lab: Lab) -> None:
    finder = open_finder(lab, allowed=STEPS)
    expect(legend(finder)).to_be_hidden()
    finder.button("Start").click()
    finder.wait_for_state("finished")
    expect(legend(finder)).to_be_hidden()


def test_variants_are_lines_beside_each_other(lab: Lab, three: Finder) -> None:
    assert active(three) == "up to 100"
    lab.wait_for("two lines beside", lambda: drawn_beside(three) == ["0", "1"])
    # The x axis spans the rates of all runs.
    assert three.mark("raw loss").x_range == pytest.approx([1e-5, 100.0])
    three.button("Use run 1").click()
    lab.wait_for("run 1 is active", lambda: active(three) == "run 1")
    assert three.mark("raw loss").x_range == pytest.approx([1e-5, 100.0])
    assert three.rows == three.kernel_rows
    assert lab.kernel.value("w.records is w.runs[0]")
    three.wait_for_kernel(lab.kernel.value("w.runs[0].suggestion.lr"))
    assert drawn_beside(three) == ["1", "2"]
    wait_for_all_rows(three)


def test_lines_and_legend_have_the_same_pattern_and_no_two_the_same(three: Finder) -> None:
    for _ in range(5):
        run(three)
    three.lab.wait_for("eight runs", lambda: len(labels(three)) == 8)
    three.lab.wait_for("seven lines", lambda: len(drawn_beside(three)) == 7)
    lines = [line[:3] for line in three.root.evaluate(DASHES)]
    assert lines == three.root.evaluate(SAMPLES)
    for part in (0, 1, 2):
        assert len({line[part] for line in lines}) == 7
    assert "none" not in {dash for _, dash, _ in lines}
    three.lab.kernel.run("for _ in range(8): w.add(w.records)")
    three.lab.wait_for("fifteen lines", lambda: len(drawn_beside(three)) == 15)
    lines = [line[:3] for line in three.root.evaluate(DASHES)]
    assert lines == three.root.evaluate(SAMPLES)
    assert len({(dash, colour) for _, dash, colour in lines}) == 15


def test_hidden_runs_are_not_drawn_and_stay_hidden(lab: Lab, three: Finder) -> None:
    show = three.button("Show run 1")
    expect(show).to_have_attribute("aria-pressed", "true")
    show.click()
    expect(show).to_have_attribute("aria-pressed", "false")
    lab.wait_for("one line beside", lambda: drawn_beside(three) == ["1"])
    lab.save()
    lab.reload()
    three.wait_until_drawn()
    wait_for_labels(three, "run 1", "batch_size=128", "up to 100")
    expect(three.button("Show run 1")).to_have_attribute("aria-pressed", "false")
    assert drawn_beside(three) == ["1"]
    # The active run is always drawn; a hidden run that becomes active is shown again.
    three.button("Show up to 100").click(force=True)
    expect(three.button("Show up to 100")).to_have_attribute("aria-pressed", "true")
    three.button("Use run 1").click()
    lab.wait_for("run 1 is active", lambda: active(three) == "run 1")
    expect(three.button("Show run 1")).to_have_attribute("aria-pressed", "true")


def test_a_pick_survives_another_run(lab: Lab, three: Finder) -> None:
    three.type_lr("0.02")
    lab.wait_for("the kernel has it", lambda: lab.kernel.value("w.lr") == 0.02)
    three.button("Use run 1").click()
    lab.wait_for("run 1 is active", lambda: active(three) == "run 1")
    run(three, "label='again'")
    wait_for_labels(three, "run 1", "batch_size=128", "up to 100", "again")
    assert three.chosen == 0.02 == lab.kernel.value("w.lr")


def test_rename_and_remove_by_keyboard(lab: Lab, three: Finder) -> None:
    three.button("Rename batch_size=128").press("Enter")
    field = three.field("Label of batch_size=128")
    expect(field).to_be_focused()
    field.fill("not this")
    field.press("Escape")
    assert labels(three) == ["run 1", "batch_size=128", "up to 100"]
    rename = three.button("Rename batch_size=128")
    expect(rename).to_be_focused()
    rename.press("Enter")
    field.fill("wide")
    field.press("Enter")
    wait_for_labels(three, "run 1", "wide", "up to 100")
    assert lab.kernel.value("[r.meta['label'] for r in w.runs]") == ["run 1", "wide", "up to 100"]

    three.button("Remove wide").press("Enter")
    wait_for_labels(three, "run 1", "up to 100")
    assert lab.kernel.value("len(w.runs)") == 2
    expect(three.button("Show up to 100")).to_be_focused()
    wait_for_all_rows(three)
    three.button("Remove up to 100").press("Enter")
    lab.wait_for("run 1 is active", lambda: three.rows == three.kernel_rows)
    assert lab.kernel.value("w.runs[0].meta['label']") == "run 1"
    # The legend is hidden, and the focus has moved to the marker.
    expect(legend(three)).to_be_hidden()
    expect(three.slider("Chosen learning rate")).to_be_focused()


def test_a_double_click_removes_one_run(lab: Lab) -> None:
    finder = open_finder(lab)
    for _ in range(3):
        run(finder)
    wait_for_labels(finder, "run 1", "run 2", "run 3")
    remove = finder.button("Remove run 1")
    remove.scroll_into_view_if_needed()
    box = remove.bounding_box()
    assert box is not None
    at = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    lab.page.mouse.click(*at)
    wait_for_labels(finder, "run 2", "run 3")
    under = "([x, y]) => document.elementFromPoint(x, y).closest('button').ariaLabel"
    assert lab.page.evaluate(under, at) == "Remove run 2"
    lab.page.mouse.down(click_count=2)
    lab.page.mouse.up(click_count=2)
    assert lab.kernel.value("len(w.runs)") == 2


def test_a_double_click_on_the_last_remove_moves_no_slider_that_comes_under_it(lab: Lab) -> None:
    finder = open_finder(lab)
    run(finder)
    run(finder, "batch_size=128")
    smoothing = finder.slider("Smoothing")
    smoothing.scroll_into_view_if_needed()
    box = finder.button("Remove run 1").bounding_box()
    slider = smoothing.bounding_box()
    assert box is not None
    assert slider is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + 10
    assert slider["x"] < x < slider["x"] + slider["width"]
    now = time.time()
    click_at(lab, x, y, now)
    expect(legend(finder)).to_be_hidden()
    at = "([x, y]) => document.elementFromPoint(x, y).getAttribute('aria-label')"
    lab.wait_for("a slider", lambda: lab.page.evaluate(at, [x, y]) == "Smoothing")
    click_at(lab, x, y, now + 0.2, count=2)
    assert smoothing.input_value() == "0.9"


def test_while_a_run_is_under_way_it_is_the_active_one(lab: Lab, three: Finder) -> None:
    lab.kernel.run("gate = Gate('more')")  # no step may pass yet
    three.button("Start").click()
    wait_for_labels(three, "run 1", "batch_size=128", "up to 100", "run 4")
    assert active(three) == "run 4"
    for name in ("Use run 1", "Remove run 1"):
        expect(three.button(name)).to_have_attribute("aria-disabled", "true")
    three.button("Use run 1").click(force=True)
    three.button("Show run 1").click()
    lab.wait_for("its line is hidden", lambda: "0" not in drawn_beside(three))
    lab.allow("more", STEPS)
    three.wait_for_state("finished")
    assert active(three) == "run 4"
    three.wait_for_rows(STEPS)


def test_a_reload_and_a_second_view_show_every_run(lab: Lab) -> None:
    finder = open_finder(lab, shell="lab")
    run(finder, "repeats=2, steps=40")
    run(finder)
    lab.kernel.run("from lrwidget import LRRecords\nw.add(w.runs[0], label='added')")
    wait_for_labels(finder, "repeats=2, steps=40", "run 2", "added")
    wait_for_all_rows(finder)
    lines = finder.root.evaluate(DASHES)
    second = open_second_view(lab)
    wait_for_labels(second, "repeats=2, steps=40", "run 2", "added")
    assert [line[:3] for line in second.root.evaluate(DASHES)] == [line[:3] for line in lines]
    second.button("Show added").click()
    expect(finder.button("Show added")).to_have_attribute("aria-pressed", "false")


def test_a_reload_brings_every_row_of_every_run_back(lab: Lab, three: Finder) -> None:
    lab.reload()
    three.wait_until_drawn()
    wait_for_labels(three, "run 1", "batch_size=128", "up to 100")
    wait_for_all_rows(three)
    assert drawn_beside(three) == ["0", "1"]
    assert three.rows == three.kernel_rows
    assert active(three) == "up to 100"


def test_hover_names_the_run_that_is_nearest(lab: Lab, three: Finder) -> None:
    three.slider("Smoothing").press("Home")
    three.root.scroll_into_view_if_needed()
    plot = three.root.locator(".plotarea_background").bounding_box()
    assert plot is not None
    tip = three.root.locator(".lrw-tip:visible").first
    seen = set()
    for part in range(1, 40):
        lab.page.mouse.move(
            plot["x"] + plot["width"] * 0.62, plot["y"] + plot["height"] * part / 40
        )
        expect(tip).to_be_visible(timeout=TIMEOUT * 1000)
        name, step, lr, *_ = tip.inner_text().split("\n")
        assert step.startswith("step ")
        assert lr.startswith("lr ")
        seen.add(name)
    assert len(seen) >= 2
    assert seen <= set(labels(three))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_a_legend_of_eight(lab: Lab, three: Finder, theme: Any) -> None:
    for _ in range(5):
        run(three)
    three.button("Show run 1").click()
    three.button("Rename batch_size=128").click()
    lab.theme(theme)
    assert violations(lab.page) == []
