"""Closed and opened again: with the kernel alive, and after its end from what was saved."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.harness.cells import STEPS, open_finder, start
from tests.browser.harness.lab import Lab


def test_reopened_with_its_kernel_all_is_there_and_goes_on(lab: Lab) -> None:
    finder = open_finder(lab, allowed=30, shell="lab")
    start(finder)
    finder.wait_for_rows(30)
    finder.type_lr("0.02")
    finder.wait_for_kernel()
    lab.close_notebook()
    lab.allow("steps", 60)  # the sweep goes on where nobody looks
    lab.wait_for("60 steps", lambda: lab.kernel.value("len(w.records)") == 60)
    lab.reopen_notebook()
    finder.wait_for_rows(60)
    assert finder.rows == finder.kernel_rows
    assert finder.chosen == 0.02
    finder.wait_for_state("running")
    lab.allow("steps", STEPS)
    finder.wait_for_state("finished")
    finder.wait_for_rows(STEPS)
    assert finder.rows == finder.kernel_rows
    # The user's pick has stood all the way, and still moves.
    assert finder.chosen == lab.kernel.value("w.lr") == 0.02
    finder.type_lr("0.03")
    lab.wait_for("the new pick", lambda: lab.kernel.value("w.lr") == 0.03)


def test_reopened_after_the_kernels_end_the_saved_state_shows_the_curve(lab: Lab) -> None:
    finder = open_finder(lab, allowed=STEPS, shell="lab")
    lab.save_widget_state()
    start(finder)
    finder.wait_for_state("finished")
    finder.wait_for_rows(STEPS)
    rows, chosen, smoothed = finder.kernel_rows, finder.chosen, finder.mark("smoothed loss").path
    lab.close_notebook(shut_down_kernel=True)
    lab.reopen_notebook()
    finder.wait_for_rows(STEPS)
    assert finder.rows == rows
    assert finder.chosen == chosen
    finder.wait_for_state("finished")
    finder.wait_for_text("No kernel")
    expect(finder.button("Start")).to_be_disabled()

    finder.slider("Smoothing").press("Home")
    lab.wait_for("the line moves", lambda: finder.mark("smoothed loss").path != smoothed)
    finder.slider("Chosen learning rate").press("End")
    lab.wait_for("the marker moves", lambda: finder.chosen == rows[-1][0])
