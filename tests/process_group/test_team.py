"""Sweeps over real process groups: gloo, two or four processes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrwidget import LRRecords
from lrwidget.process_group.team import TIMEOUT
from tests.tasks import blobs

ROOT = Path(__file__).parents[2]
FAILS_AT = 5
BROKEN = "the process group is broken: start the processes anew"
# Two processes play all scenes, since starting them is slow; the last scenes break the group.
SCENES = ["none", "whole", "forward", "loss", "loader", "setup", "stop", "nan", "uneven"]
SCENES += ["validation", "check", "options", "interrupt"]
SCENES += ["fsdp_none", "fsdp_whole", "fsdp_loss", "fsdp_stop"]
SCENES += ["backward", "fsdp_forward", "fsdp_backward", "absent", "hung", "hosthung", "lost"]
# In a ring of four ranks, one is not a neighbour of the rank that fails.
SCENES_OF_FOUR = ["backward", "vanished"]

Facts = list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Play all scenes on two ranks and return the folder of results."""
    return played(tmp_path_factory.mktemp("team"), SCENES, 2)


@pytest.fixture(scope="module")
def folder_of_four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Play the scenes of four ranks and return the folder of results."""
    return played(tmp_path_factory.mktemp("four"), SCENES_OF_FOUR, 4)


def played(made: Path, scenes: list[str], ranks: int, worker_file: str = "worker.py") -> Path:
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(ROOT)}
    environment["WORLD_SIZE"] = str(ranks)
    command = [sys.executable, str(Path(__file__).with_name(worker_file)), str(made), *scenes]
    workers = [
        subprocess.Popen(command, env={**environment, "RANK": str(rank)}, cwd=ROOT)
        for rank in range(ranks)
    ]
    try:
        for worker in workers:
            worker.wait(timeout=250)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    return made


def play(folder: Path, scene: str, ranks: int = 2) -> Facts:
    """Return the results of a scene on each rank; {} for a rank that was lost."""
    files = [folder / f"{scene}-{rank}.json" for rank in range(ranks)]
    return [json.loads(file.read_text()) if file.exists() else {} for file in files]


def assert_as_before(folder: Path, scene: str, facts: Facts) -> None:
    """Assert that both ranks are restored and train on as if there had been no sweep."""
    wrapping = "fsdp_" if scene.startswith("fsdp") else ""
    untouched = play(folder, f"{wrapping}none")
    for there, alone in zip(facts, untouched, strict=True):
        assert there["restored"]
        assert there["generators"]
        assert there["timeout_is_as_before"]
        assert not [name for name in there["threads"] if name.startswith("lrwidget")]
        assert there["trained"] == alone["trained"]


@pytest.mark.parametrize(("scene", "steps"), [("whole", 24), ("fsdp_whole", 24)])
def test_all_ranks_record_the_mean_loss_and_are_restored(
    scene: str, steps: int, folder: Path
) -> None:
    first, second = facts = play(folder, scene)
    for there in facts:
        assert there["error"] is None
        assert there["reason"] == "finished"
    assert_as_before(folder, scene, facts)
    assert first["loss"] == second["loss"]
    assert first["lr"] == second["lr"]
    assert len(first["loss"]) == steps
    assert first["own"] != second["own"]
    assert first["loss"] == pytest.approx(np.mean([first["own"], second["own"]], axis=0), rel=1e-6)
    # Only rank 0 writes the log.
    logged = LRRecords.load(folder / f"{scene}.jsonl")
    assert np.array_equal(logged.loss, first["loss"])
    # A pass of all ranks, not of one.
    assert logged.meta["samples_in_epoch"] == len(blobs())


@pytest.mark.parametrize(
    ("scene", "words", "steps"),
    [
        ("forward", "ZeroDivisionError: in forward", FAILS_AT - 1),
        ("fsdp_loss", "ZeroDivisionError: in the loss", FAILS_AT - 1),
        ("loss", "ZeroDivisionError: in the loss", FAILS_AT - 1),
        ("loader", "the disk is gone", FAILS_AT),
        ("setup", "device is meta", 0),
    ],
)
def test_an_exception_on_one_rank_ends_the_sweep_on_all(
    scene: str, words: str, steps: int, folder: Path
) -> None:
    well, failed = facts = play(folder, scene)
    assert words in failed["error"]
    assert well["error"].startswith("TeamError: rank 1 failed with ")
    assert words in well["error"]
    assert {there["reason"] for there in facts} == {"failed"}
    assert_as_before(folder, scene, facts)
    assert well["loss"] == failed["loss"]
    assert len(well["loss"]) == steps


@pytest.mark.parametrize(
    ("scene", "words"),
    [
        ("backward", "ZeroDivisionError: in backward"),
        ("fsdp_forward", "ZeroDivisionError: in forward"),
        ("fsdp_backward", "ZeroDivisionError: in backward"),
    ],
)
def test_an_exception_while_the_others_wait_in_a_collective_frees_them_with_its_words(
    scene: str, words: str, folder: Path
) -> None:
    well, failed = facts = play(folder, scene)
    assert failed["error"] == words
    assert BROKEN in failed["notes"][0]
    assert well["error"].startswith(f"TeamError: rank 1 failed in step {FAILS_AT} with {words};")
    assert well["error"].endswith(BROKEN)
    for there in facts:
        assert_ended_at_once(there)
        assert len(there["loss"]) == FAILS_AT - 1


def test_a_rank_that_is_lost_ends_the_sweep_on_the_other(folder: Path) -> None:
    well, lost = play(folder, "lost")
    assert not lost
    assert well["error"].startswith(
        "TeamError: another rank did not answer in step 5 within 60 seconds, or its process is lost"
    )
    assert well["error"].endswith(BROKEN)
    assert_ended_at_once(well)
    assert len(well["loss"]) == FAILS_AT - 1


# In `test`: an exception in backward and a lost rank, of two.
@pytest.mark.full
@pytest.mark.parametrize(
    ("scene", "words"),
    [
        ("backward", "rank 1 failed in step 5 with ZeroDivisionError: in backward;"),
        ("vanished", "another process failed or was lost in step 5 ("),
    ],
)
def test_of_four_ranks_all_others_are_freed(scene: str, words: str, folder_of_four: Path) -> None:
    zero, _, *others = play(folder_of_four, scene, 4)
    for there in (zero, *others):
        assert there["error"].startswith(f"TeamError: {words}")
        assert_ended_at_once(there)


@pytest.mark.parametrize(
    ("scene", "hung", "words"),
    [
        ("hung", 1, "another process failed or was lost in step 5 ("),
        ("hosthung", 0, "another rank did not answer in step 5 within 10 seconds"),
    ],
)
def test_a_process_that_hangs_is_not_waited_for_without_end(
    scene: str, hung: int, words: str, folder: Path
) -> None:
    """A rank hangs in backward, also the one with the group's store, which all messages need."""
    facts = play(folder, scene)
    assert facts[1 - hung]["error"].startswith(f"TeamError: {words}")
    assert facts[hung]["error"].startswith("TeamError: ")  # after it resumes
    for there in facts:
        assert there["error"].endswith(BROKEN)
        assert_failed_and_restored(there)
        assert len(there["loss"]) == FAILS_AT - 1


def assert_ended_at_once(there: dict[str, Any]) -> None:
    """Assert that the sweep failed and was restored long before the timeout."""
    assert_failed_and_restored(there)
    assert there["seconds"] < 0.5 * TIMEOUT


def assert_failed_and_restored(there: dict[str, Any]) -> None:
    """Assert that the sweep failed and left nothing behind."""
    assert there["restored"]
    assert there["generators"]
    assert there["timeout_is_as_before"]
    assert there["reason"] == "failed"
    assert not [name for name in there["threads"] if name.startswith("lrwidget")]


def test_a_rank_that_never_calls_is_waited_for_and_named(folder: Path) -> None:
    well, absent = play(folder, "absent")
    assert absent["error"] is None
    assert well["error"].startswith("TeamError: not all 2 processes began the sweep within 5 sec")
    assert "call lr_find on every rank" in well["error"]
    assert well["restored"]


@pytest.mark.parametrize("scene", ["stop", "fsdp_stop"])
def test_stop_on_one_rank_stops_all_at_the_same_step(scene: str, folder: Path) -> None:
    first, second = facts = play(folder, scene)
    assert second["extended"].startswith("2 processes climb this ladder in step")
    assert first["error"] is second["error"] is None
    assert first["reason"] == second["reason"] == "stopped"
    assert first["loss"] == second["loss"]
    assert_as_before(folder, scene, facts)


def test_an_interrupt_on_one_rank_ends_the_sweep_on_all(folder: Path) -> None:
    well, interrupted = facts = play(folder, "interrupt")
    assert interrupted["error"] is None
    assert interrupted["reason"] == "stopped"
    assert well["error"].startswith("TeamError: rank 1 failed with KeyboardInterrupt; the sweep")
    assert well["loss"] == interrupted["loss"]
    assert len(well["loss"]) == FAILS_AT - 1
    assert_as_before(folder, "interrupt", facts)


def test_options_that_differ_are_named_on_all_ranks(folder: Path) -> None:
    facts = play(folder, "options")
    for there in facts:
        assert there["error"] == (
            "TeamError: the ranks were given different options: "
            "start_lr is 1e-05 on rank 0 and 1e-06 on rank 1, "
            "steps is 12 on rank 0 and 13 on rank 1, "
            "accumulate is 1 on rank 0 and 2 on rank 1, "
            "val_data is None on rank 0 and 'given' on rank 1; give all of them the same"
        )
        assert there["loss"] == []
    assert_as_before(folder, "options", facts)


def test_a_loss_that_is_nan_on_one_rank_ends_the_sweep_on_all(folder: Path) -> None:
    first, second = facts = play(folder, "nan")
    assert first["reason"] == second["reason"] == "non-finite"
    assert len(first["loss"]) == len(second["loss"]) == FAILS_AT
    assert_as_before(folder, "nan", facts)


def test_the_rank_that_runs_out_of_batches_first_ends_it_for_all(folder: Path) -> None:
    first, second = facts = play(folder, "uneven")
    assert first["reason"] == second["reason"] == "exhausted"
    assert len(first["loss"]) == len(second["loss"]) == FAILS_AT
    assert_as_before(folder, "uneven", facts)


def test_the_validation_loss_is_the_mean_over_the_ranks(folder: Path) -> None:
    first, second = facts = play(folder, "validation")
    # The one validation batch is evaluated four times, before every fourth step.
    own = [[there["own"][call] for call in (0, 8, 16)] for there in facts]
    assert own[0] != own[1]
    assert first["validated"] == second["validated"]
    assert first["validated"] == pytest.approx(np.mean(own, axis=0), rel=1e-6)
    assert_as_before(folder, "validation", facts)


def test_rates_are_checked_on_all_ranks(folder: Path) -> None:
    first, second = facts = play(folder, "check")
    assert first["error"] is None
    assert len(first["losses"]) == 6
    assert first["losses"] == second["losses"]
    assert_as_before(folder, "check", facts)
