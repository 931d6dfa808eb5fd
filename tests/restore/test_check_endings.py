"""However a check ends, it restores everything and keeps the recorded rows."""

from collections.abc import Callable

import pytest

from lrwidget import check_lrs
from lrwidget.engine.runner import RunState
from lrwidget.records.check_results import CheckResults
from lrwidget.sources.local import CheckRunner
from tests.restore.endings import PATIENCE, interrupt
from tests.restore.fingerprint import differences
from tests.restore.plan import BoomError
from tests.restore.scenes import Scene, batchnorm_dropout, warm_adam

Make = Callable[[], Scene]

LRS = [1e-3, 1e-2]
STEPS = 4
SCENES = pytest.mark.parametrize("make", [warm_adam, batchnorm_dropout])
PLACES = pytest.mark.parametrize("place", ["forward", "backward", "loader", "loss", "metric"])
SNAPSHOTS = pytest.mark.parametrize("snapshot", ["auto", "device", "disk"])


def in_the_second_trial(it: Scene, place: str) -> int:
    """Return the number of a call of `place` in the second half of the second trial."""
    before = it.plan.counts[place]
    results = check_lrs(it.task(), LRS, STEPS)
    assert [len(trial) for trial in results.trials] == [STEPS, STEPS]
    calls = it.plan.counts[place] - before
    assert calls >= 2 * len(LRS)
    return calls - calls // 8


def keeps_its_rows(results: CheckResults, reason: str) -> None:
    first, second = results.trials
    assert (first.stop_reason, len(first)) == ("finished", STEPS)
    assert second.stop_reason == reason
    assert 0 < len(second) < STEPS
    assert len(results.frame) == STEPS + len(second)


@SCENES
@PLACES
@SNAPSHOTS
def test_an_interrupt(make: Make, place: str, snapshot: str) -> None:
    it = make()
    call = in_the_second_trial(it, place)
    before = it.fingerprint()
    it.plan.at(place, call, interrupt)
    results = check_lrs(it.task(snapshot=snapshot), LRS, STEPS)
    keeps_its_rows(results, "stopped")
    assert not differences(before, it.fingerprint())


@SCENES
@PLACES
@SNAPSHOTS
def test_an_exception(make: Make, place: str, snapshot: str) -> None:
    it = make()
    call = in_the_second_trial(it, place)
    before = it.fingerprint()
    it.plan.at(place, call, it.plan.fail)
    with pytest.raises(BoomError):
        check_lrs(it.task(snapshot=snapshot), LRS, STEPS)
    assert not differences(before, it.fingerprint())
    # The lock on the model is released.
    assert check_lrs(it.task(), LRS, 2).best in LRS


@PLACES
def test_an_exception_in_the_background_keeps_the_rows(place: str) -> None:
    it = warm_adam()
    call = in_the_second_trial(it, place)
    before = it.fingerprint()
    it.plan.at(place, call, it.plan.fail)
    runner = CheckRunner(it.task(), LRS, STEPS)
    runner.start()
    with pytest.raises(BoomError):
        runner.wait(PATIENCE)
    assert runner.state is RunState.FAILED
    keeps_its_rows(runner.result, "failed")
    assert not differences(before, it.fingerprint())
