"""Refinements over real process groups: the ranks agree on every loss, score and choice."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrwidget.process_group.team import TIMEOUT
from tests.process_group.test_team import BROKEN, assert_as_before, play, played

SCENES = ["none", "whole", "validation", "measuring", "loss", "interrupt", "stop", "options", "nan"]
SCENES += ["fsdp_none", "fsdp_whole", "backward"]
LENGTH, HELD_OUT = 4, 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Play all scenes on two ranks and return the folder of results."""
    return played(tmp_path_factory.mktemp("refine"), SCENES, 2, "refine_worker.py")


def results(folder: Path, scene: str) -> list[dict[str, Any]]:
    """Return the result of each rank, once it is restored; they are equal."""
    facts = play(folder, scene)
    for there in facts:
        assert there["error"] is None
    assert_as_before(folder, scene, facts)
    first, second = (there["result"] for there in facts)
    first["kept_bytes"] = second["kept_bytes"]  # with sharded weights, each rank keeps its own
    assert first == second
    return facts


@pytest.mark.parametrize("scene", ["whole", "fsdp_whole"])
def test_all_ranks_agree_on_every_trial_and_are_restored(scene: str, folder: Path) -> None:
    first, second = results(folder, scene)
    result = first["result"]
    assert result["stop_reason"] == "finished"
    assert len(result["trials"]) == 3
    assert result["held_out"] == "85 of 256 samples, chosen at random"
    assert first["own"] != second["own"]
    own = np.mean([first["own"], second["own"]], axis=0)
    sizes = np.diff([part * 85 // HELD_OUT for part in range(HELD_OUT + 1)])
    untrained = np.average(own[:HELD_OUT], weights=sizes)
    assert result["untrained"] == pytest.approx(untrained, rel=1e-6)
    trial = result["trials"][0]
    assert trial["loss"][:LENGTH] == pytest.approx(own[HELD_OUT : HELD_OUT + LENGTH], rel=1e-6)
    after = own[HELD_OUT + LENGTH : 2 * HELD_OUT + LENGTH]
    measured = np.average(after, weights=sizes)
    assert trial["held_out"][0] == [LENGTH, pytest.approx(measured, rel=1e-6)]


def test_each_rank_measures_as_many_batches_of_its_own_validation_data(folder: Path) -> None:
    first, second = results(folder, "validation")
    assert first["own"][:3] != second["own"][:3]
    own = np.mean([first["own"], second["own"]], axis=0)
    assert first["result"]["untrained"] == pytest.approx(own[:3].mean(), rel=1e-6)
    assert "val_data" in first["result"]["held_out"]


@pytest.mark.parametrize("scene", ["measuring", "loss"])
def test_an_exception_on_one_rank_ends_it_on_all(scene: str, folder: Path) -> None:
    well, failed = facts = play(folder, scene)
    assert failed["error"] == "ZeroDivisionError: in the loss"
    assert well["error"].startswith(f"TeamError: rank 1 failed with {failed['error']}")
    assert {there["result"]["stop_reason"] for there in facts} == {"failed"}
    assert_as_before(folder, scene, facts)


def test_an_exception_in_backward_frees_the_rank_that_waits(folder: Path) -> None:
    well, failed = play(folder, "backward")
    assert failed["error"] == "ZeroDivisionError: in backward"
    assert "ZeroDivisionError: in backward" in well["error"]
    assert well["error"].endswith(BROKEN)
    for there in (well, failed):
        assert there["restored"]
        assert there["seconds"] < 0.5 * TIMEOUT


def test_an_interrupt_on_one_rank_ends_it_on_all(folder: Path) -> None:
    well, interrupted = facts = play(folder, "interrupt")
    assert interrupted["error"] is None
    assert interrupted["result"]["stop_reason"] == "stopped"
    assert well["error"].startswith("TeamError: rank 1 failed with KeyboardInterrupt")
    assert_as_before(folder, "interrupt", facts)


def test_a_stop_on_one_rank_stops_all_at_the_same_step(folder: Path) -> None:
    first, _ = results(folder, "stop")
    assert first["result"]["stop_reason"] == "stopped"
    assert first["result"]["steps"] == LENGTH + 1


def test_arguments_that_differ_are_named(folder: Path) -> None:
    facts = play(folder, "options")
    for there in facts:
        assert there["error"] == (
            "TeamError: the ranks were given different options: planned_steps is 100 on rank 0 "
            "and 50 on rank 1, held_out is None on rank 0 and 0.1 on rank 1; give all of them the "
            "same"
        )
    assert_as_before(folder, "options", facts)


def test_a_trial_whose_loss_is_nan_on_one_rank_ends_on_all(folder: Path) -> None:
    first, _ = results(folder, "nan")
    trials = first["result"]["trials"]
    assert [trials[0]["stop_reason"], len(trials[0]["loss"])] == ["non-finite", 1]
    assert first["result"]["stop_reason"] == "finished"
