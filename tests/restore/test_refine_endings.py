"""However a refinement ends, it restores everything and keeps the trials so far."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lrwidget import LRRecords, refine
from lrwidget.engine.refine import refinement_of, refining
from tests.restore.endings import interrupt
from tests.restore.fingerprint import differences
from tests.restore.plan import BoomError
from tests.restore.scenes import Scene, batchnorm_dropout, scheduled, tied, warm_adam

pytestmark = pytest.mark.slow

Make = Callable[[], Scene]

BUDGET = 440
SNAPSHOTS = pytest.mark.parametrize("snapshot", ["auto", "device", "disk"])
SCENES = pytest.mark.parametrize("make", [warm_adam, batchnorm_dropout, scheduled, tied])
PLACES = pytest.mark.parametrize("place", ["forward", "backward", "loader", "loss"])
# The calls are late enough that the first trial is over and a trial has been continued.
LATE = {"forward": 100, "backward": 100, "loader": 700, "loss": 100}


@SCENES
@SNAPSHOTS
def test_its_end(make: Make, snapshot: Any) -> None:
    it = make()
    before = it.fingerprint()
    result = refine(it.task(snapshot=snapshot), LRRecords(), BUDGET)
    assert result.stop_reason == "finished"
    assert len(result.trials) >= 3
    assert not differences(before, it.fingerprint())


@PLACES
@SNAPSHOTS
def test_an_interrupt(place: str, snapshot: Any) -> None:
    it = warm_adam()
    before = it.fingerprint()
    it.plan.at(place, LATE[place], interrupt)
    result = refine(it.task(snapshot=snapshot), LRRecords(), BUDGET)
    assert result.stop_reason == "stopped"
    assert result.trials
    assert not differences(before, it.fingerprint())


@PLACES
@SNAPSHOTS
def test_an_exception(place: str, snapshot: Any) -> None:
    it = batchnorm_dropout()
    before = it.fingerprint()
    it.plan.at(place, LATE[place], it.plan.fail)
    records = LRRecords()
    with pytest.raises(BoomError):
        refine(it.task(snapshot=snapshot), records, BUDGET)
    assert records.refinement is not None
    assert records.refinement.stop_reason == "failed"
    assert not differences(before, it.fingerprint())


@pytest.mark.parametrize("steps", [1, 60, 150, 250])
def test_it_is_closed_between_two_steps(steps: int) -> None:
    it = warm_adam()
    before = it.fingerprint()
    files = set(Path(tempfile.gettempdir()).iterdir())
    result = refinement_of(LRRecords(), BUDGET, None)
    work = refining(it.task(snapshot="disk"), result)
    for _ in range(steps):
        next(work)
    work.close()
    assert result.stop_reason == "stopped"
    assert result.steps == steps
    assert not differences(before, it.fingerprint())
    assert not {f for f in set(Path(tempfile.gettempdir()).iterdir()) - files if f.is_file()}


def test_losses_that_explode_end_a_trial_and_not_the_rest() -> None:
    it = warm_adam()
    before = it.fingerprint()
    it.plan.at("forward", 100, it.plan.spoil)
    result = refine(it.task(), LRRecords(), BUDGET)
    assert result.stop_reason == "finished"
    assert "non-finite" in set(result.summary.stop_reason)
    assert result.steps < BUDGET
    assert not differences(before, it.fingerprint())
