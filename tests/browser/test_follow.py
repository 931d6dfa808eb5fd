"""A widget that follows the log of a sweep, written by another process or by the test itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

from lrwidget import LRRecords
from tests.browser.harness.cells import open_finder
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import Lab
from tests.widget.logwriter import Writer, losses

SETUP = "from lrwidget import LRFinderWidget"


ROOT = Path(__file__).parents[2]
STEPS = 30
# A query of the test may reach the kernel before the page's message does.
EXPORTED = "'lr' in globals() and lr == w.lr"

# A user's script; each of its steps waits at the gate "steps" in its folder.
SCRIPT = f"""
import sys
from tests.browser.harness.steps import Gate
from tests.tasks import problem
from lrwidget import lr_find

model, optimizer, loss_fn, data = problem()
gate = Gate("steps")

def gated(output, target):
    gate.pass_through()
    return loss_fn(output, target)

options = dict(start_lr=1e-4, end_lr=float(sys.argv[2]), steps={STEPS}, seed=1, progress=False)
lr_find(model, optimizer, gated, data, log=sys.argv[1], stop_at_divergence=False, **options)
"""


@contextmanager
def sweeping(lab: Lab, path: Path, end_lr: float) -> Iterator[subprocess.Popen[bytes]]:
    """Run the script in another process."""
    command = [sys.executable, "-c", SCRIPT, str(path), str(end_lr)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=lab.folder, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def open_follower(lab: Lab, path: Path) -> Finder:
    return open_finder(lab, setup=SETUP, widget=f"w = LRFinderWidget.follow({str(path)!r})\nw")


def test_a_log_is_drawn_while_it_is_written_and_one_that_takes_its_place_too(
    lab: Lab, tmp_path: Path
) -> None:
    path = tmp_path / "sweep.jsonl"
    finder = open_follower(lab, path)
    finder.wait_for_text("Waiting for sweep.jsonl: there is no such file yet.")
    expect(finder.button("Check")).to_be_hidden()
    expect(finder.button("Refine")).to_be_hidden()
    first = Writer(path)
    first.write(losses(10))
    finder.wait_for_rows(10)
    assert finder.rows == [list(row) for row in losses(10)]
    as_the_log_says = [1e-4, 1e-1]
    lab.wait_for("the axis", lambda: finder.mark("raw loss").x_range == as_the_log_says)
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
    finder.wait_for_kernel(lab.kernel.value("w.suggestion"))
    finder.button("Export").click()
    lab.wait_for("the variable is there", lambda: lab.kernel.value(EXPORTED))
    expect(finder.button("Check")).to_be_hidden()
    expect(finder.button("Refine")).to_be_hidden()


# Four processes that sweep. In `test`: a log that a writer of the test writes, below and above, and
# real sweeps in another process in tests/widget/test_follow.py.
@pytest.mark.full
def test_a_real_sweep_in_another_process_is_drawn_live_and_so_are_those_that_follow_it(
    lab: Lab, tmp_path: Path
) -> None:
    path = tmp_path / "sweep.jsonl"
    finder = open_follower(lab, path)
    with sweeping(lab, path, 1e-1) as process:
        for count in (3, 12):
            lab.allow("steps", count)
            finder.wait_for_rows(count)
        assert finder.rows == finder.kernel_rows
        lab.reload()
        finder.wait_for_rows(12)
        process.kill()  # as after a power failure: the log has no end
    lab.kernel.run("first = w.records.rows().tolist()")

    # Another sweep that writes to the same path truncates the file.
    lab.allow("steps", 0)
    with sweeping(lab, path, 1e-2):
        lab.allow("steps", 5)
        lab.wait_for("it is another run", lambda: lab.kernel.value("len(w.runs)") == 2)
        finder.wait_for_rows(5)
        lab.wait_for("its range", lambda: lab.kernel.value("list(w._range)") == [1e-4, 1e-2])
        assert finder.mark("raw loss").x_range == [1e-4, 1e-1]  # the axis spans both runs
        path.rename(path.with_name("sweep.jsonl.1"))  # as log rotation does
    lab.allow("steps", 0)
    with sweeping(lab, path, 1.0) as process:
        lab.allow("steps", 4)
        lab.wait_for("it is another run", lambda: lab.kernel.value("len(w.runs)") == 3)
        finder.wait_for_rows(4)
        lab.wait_for("its range", lambda: finder.mark("raw loss").x_range == [1e-4, 1.0])
        lab.allow("steps", STEPS)
        finder.wait_for_state("finished")
        assert process.wait(60) == 0
    finder.wait_for_rows(STEPS)
    assert finder.rows == finder.kernel_rows
    assert finder.rows == LRRecords.load(path).rows().tolist()
    first, second, third = lab.kernel.value("[run.rows().tolist() for run in w.runs]")
    assert lab.kernel.value("first") == first
    assert [len(first), len(second), len(third)] == [12, 5, STEPS]
    assert len({first[3][1], second[3][1], third[3][1]}) == 3


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
