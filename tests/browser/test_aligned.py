"""Everything in the chart is drawn at its rate on the axis, with a kernel and without one."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

from tests.browser.harness.aligned import RATES, Rates, misplaced
from tests.browser.harness.cells import STEPS, open_finder, start
from tests.browser.harness.lab import Lab
from tests.browser.test_saved import exported


def test_all_stands_at_its_rate_before_and_after_a_restart_and_from_what_was_saved(
    lab: Lab, page: Page, tmp_path: Path
) -> None:
    finder = open_finder(lab, allowed=STEPS, shell="lab")
    lab.save_widget_state()
    start(finder)
    finder.wait_for_state("finished")
    finder.wait_for_rows(STEPS)
    finder.type_lr("0.02")
    finder.wait_for_kernel(0.02)
    rates = Rates(**lab.kernel.value(RATES))
    found = {"with a kernel": misplaced(finder.root, rates)}
    lab.save()
    seen = exported(lab, page, tmp_path)
    seen.wait_for_points(STEPS)
    found["in an exported page"] = misplaced(seen.root, rates)
    lab.restart_kernel()
    finder.wait_for_text("No kernel")
    # JupyterLab shows a saved widget only if no kernel runs, so the kernel is shut down.
    lab.close_notebook(shut_down_kernel=True, save=False)
    lab.reopen_notebook()
    finder.wait_for_rows(STEPS)
    finder.wait_for_text("No kernel")
    found["opened as it was saved"] = misplaced(finder.root, rates)
    assert found == {place: {} for place in found}
