"""Start, Pause, Resume, Stop, and an exception in a model."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.harness.cells import SETUP, STEPS, open_finder, start
from tests.browser.harness.lab import Lab

FAILING = SETUP.replace(
    "return cross_entropy(output, target)",
    """if len(w.records) == 20:
        raise ValueError("the batch is bad")
    return cross_entropy(output, target)""",
)


def test_a_sweep_leaves_the_model_as_it_was(lab: Lab) -> None:
    finder = open_finder(lab, allowed=10)
    start(finder)
    finder.wait_for_rows(10)
    assert len(lab.kernel.value("threads()")) == 2
    lab.allow("steps", STEPS)
    finder.wait_for_state("finished")
    assert lab.kernel.value("w.state") == "finished"
    assert lab.kernel.value("w.wait().stop_reason") == "finished"
    assert lab.kernel.value("model_is_as_before()")
    lab.wait_for("the run's threads have ended", lambda: lab.kernel.value("threads()") == [])
    assert finder.progress.get_attribute("aria-valuenow") in {"100", "1"}


def test_pause_holds_and_resume_goes_on(lab: Lab) -> None:
    finder = open_finder(lab, allowed=10)
    start(finder)
    finder.wait_for_rows(10)
    finder.button("Pause").click()
    finder.wait_for_pause()
    lab.allow("steps", STEPS)  # the current step ends, and no other begins
    finder.wait_for_state("paused")
    assert lab.kernel.value("w.state") == "paused"
    held = finder.kernel_rows
    finder.wait_for_rows(len(held))
    assert 10 <= len(held) < STEPS

    finder.button("Resume").click()
    finder.wait_for_state("finished")
    assert finder.rows[: len(held)] == held
    assert finder.rows == finder.kernel_rows
    assert len(finder.rows) == STEPS


def test_stop_keeps_the_rows_and_restores_the_model(lab: Lab) -> None:
    finder = open_finder(lab, allowed=30)
    start(finder)
    finder.wait_for_rows(30)
    finder.button("Stop").click()
    lab.wait_for(
        "Stop has arrived", lambda: lab.kernel.value("w._run_list.active._runner._stop.is_set()")
    )
    lab.allow("steps", STEPS)
    finder.wait_for_state("stopped")
    assert lab.kernel.value("w.state") == "stopped"
    assert lab.kernel.value("model_is_as_before()")
    rows = finder.kernel_rows
    assert 30 <= len(rows) < STEPS
    finder.wait_for_rows(len(rows))
    assert finder.rows == rows


def test_an_exception_in_the_model_is_shown_and_the_model_restored(lab: Lab) -> None:
    finder = open_finder(lab, allowed=STEPS, setup=FAILING)
    start(finder)
    finder.wait_for_state("failed")
    assert "ValueError: the batch is bad" in finder.root.inner_text()
    assert "in loss_fn" not in finder.root.inner_text()
    finder.root.get_by_text("Traceback").first.click()
    lab.wait_for("the traceback is shown", lambda: "in loss_fn" in finder.root.inner_text())

    assert lab.kernel.value("w.state") == "failed"
    assert lab.kernel.value("w.error") == "ValueError: the batch is bad"
    assert lab.kernel.value("model_is_as_before()")
    assert len(finder.rows) == 20
    assert finder.rows == finder.kernel_rows
    lab.kernel.run(
        """
        try:
            w.wait()
        except ValueError as error:
            raised = str(error)
        """
    )
    assert lab.kernel.value("raised") == "the batch is bad"


def test_a_sweep_whose_cell_was_run_again_is_stopped_as_its_refusal_says(lab: Lab) -> None:
    finder = open_finder(lab, allowed=20)
    start(finder)
    finder.wait_for_rows(20)
    lab.run_cell(1)
    finder.wait_until_drawn()
    finder.button("Start").click()
    finder.wait_for_text("is being swept already; wait for that sweep to end, or stop it")
    finder.wait_for_text("Out[n]")
    assert lab.kernel.value("[o.stop() for o in Out.values() if o is not w]") == [None]
    lab.allow("steps", STEPS)
    states = "[o.state for o in Out.values() if o is not w]"
    lab.wait_for("it has stopped", lambda: lab.kernel.value(states) == ["stopped"])


def test_a_sweep_whose_cell_was_run_again_is_stopped_by_one_click(lab: Lab) -> None:
    finder = open_finder(lab, allowed=20)
    start(finder)
    finder.wait_for_rows(20)
    lab.kernel.run("old = w")
    lab.run_cell(1)
    finder.wait_until_drawn()
    expect(finder.button("Stop the other sweep")).to_be_hidden()
    finder.button("Start").click()
    finder.button("Stop the other sweep").click()
    finder.wait_for_text("The other sweep ends after its current step")
    expect(finder.button("Stop the other sweep")).to_be_hidden()
    expect(finder.button("Start")).to_be_focused()
    lab.allow("steps", 2 * STEPS)
    lab.wait_for("it has stopped", lambda: lab.kernel.value("old.state") == "stopped")
    finder.button("Start").click()
    finder.wait_for_state("finished")
    expect(finder.root).not_to_contain_text("ends after its current step")
    expect(finder.button("Stop the other sweep")).to_be_hidden()
    assert lab.kernel.value("model_is_as_before()")


def test_a_double_click_on_start_pauses_nothing(lab: Lab) -> None:
    finder = open_finder(lab)
    start_button = finder.button("Start").bounding_box()
    assert start_button is not None
    x, y = start_button["x"] + 30, start_button["y"] + 10
    mouse = lab.page.mouse
    mouse.click(x, y)
    finder.button("Pause").wait_for()  # in the place of Start
    mouse.down(click_count=2)
    mouse.up(click_count=2)
    lab.allow("steps", 20)
    finder.wait_for_rows(20)
    assert lab.kernel.value("w.state") == "running"
    mouse.click(x, y)
    finder.wait_for_pause()
