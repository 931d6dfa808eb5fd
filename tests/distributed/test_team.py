"""Sweeps over real process groups: gloo, two processes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrwidget import LRRecords

ROOT = Path(__file__).parents[2]
FAILS_AT = 5


def launch(scene: str, folder: Path, timeout: float = 60) -> list[dict[str, Any] | None]:
    """Run the scene on two ranks; what came of it on each, None for one that was lost."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "GLOO_SOCKET_IFNAME": "lo",
        "PYTHONPATH": str(ROOT),
        "TEAM_TIMEOUT": str(timeout),
    }
    command = [sys.executable, str(Path(__file__).with_name("worker.py")), scene, str(folder)]
    workers = [
        subprocess.Popen(command, env={**common, "RANK": str(rank)}, cwd=ROOT) for rank in range(2)
    ]
    try:
        for worker in workers:
            worker.wait(timeout=250)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    files = [folder / f"rank{rank}.json" for rank in range(2)]
    return [json.loads(file.read_text()) if file.exists() else None for file in files]


@pytest.mark.parametrize(("scene", "steps"), [("plain", 24), ("fsdp", 12)])
def test_all_ranks_record_the_mean_loss_and_are_restored(
    scene: str, steps: int, tmp_path: Path
) -> None:
    first, second = launch(scene, tmp_path)
    for facts in (first, second):
        assert facts["error"] is None
        assert facts["reason"] == "finished"
        assert facts["restored"]
        assert facts["timeout_is_as_before"]
    assert first["loss"] == second["loss"]
    assert first["lr"] == second["lr"]
    assert len(first["loss"]) == steps
    if scene == "plain":  # the loss function of two repeats, seen on each rank
        assert first["own"] != second["own"]
        means = np.mean([first["own"], second["own"]], axis=0)
        assert first["loss"] == pytest.approx(means, rel=1e-6)
    # Rank 0 alone writes the log.
    assert np.array_equal(LRRecords.load(tmp_path / "log.jsonl").loss, first["loss"])


@pytest.mark.parametrize(
    ("scene", "words"),
    [("forward", "ZeroDivisionError: in forward"), ("loader", "the disk is gone")],
)
def test_an_exception_on_one_rank_ends_the_sweep_on_all(
    scene: str, words: str, tmp_path: Path
) -> None:
    well, failed = launch(scene, tmp_path)
    assert words in failed["error"]
    assert well["error"].startswith("TeamError: rank 1 failed with ")
    assert words in well["error"]
    for facts in (well, failed):
        assert facts["restored"]
        assert facts["reason"] == "failed"
        assert facts["trains_on"], "the process group is unharmed"
    assert well["loss"] == failed["loss"]
    assert len(well["loss"]) == (FAILS_AT - 1 if scene == "forward" else FAILS_AT)


def test_an_exception_amid_a_collective_ends_in_its_timeout(tmp_path: Path) -> None:
    well, failed = launch("backward", tmp_path, timeout=5)
    assert "in backward" in failed["error"]
    assert well["error"] is not None
    assert well["restored"]
    assert failed["restored"]


def test_a_lost_rank_ends_the_sweep_on_the_others(tmp_path: Path) -> None:
    well, lost = launch("lost", tmp_path)
    assert lost is None
    assert well["error"] is not None
    assert well["restored"]
    assert len(well["loss"]) == FAILS_AT - 1


def test_stop_on_one_rank_stops_all_at_the_same_step(tmp_path: Path) -> None:
    first, second = launch("stop", tmp_path)
    assert second["extended"].startswith("2 processes climb this ladder in step")
    assert first["error"] is second["error"] is None
    assert first["reason"] == second["reason"] == "stopped"
    assert first["loss"] == second["loss"]
    assert first["restored"]
    assert second["restored"]


def test_a_loss_that_is_nan_on_one_rank_ends_the_sweep_on_all(tmp_path: Path) -> None:
    first, second = launch("nan", tmp_path)
    assert first["reason"] == second["reason"] == "non-finite"
    assert len(first["loss"]) == len(second["loss"]) == FAILS_AT


def test_the_rank_that_runs_out_of_batches_first_ends_it_for_all(tmp_path: Path) -> None:
    first, second = launch("uneven", tmp_path)
    assert first["reason"] == second["reason"] == "exhausted"
    assert len(first["loss"]) == len(second["loss"]) == FAILS_AT
