"""Sweeps through the adapters over two processes started by the real launchers."""

import json
import os
import subprocess
import sys
from itertools import dropwhile
from pathlib import Path
from typing import Any

import pytest

from lrwidget.process_group.team import TIMEOUT
from tests.adapters.case import SAMPLES
from tests.restore.endings import STEPS

ROOT = Path(__file__).parents[2]
BY_TORCHRUN = ("lightning", "transformers", "accelerate", "accelerate-dispatched")
BY_ACCELERATE = ("accelerate-launched",)
# In `test`, accelerate is launched by torchrun.
FRAMEWORKS = [*BY_TORCHRUN, *(pytest.param(name, marks=pytest.mark.full) for name in BY_ACCELERATE)]

Facts = list[dict[str, Any]]


@pytest.fixture(scope="module")
def by_torchrun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run frameworks on two ranks, started by torchrun, and return the folder of results."""
    made = tmp_path_factory.mktemp("by_torchrun")
    torchrun = ["torchrun", "--nproc-per-node", "2", "--rdzv-backend", "c10d"]
    torchrun += ["--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"]
    # The last scene breaks the process group.
    launch(torchrun, *BY_TORCHRUN, "plain", "amid", str(made))
    return made


@pytest.fixture(scope="module")
def by_accelerate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do so with Accelerate's own launcher."""
    made = tmp_path_factory.mktemp("by_accelerate")
    # With --cpu Accelerate starts one process or needs mpirun, so the case asks for the CPU itself.
    accelerate = ["accelerate", "launch", "--multi_gpu", "--num_processes", "2"]
    accelerate += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    accelerate += ["--main_process_ip", "127.0.0.1", "--main_process_port", "0"]
    launch(accelerate, *BY_ACCELERATE, str(made))
    return made


@pytest.fixture
def folder(framework: str, request: pytest.FixtureRequest) -> Path:
    """Return the folder with the results of a framework."""
    name = "by_accelerate" if framework in BY_ACCELERATE else "by_torchrun"
    made: Path = request.getfixturevalue(name)
    return made


def launch(command: list[str], *arguments: str) -> None:
    launcher = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
    worker = [str(Path(__file__).with_name("framework_worker.py")), *arguments]
    environment = {
        **os.environ,
        "GLOO_SOCKET_IFNAME": "lo",
        "PYTHONPATH": str(ROOT),
    }
    subprocess.run([*launcher, *worker], env=environment, cwd=ROOT, timeout=140, check=True)


def facts_of(folder: Path, framework: str) -> Facts:
    """Return the results of a framework's scenes on each rank."""
    return [json.loads((folder / f"{framework}-{rank}.json").read_text()) for rank in range(2)]


def test_torchrun_runs_a_script_with_a_ddp_model(by_torchrun: Path) -> None:
    first, second = facts_of(by_torchrun, "plain")
    assert first["loss"] == second["loss"]
    assert len(first["loss"]) == STEPS
    for there in (first, second):
        assert there["reason"] == "finished"
        assert there["restored"]


def test_torchrun_runs_it_to_its_end_where_one_rank_fails_amid_a_step(by_torchrun: Path) -> None:
    well, failed = facts_of(by_torchrun, "amid")
    assert failed["error"] == "ZeroDivisionError: in backward"
    assert well["error"].startswith(f"TeamError: rank 1 failed in step 1 with {failed['error']}")
    for there in (well, failed):
        assert there["restored"]
        assert there["seconds"] < 0.5 * TIMEOUT


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
@pytest.mark.parametrize("scene", ["whole", "failed", "stopped", "refined"])
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
    # Training continues as if there had been no sweep.
    for there in (well, failed):
        assert there["own_after"] == there["own"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_stop_on_rank_0_stops_both_at_the_same_step(framework: str, folder: Path) -> None:
    first, second = facts_of(folder, framework)
    assert first["stopped"]["reason"] == second["stopped"]["reason"] == "stopped"
    assert first["stopped"]["loss"] == second["stopped"]["loss"]
    assert len(first["stopped"]["loss"]) == 5


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_refinement_agrees_and_trains_on_no_held_out_sample_on_any_rank(
    framework: str, folder: Path
) -> None:
    facts = [there["refined"] for there in facts_of(folder, framework)]
    first, second = (there["result"] for there in facts)
    first["kept_bytes"] = second["kept_bytes"]
    assert first == second
    assert first["stop_reason"] == "finished"
    assert first["held_out"] == f"5 of {SAMPLES} samples, chosen at random"
    assert [len(trial["loss"]) for trial in first["trials"]].count(8) >= 2
    held = set(facts[0]["read"][:5])
    trained = [set(dropwhile(lambda index: index in held, there["read"])) for there in facts]
    assert not held & (trained[0] | trained[1])
    assert held | trained[0] | trained[1] == set(range(SAMPLES))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_accelerates_own_launcher_launched_what_it_is_to(framework: str, folder: Path) -> None:
    for there in facts_of(folder, framework):
        assert there["by_accelerate"] == (framework in BY_ACCELERATE)


def test_lightning_begins_the_process_group_itself(by_torchrun: Path) -> None:
    for there in facts_of(by_torchrun, "lightning"):
        assert there["had_group"] is False
