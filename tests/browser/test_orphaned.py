"""If the kernel ends, an open page says so and offers only what works without a kernel."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.harness.cells import BUSY_INDEX, STEPS, open_finder, start
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import Lab
from tests.browser.harness.pages import Pages
from tests.browser.harness.server import JupyterServer

SOON = 10_000  # milliseconds: a few seconds, with a margin for a busy machine
WAITED = 1500  # milliseconds after which a button without an answer would show a message
CUT_OFF = "No kernel: this is the recorded curve, cut off in mid-run."
ANEW = "The new kernel does not know the widget: run its cell again."
# Presses Export before the page can have noticed the shutdown.
SHUT_DOWN_AND_EXPORT = """
async (export_) => {
  const { kernel } = labTest.panel().sessionContext.session;
  kernel.disposed.connect(() => export_.click());
  await labTest.panel().sessionContext.shutdown();
}
"""
STATUS = "labTest.panel().sessionContext.session.kernel.status"


def offers_what_works_alone(finder: Finder) -> None:
    """Check what is disabled, which messages are absent, and that the rest works."""
    for name in ("Start", "Refine", "Export"):
        expect(finder.button(name)).to_be_disabled()
    expect(finder.root.get_by_text("Export writes the rate")).to_be_hidden()
    before = finder.mark("smoothed loss").path
    finder.slider("Smoothing").press("Home")
    finder.lab.wait_for("the line moves", lambda: finder.mark("smoothed loss").path != before)
    finder.drag_marker_to(0.1)
    finder.lab.wait_for("the marker moves", lambda: 0.09 < (finder.chosen or 0) < 0.11)
    finder.button("Copy").click()
    finder.wait_for_text("Copied: lr = ")
    finder.field("Variable").press("Enter")  # does the same as the Export button
    finder.wait_for_text("There is no kernel whose variable could be written.")
    finder.lab.page.wait_for_timeout(WAITED)
    expect(finder.root).not_to_contain_text("Kernel busy")
    expect(finder.root).not_to_contain_text("No answer")


def test_shut_down_in_mid_run_and_another_kernel_started(lab: Lab) -> None:
    finder = open_finder(lab, allowed=30)
    start(finder)
    finder.wait_for_rows(30)
    finder.type_lr("0.02")
    finder.wait_for_kernel(0.02)
    export = finder.button("Export").element_handle()
    lab.shut_down_kernel(SHUT_DOWN_AND_EXPORT, export)
    expect(finder.root).to_contain_text(CUT_OFF, timeout=SOON)
    finder.wait_for_state(f"Stopped at step 30 of {STEPS}")
    expect(finder.button("Stop")).to_be_hidden()
    offers_what_works_alone(finder)
    expect(finder.root).not_to_contain_text(ANEW)

    lab.start_kernel()
    expect(finder.root).to_contain_text(ANEW, timeout=SOON)
    expect(finder.button("Start")).to_be_disabled()
    lab.allow("steps", 0)
    lab.run_cell(0)
    lab.run_cell(1)
    finder.wait_until_drawn()
    finder.wait_for_state("Ready")
    expect(finder.button("Start")).to_be_enabled()
    expect(finder.root).not_to_contain_text("kernel")
    lab.allow("steps", STEPS)
    start(finder)
    finder.wait_for_rows(STEPS)
    assert finder.rows == finder.kernel_rows


def test_before_the_first_start_there_is_neither_a_curve_nor_an_invitation(lab: Lab) -> None:
    finder = open_finder(lab)
    expect(finder.root).to_contain_text("Press Start")
    lab.kernel.run("other = LRFinderWidget(model, optimizer, loss_fn, data)\nother.start()")
    finder.button("Start").click()
    finder.wait_for_text("is being swept already")
    expect(finder.button("Stop the other sweep")).to_be_visible()
    lab.shut_down_kernel()
    expect(finder.root).to_contain_text("No kernel, and no curve has been recorded.", timeout=SOON)
    finder.wait_for_state("^Not started.$")
    expect(finder.root).not_to_contain_text("Press Start")
    expect(finder.root).not_to_contain_text("is being swept already")
    expect(finder.button("Stop the other sweep")).to_be_hidden()


@pytest.mark.own_page
def test_busy_is_not_dead_and_killed_is(lab: Lab) -> None:
    finder = open_finder(lab, allowed=STEPS)
    start(finder)
    finder.wait_for_state("finished")
    process = int(lab.kernel.value("__import__('os').getpid()"))
    lab.run_cell(BUSY_INDEX, wait=False)
    lab.wait_for("the kernel is busy", lambda: lab.page.evaluate(STATUS) == "busy")
    os.kill(process, signal.SIGSTOP)  # also stops the kernel's subshells, which would answer
    finder.button("Export").click()
    finder.wait_for_text("Kernel busy: Export will act when the running cell ends.")
    lab.page.wait_for_timeout(3000)  # longer than the page tolerates a lost connection
    expect(finder.root).to_contain_text("Kernel busy")
    expect(finder.root).not_to_contain_text("No kernel")
    expect(finder.button("Start")).to_be_enabled()

    os.kill(process, signal.SIGKILL)
    expect(finder.root).to_contain_text("No kernel: this is the recorded curve.", timeout=SOON)
    lab.page.get_by_role("button", name="Ok", exact=True).click(
        timeout=SOON
    )  # JupyterLab reports it as well
    finder.wait_for_state("Finished")
    offers_what_works_alone(finder)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[JupyterServer]:
    """Yield a server that the test may end."""
    server = JupyterServer(tmp_path)
    yield server
    server.close()


@pytest.mark.own_page
def test_a_server_that_has_gone_is_no_kernel_either(
    own_server: JupyterServer, pages: Pages
) -> None:
    lab = Lab(own_server, pages.take(fresh=True), "gone")
    try:
        finder = open_finder(lab, allowed=STEPS)
        start(finder)
        finder.wait_for_state("finished")
        own_server.close()
        expect(finder.root).to_contain_text("No kernel can be reached", timeout=SOON)
        dialog = lab.page.get_by_role("dialog")
        dialog.get_by_role("button").last.click(timeout=SOON)
        finder.wait_for_state("Finished")
        offers_what_works_alone(finder)
    finally:
        lab.page.close()
    # JupyterLab reports that it cannot reach the server; none of the errors may be ours.
    ours = [error for error in lab.errors if re.search("lrwidget|anywidget|uncaught", error)]
    assert ours == []
