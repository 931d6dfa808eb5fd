"""The stream of rows from the kernel to the page."""

from __future__ import annotations

from tests.browser.harness.cells import (
    BUSY_INDEX,
    STEPS,
    finish_and_export,
    open_finder,
    open_second_view,
    start,
)
from tests.browser.harness.lab import Lab

# Resolves once JupyterLab has set all models to the kernel's state, as it does where a lost
# connection is back.
RECONNECT = """async () => {
  const manager = await labTest.manager();
  const restored = new Promise((resolve) => manager.restored.connect(() => { resolve(); }));
  await labTest.panel().sessionContext.session.kernel.reconnect();
  await restored;
}"""


def test_shows_an_idle_finder(lab: Lab) -> None:
    finder = open_finder(lab)
    for name in ("Start", "Export", "Copy"):
        assert finder.button(name).is_visible()
    for name in ("Smoothing", "Loss limit", "Chosen learning rate"):
        assert finder.slider(name).count() == 1
    for name in ("Learning rate", "Variable"):
        assert finder.field(name).is_visible()
    assert finder.progress.count() == 1
    assert finder.rows == []


def test_draws_while_another_cell_keeps_the_kernel_busy(lab: Lab) -> None:
    finder = open_finder(lab, allowed=10)
    start(finder)
    finder.wait_for_rows(10)
    lab.run_cell(BUSY_INDEX, wait=False)
    lab.wait_for("the kernel is busy", lambda: lab.is_busy(BUSY_INDEX))

    drawn = finder.mark("raw loss").path
    lab.allow("steps", 40)
    finder.wait_for_rows(40)
    lab.wait_for("the line grows", lambda: finder.mark("raw loss").path != drawn)
    lab.allow("steps", STEPS)
    finder.wait_for_state("finished")
    assert lab.is_busy(BUSY_INDEX)

    lab.allow("busy", 1)
    lab.wait_for_cell(BUSY_INDEX)
    assert len(finder.rows) == STEPS
    assert finder.rows == finder.kernel_rows


def test_a_reload_in_mid_sweep_loses_nothing(lab: Lab) -> None:
    finder = open_finder(lab, allowed=30)
    start(finder)
    finder.wait_for_rows(30)
    lab.reload()
    finder.wait_for_rows(30)
    assert finder.rows == finder.kernel_rows

    lab.allow("steps", STEPS)
    finder.wait_for_state("finished")
    finder.wait_for_rows(STEPS)
    assert finder.rows == finder.kernel_rows


def test_a_reload_while_rows_stream_loses_nothing(lab: Lab) -> None:
    finder = open_finder(lab, allowed=20)
    start(finder)
    finder.wait_for_rows(20)
    lab.save()
    lab.allow("steps", STEPS)
    lab.reload()
    finder.wait_for_state("finished")
    finder.wait_for_rows(STEPS)
    assert finder.rows == finder.kernel_rows


def test_a_reload_after_the_sweep_shows_everything(lab: Lab) -> None:
    finder = open_finder(lab, allowed=STEPS)
    start(finder)
    finder.wait_for_state("finished")
    lab.reload()
    finder.wait_for_rows(STEPS)
    assert finder.rows == finder.kernel_rows
    finder.wait_for_state("finished")
    assert finder.chosen == lab.kernel.value("w.lr")


def test_a_second_view_shows_everything(lab: Lab) -> None:
    finder = open_finder(lab, allowed=30, shell="lab")
    start(finder)
    finder.wait_for_rows(30)
    second = open_second_view(lab)
    second.wait_for_rows(30)

    lab.allow("steps", STEPS)
    for view in (finder, second):
        view.wait_for_state("finished")
        view.wait_for_rows(STEPS)
    assert second.rows == finder.rows == finder.kernel_rows


def test_what_one_view_sets_the_other_shows(lab: Lab) -> None:
    finder = open_finder(lab, allowed=STEPS, shell="lab")
    second = open_second_view(lab)
    start(second)
    finder.wait_for_state("finished")
    second.wait_for_state("finished")

    second.slider("Smoothing").press("Home")
    lab.wait_for(
        "the other view has the smoothing",
        lambda: finder.slider("Smoothing").input_value() == "0",
    )
    finder.type_lr("0.02")
    lab.wait_for("the other view has the rate", lambda: second.chosen == 0.02)


def test_a_second_run_starts_with_an_empty_table(lab: Lab) -> None:
    finder = open_finder(lab, allowed=STEPS)
    start(finder)
    finder.wait_for_state("finished")
    first = finder.rows
    finder.button("Start").click()
    lab.allow("steps", STEPS + 20)
    finder.wait_for_rows(20)
    lab.allow("steps", 2 * STEPS)
    finder.wait_for_state("finished")
    finder.wait_for_rows(STEPS)
    assert finder.rows == finder.kernel_rows
    assert [lr for lr, _ in finder.rows] == [lr for lr, _ in first]


def test_a_connection_that_is_back_leaves_the_chart_as_it_was(lab: Lab) -> None:
    finder = open_finder(lab, allowed=60)
    start(finder)
    finder.wait_for_rows(60)
    axes = finder.mark("smoothed loss")
    lab.page.evaluate(RECONNECT)
    finder.wait_for_rows(60)
    assert finder.rows == finder.kernel_rows
    lab.wait_for(
        "both axes are as they were",
        lambda: finder.mark("smoothed loss").y_range == axes.y_range,
    )
    finish_and_export(finder)
    lab.page.evaluate(RECONNECT)
    finder.wait_for_rows(STEPS)
    lab.wait_for("the marker is back", lambda: finder.chosen == lab.kernel.value("w.lr"))
