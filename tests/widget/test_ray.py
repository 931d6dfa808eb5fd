"""Tests of the widget over a real Ray cluster."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lrwidget import LRFinderWidget
from lrwidget.distributed import RayRunner
from tests.ray.cluster import TIMEOUT, Gate, Nodes, cluster, make_task
from tests.widget.fakepage import page_after
from tests.widget.finder import comm_of, until

pytestmark = pytest.mark.process
RANGE: dict[str, Any] = {"start_lr": 1e-5, "end_lr": 1.0, "steps": 30, "seed": 3}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with cluster() as nodes:
        nodes.add(num_cpus=2)
        yield nodes


@pytest.fixture(autouse=True)
def own_threads(nodes: Nodes) -> None:
    """Start Ray before the thread count, so that its threads do not count as left behind."""


def test_variants_run_side_by_side_live_and_one_that_fails_does_not_end_the_other(
    nodes: Nodes, tmp_path: Path
) -> None:
    gate = Gate(tmp_path / "gate")
    w = LRFinderWidget(make_task, runner=RayRunner(), gate=gate.path, **RANGE)
    w.start()
    assert w.state == "running"
    w.start(label="small", batch_size=8, fails_at=12)
    gate.let(10)
    until(lambda: [len(run) for run in w.runs] == [10, 10], TIMEOUT)
    assert w.runs[1].meta["batch_size"] == 8
    gate.open()
    with pytest.raises(ArithmeticError, match="no luck on this worker"):
        w.wait(TIMEOUT)
    assert [str(run.stop_reason) for run in w.runs] == ["finished", "failed"]
    assert [len(run) for run in w.runs] == [30, 11]
    w.activate("run 1")
    assert w.state == "finished"
    assert w.lr == w.suggestion == w.records.suggestion.lr
    for number, run in enumerate(w.runs, start=1):
        messages = [m for m in comm_of(w).rows_messages if m.content["run"] == number]
        assert page_after(messages).rows == run.rows().tolist()


def test_stop_and_pause_go_to_all_and_closing_ends_them(nodes: Nodes, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    w = LRFinderWidget(make_task, runner=RayRunner(), gate=gate.path, **(RANGE | {"steps": 9000}))
    w.start()
    w.start(label="second")
    gate.let(3)
    until(lambda: [len(run) for run in w.runs] == [3, 3], TIMEOUT)
    w.pause()
    gate.open()
    until(lambda: all(run.state == "paused" for run in w._run_list.all), TIMEOUT)
    w.resume()
    until(lambda: w.state == "running", TIMEOUT)
    w.stop()
    w.wait(TIMEOUT)
    assert [str(run.stop_reason) for run in w.runs] == ["stopped", "stopped"]
    w.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("lrwidget")]
