"""Tests of a widget that follows the file of a sweep in another process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from lrwidget import LRFinderWidget, LRRecords
from tests.widget.fakepage import page_after
from tests.widget.finder import comm_of, until
from tests.widget.logwriter import Writer, losses

WRITER = """
import sys, time
from lrwidget import lr_find
from tests.tasks import problem
model, optimizer, loss_fn, data = problem()

def slow(output, target):
    time.sleep(0.02)
    return loss_fn(output, target)

options = dict(start_lr=1e-4, end_lr=1e-1, steps=60, seed=1, progress=False)
lr_find(model, optimizer, slow, data, log=sys.argv[1], **options).save(sys.argv[2])
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sweep.jsonl"


def test_it_follows_at_once_and_all_of_the_widget_works(
    path: Path, namespace: dict[str, Any]
) -> None:
    w = LRFinderWidget.follow(path)
    assert w.state == "running"
    until(lambda: w._detail["notice"] == "Waiting for sweep.jsonl: there is no such file yet.")
    writer = Writer(path)
    writer.write(losses(10))
    until(lambda: w.step == 10)
    assert w.state == "running"
    assert (w.steps, w._range, w._detail["notice"]) == (30, [1e-4, 1e-1], "")
    writer.write(losses(30)[10:])
    writer.finish()
    records = w.wait(60)
    assert records.rows().tolist() == [list(row) for row in losses(30)]
    assert w.state == "finished"
    assert w.lr == w.suggestion == records.suggestion.lr
    assert w.export("rate") == namespace["rate"] == w.lr
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    w.apply(optimizer)
    assert optimizer.param_groups[0]["lr"] == w.lr
    assert page_after(comm_of(w).rows_messages).rows == records.rows().tolist()
    assert w._legend["runs"] == [[1, "sweep.jsonl", 0]]


def test_what_needs_the_model_is_refused_in_words(path: Path) -> None:
    w = LRFinderWidget.follow(path)
    w.stop()
    w.wait(60)
    assert w.state == "stopped"
    w.lr = 0.01
    with pytest.raises(
        ValueError, match=r"in the process that writes the log; give the one .*apply"
    ):
        w.apply()
    with pytest.raises(RuntimeError, match="has no model to train; call check_lrs"):
        w.check()
    with pytest.raises(TypeError, match=r"give them to the lr_find\(\) that writes it"):
        w.start(steps=10)
    assert w._detail["elsewhere"]
    assert repr(w) == "LRFinderWidget(stopped, 0 steps, lr=1e-2)"


def test_start_follows_again_from_the_beginning(path: Path) -> None:
    w = LRFinderWidget.follow(path)
    writer = Writer(path)
    writer.write(losses(3))
    until(lambda: w.step == 3)
    w.stop()
    assert len(w.wait(60)) == 3
    writer.write(losses(5)[3:])
    w.start()
    until(lambda: w.step == 5)
    assert [len(run) for run in w.runs] == [3, 5]


def test_a_truncated_file_is_another_run_and_their_rows_never_mix(path: Path) -> None:
    w = LRFinderWidget.follow(path)
    states: list[str] = []
    w.observe(lambda change: states.append(change.new), "state")
    Writer(path).write(losses(8))
    until(lambda: w.step == 8)
    second = Writer(path)  # truncates the file
    second.write(losses(4, height=7.0))
    until(lambda: len(w.runs) == 2 and w.step == 4)
    assert w.state == "running"
    second.write(losses(30, height=7.0)[4:])
    second.finish()
    records = w.wait(60)
    assert records is w.records is w.runs[1]
    assert w.runs[0].rows().tolist() == [list(row) for row in losses(8)]
    assert records.rows().tolist() == [list(row) for row in losses(30, height=7.0)]
    assert [label for _, label, _ in w._legend["runs"]] == ["sweep.jsonl", "sweep.jsonl (2)"]
    by_run = {m.content["run"] for m in comm_of(w).rows_messages}
    assert by_run == {1, 2}
    for number, run in zip((1, 2), w.runs, strict=True):
        messages = [m for m in comm_of(w).rows_messages if m.content["run"] == number]
        assert page_after(messages).rows == run.rows().tolist()
    assert states == ["finished"]


def test_wait_goes_on_with_the_run_that_followed(path: Path) -> None:
    w = LRFinderWidget.follow(path)
    Writer(path).write(losses(8))
    until(lambda: len(w.records) == 8)
    second = Writer(path)
    second.write(losses(30, height=7.0))
    second.finish()
    assert w.wait(60).rows().tolist() == [list(row) for row in losses(30, height=7.0)]


def test_a_file_that_is_not_ours_fails_with_its_line(path: Path) -> None:
    path.write_text("nonsense\n")
    w = LRFinderWidget.follow(path)
    with pytest.raises(ValueError, match="line 1 is not JSON"):
        w.wait(60)
    assert w.state == "failed"
    assert "line 1" in str(w.error)


def test_closing_ends_the_following(path: Path) -> None:
    w = LRFinderWidget.follow(path, height=200)
    w.close()
    assert w.state == "stopped"


@pytest.mark.process
def test_a_real_sweep_in_another_process_is_shown_to_the_last_bit(path: Path) -> None:
    w = LRFinderWidget.follow(str(path))
    saved = path.with_name("saved.jsonl")
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(saved)])
    seen = set()
    while w.state == "running":
        seen.add(w.step)
        time.sleep(0.01)
    assert process.wait(60) == 0
    assert len(seen) > 10  # the rows arrived in many parts
    assert w.records.rows().tolist() == LRRecords.load(saved).rows().tolist()
    assert (
        w.records.meta["options"] == json.loads(saved.read_text().split("\n")[0])["meta"]["options"]
    )
    assert w.state == "finished"
