"""Sweeps through the adapters over two processes that the real torchrun has launched."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.case import SAMPLES
from tests.trust.endings import STEPS

ROOT = Path(__file__).parents[2]
FRAMEWORKS = ("lightning", "transformers", "accelerate", "accelerate-dispatched")

Facts = list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two ranks have written what came of each framework; Lightning finds no group yet."""
    made = tmp_path_factory.mktemp("frameworks")
    launcher = [str(Path(sys.executable).with_name("torchrun")), "--nproc-per-node", "2"]
    launcher += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    launcher += ["--local-addr", "127.0.0.1"]
    worker = [str(Path(__file__).with_name("framework_worker.py")), *FRAMEWORKS, "plain", str(made)]
    environment = {
        **os.environ,
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    subprocess.run([*launcher, *worker], env=environment, cwd=ROOT, timeout=280, check=True)
    return made


def facts_of(folder: Path, framework: str) -> Facts:
    """What came of a framework's scenes on each rank."""
    return [json.loads((folder / f"{framework}-{rank}.json").read_text()) for rank in range(2)]


def test_torchrun_runs_a_script_with_a_ddp_model(folder: Path) -> None:
    first, second = facts_of(folder, "plain")
    assert first["loss"] == second["loss"]
    assert len(first["loss"]) == STEPS
    for there in (first, second):
        assert there["reason"] == "finished"
        assert there["restored"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_loss_is_the_mean_of_those_of_the_frameworks_own_training(
    framework: str, folder: Path
) -> None:
    first, second = facts_of(folder, framework)
    assert first["whole"]["error"] is second["whole"]["error"] is None
    assert first["whole"]["reason"] == "finished"
    assert first["own"] != second["own"]
    means = [(one + other) / 2 for one, other in zip(first["own"], second["own"], strict=True)]
    assert first["whole"]["loss"] == second["whole"]["loss"] == means
    assert len(means) == STEPS


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_each_rank_reads_its_own_share(framework: str, folder: Path) -> None:
    first, second = (there["first_read"] for there in facts_of(folder, framework))
    if framework == "accelerate-dispatched":
        assert first
        assert not second, "rank 0 reads for all"
    assert len({*first, *second}) == len(first) + len(second) <= SAMPLES


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("scene", ["whole", "failed", "stopped"])
def test_everything_is_as_before_on_both_ranks(scene: str, framework: str, folder: Path) -> None:
    for there in facts_of(folder, framework):
        assert there[scene]["changed"] == []
        assert there[scene]["fired"] == []


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_exception_on_one_rank_ends_the_sweep_on_both(framework: str, folder: Path) -> None:
    well, failed = facts_of(folder, framework)
    assert failed["failed"]["error"] == "BoomError: "
    assert well["failed"]["error"].startswith("TeamError: rank 1 failed with BoomError")
    assert well["failed"]["loss"] == failed["failed"]["loss"] == well["whole"]["loss"][:4]
    # And training goes on from there as if there had been no sweep.
    for there in (well, failed):
        assert there["own_after"] == there["own"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_stop_on_rank_0_stops_both_at_the_same_step(framework: str, folder: Path) -> None:
    first, second = facts_of(folder, framework)
    assert first["stopped"]["reason"] == second["stopped"]["reason"] == "stopped"
    assert first["stopped"]["loss"] == second["stopped"]["loss"]
    assert len(first["stopped"]["loss"]) == 5


def test_lightning_begins_the_process_group_itself(folder: Path) -> None:
    for there in facts_of(folder, "lightning"):
        assert there["had_group"] is False
