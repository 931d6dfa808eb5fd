"""Closing and reopening a notebook: with its kernel alive, and from the saved state afterwards."""

from __future__ import annotations

import re
from pathlib import Path

from nbconvert import HTMLExporter
from playwright.sync_api import Page, expect

from lrwidget.text.numbers import rate_in_words
from tests.browser.harness.cells import SETUP, STEPS, WIDGET, open_finder, start
from tests.browser.harness.finder import Finder
from tests.browser.harness.frontends import serve_cdns
from tests.browser.harness.lab import TIMEOUT, Lab
from tests.browser.harness.seen import Seen

CUT_OFF = "No kernel: this is the recorded curve, cut off in mid-run."


def test_reopened_with_its_kernel_all_is_there_and_goes_on(lab: Lab) -> None:
    finder = open_finder(lab, allowed=30, shell="lab")
    start(finder)
    finder.wait_for_rows(30)
    finder.type_lr("0.02")
    finder.wait_for_kernel(0.02)
    lab.close_notebook()
    lab.allow("steps", 60)  # the sweep continues while the notebook is closed
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
    # The user's pick was kept and can still be changed.
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


def exported(lab: Lab, page: Page, folder: Path) -> Seen:
    """Return the widget in a page that nbconvert makes of the saved notebook."""
    html, _ = HTMLExporter().from_filename(str(lab.folder / "notebook.ipynb"))
    file = folder / "notebook.html"
    file.write_text(html)
    serve_cdns(page)
    page.goto(file.as_uri())
    return Seen(page)


def test_saved_in_mid_sweep_the_rows_so_far_are_shown_with_no_kernel(
    lab: Lab, page: Page, tmp_path: Path
) -> None:
    finder = open_finder(lab, allowed=30, shell="lab")
    lab.save_widget_state()
    start(finder)
    finder.wait_for_rows(30)
    finder.type_lr("0.02")
    finder.wait_for_kernel(0.02)
    rows = finder.kernel_rows
    lab.close_notebook(shut_down_kernel=True)
    lab.reopen_notebook()
    finder.wait_for_rows(30)
    assert finder.rows == rows
    assert finder.chosen == 0.02
    finder.wait_for_state(f"Stopped at step 30 of {STEPS}")
    finder.wait_for_text(CUT_OFF)
    expect(finder.button("Start")).to_be_disabled()

    seen = exported(lab, page, tmp_path)
    seen.wait_for_points(30)
    seen.wait_for_state(f"Stopped at step 30 of {STEPS}")
    expect(seen.root).to_contain_text(CUT_OFF)


def test_saved_while_the_cell_that_runs_the_sweeps_is_busy_nothing_is_missing(
    lab: Lab, page: Page, tmp_path: Path
) -> None:
    lab.allow("steps", STEPS + 40)
    both = "\n".join(f"w.start(label={label!r})\nw.wait()" for label in ("whole", "part"))
    # In one cell, so that the kernel is never free to answer the page.
    lab.open(SETUP, WIDGET.replace("\nw\n", f"\ndisplay(w)\n{both}\n"))
    lab.save_widget_state()
    lab.run_cell(0)
    lab.run_cell(1, wait=False)
    finder = Finder(lab)
    finder.wait_for_rows(40)
    assert lab.is_busy(1)
    lab.save()
    seen = exported(lab, page, tmp_path)
    seen.wait_for_points(40)
    seen.wait_for_state(f"Stopped at step 40 of {STEPS}")
    expect(seen.root).to_contain_text(CUT_OFF)
    seen.button("Use whole").click()
    seen.wait_for_points(STEPS)
    seen.wait_for_state("Finished.")
    assert lab.is_busy(1)


def test_saved_without_its_state_a_finished_sweep_is_a_picture(
    lab: Lab, page: Page, tmp_path: Path
) -> None:
    lab.allow("steps", STEPS)
    lab.open(SETUP, WIDGET.replace("\nw\n", "\nw.start()\n_ = w.wait()\nw\n"), shell="lab")
    lab.save_widget_state(on=False)
    lab.run_all()
    Finder(lab).wait_for_rows(STEPS)  # where widgets are shown, the widget is
    expect(lab.page.locator(".jp-OutputArea img")).to_have_count(0)
    found = rate_in_words(lab.kernel.value("w.suggestion"), 3)
    lab.save()
    seen = exported(lab, page, tmp_path)
    expect(seen.root).to_have_count(0)
    picture = page.get_by_role("img", name=f"Suggested learning rate {found}")
    expect(picture).to_be_visible()
    assert picture.evaluate("(image) => image.naturalWidth") == 640


def test_saved_in_the_middle_of_a_check_its_curves_so_far_are_shown(lab: Lab) -> None:
    finder = open_finder(lab, allowed=STEPS + 30, shell="lab")
    lab.save_widget_state()
    start(finder)
    finder.wait_for_state("finished")
    lab.kernel.run("_ = w.check([1e-3, 1e-2], steps=20)")
    panel = finder.root.get_by_role("group", name="Check", exact=True)
    curves = panel.locator("[role=img]")
    expect(panel).to_contain_text("step 30 of 40", timeout=TIMEOUT * 1000)
    half = re.compile(r"1e-3: .*1e-2: ")
    expect(curves).to_have_attribute("aria-label", half)
    said = curves.get_attribute("aria-label") or ""
    lab.close_notebook(shut_down_kernel=True)
    lab.reopen_notebook()
    finder.wait_for_rows(STEPS)
    finder.wait_for_text("Check stopped: 1 of 2 rates came to the end.")
    expect(curves).to_have_attribute("aria-label", said)


def test_in_a_notebook_that_is_not_trusted_its_text_says_so_and_then_it_is_shown(lab: Lab) -> None:
    finder = open_finder(lab, allowed=STEPS, shell="lab")
    lab.save_widget_state()
    start(finder)
    finder.wait_for_state("finished")
    lab.close_notebook(shut_down_kernel=True)
    file = lab.folder / "notebook.ipynb"
    file.write_text(file.read_text().replace("torch.manual_seed(0)", "torch.manual_seed(1)"))
    lab.reopen_notebook()
    output = lab.page.locator(".jp-OutputArea-output").last
    expect(output).to_contain_text("JupyterLab, Notebook 7 or VS Code trust the notebook")
    lab.trust_notebook()
    finder.wait_for_rows(STEPS)
