"""A widget that follows the log of a sweep in another process: this one."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.harness.cells import open_finder
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import Lab
from tests.widget.logwriter import Writer, losses

SETUP = "from lrwidget import LRFinderWidget"


def open_follower(lab: Lab, path: Path) -> Finder:
    return open_finder(lab, setup=SETUP, widget=f"w = LRFinderWidget.follow({str(path)!r})\nw")


def test_a_log_is_drawn_while_it_is_written_and_one_that_takes_its_place_too(
    lab: Lab, tmp_path: Path
) -> None:
    path = tmp_path / "sweep.jsonl"
    finder = open_follower(lab, path)
    finder.wait_for_text("Waiting for sweep.jsonl: there is no such file yet.")
    expect(finder.button("Check")).to_be_hidden()
    first = Writer(path)
    first.write(losses(10))
    finder.wait_for_rows(10)
    assert finder.rows == [list(row) for row in losses(10)]
    assert finder.mark("raw loss").x_range == [1e-4, 1e-1]  # as the log says
    lab.reload()
    finder.wait_for_rows(10)
    first.write(losses(20)[10:])
    finder.wait_for_rows(20)

    second = Writer(path)
    second.write(losses(4, height=7.0))
    finder.wait_for_rows(4)
    assert finder.rows == [list(row) for row in losses(4, height=7.0)]
    second.write(losses(30, height=7.0)[4:])
    second.finish()
    finder.wait_for_state("finished")
    finder.wait_for_rows(30)
    assert finder.rows == finder.kernel_rows
    assert lab.kernel.value("[len(run) for run in w.runs]") == [20, 30]
    assert finder.wait_for_kernel() == lab.kernel.value("w.suggestion")
    finder.button("Export").click()
    lab.wait_for("the variable is there", lambda: lab.kernel.value("lr == w.lr"))
    expect(finder.button("Check")).to_be_hidden()


def test_stop_ends_the_following_and_start_begins_it_again(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonl"
    writer = Writer(path)
    writer.write(losses(5))
    finder = open_follower(lab, path)
    finder.wait_for_rows(5)
    finder.button("Stop").click()
    finder.wait_for_state("stopped")
    writer.write(losses(9)[5:])
    finder.button("Start").click()
    finder.wait_for_rows(9)
    assert lab.kernel.value("w.state") == "running"
    finder.button("Stop").click()
    finder.wait_for_state("stopped")
