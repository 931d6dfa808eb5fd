"""Through every adapter: a refinement of a suggested rate, and how it leaves the user's objects."""

import multiprocessing
from collections.abc import Callable
from itertools import dropwhile
from pathlib import Path
from typing import Any

import pytest

from lrwidget import LRRecords, TrainingTask, refine
from lrwidget.engine.refine import refinement_of, refining
from lrwidget.records.refinement import Refinement
from tests.adapters.case import FRAMEWORKS, SAMPLES, Case, make
from tests.restore.endings import interrupt
from tests.restore.fingerprint import differences
from tests.restore.plan import BoomError, Data

ALL = pytest.mark.parametrize("framework", FRAMEWORKS)
# Three trials, each of which goes on once.
LENGTH = 5
BUDGET = 6 * LENGTH + 2


@pytest.fixture(autouse=True)
def short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrwidget.curve.search.SHORT_LENGTH", LENGTH)
    monkeypatch.setattr("lrwidget.curve.search.FARTHEST", 1)
    monkeypatch.setattr("lrwidget.curve.search.NO_SUGGESTION", 1e-3)


def refined(task: TrainingTask, **options: Any) -> Refinement:
    return refine(task, LRRecords(), BUDGET, **options)


def finished(case: Case) -> None:
    result = refined(case.task())
    assert result.stop_reason == "finished"
    assert [len(trial.records) for trial in result.trials].count(2 * LENGTH) >= 2


def closed_in_a_trial_that_goes_on(case: Case) -> None:
    result = refinement_of(LRRecords(), BUDGET, None)
    work = refining(case.task(), result)
    for _ in range(3 * LENGTH + 2):
        next(work)
    work.close()
    assert (result.stop_reason, result.steps) == ("stopped", 3 * LENGTH + 2)


def failed_at_the_first_measurement(case: Case) -> None:
    case.plan.at("forward", 1, case.plan.fail)
    with pytest.raises(BoomError):
        refined(case.task())


def failed_in_backward(case: Case) -> None:
    case.plan.at("backward", 2 * LENGTH, case.plan.fail)
    with pytest.raises(BoomError):
        refined(case.task())


def interrupted_in_the_loader(case: Case) -> None:
    case.plan.at("loader", 11 * LENGTH, interrupt)
    result = refined(case.task())
    assert (result.stop_reason, bool(result.trials)) == ("stopped", True)


def exploded(case: Case) -> None:
    case.plan.at("loss", 3 * LENGTH, case.plan.spoil)
    result = refined(case.task())
    assert "non-finite" in set(result.summary.stop_reason)


ENDINGS: list[Callable[[Case], None]] = [
    finished,
    closed_in_a_trial_that_goes_on,
    failed_at_the_first_measurement,
    failed_in_backward,
    interrupted_in_the_loader,
    exploded,
]
WARM = (finished, failed_in_backward)  # after a training: moments, gradients, counters


@ALL
@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.__name__)
def test_everything_is_as_before(
    framework: str, ending: Callable[[Case], None], folder: Path
) -> None:
    case = make(framework, folder)
    if ending in WARM:
        case.train([0.01] * 3)
        case.fired.clear()
    before = case.fingerprint()
    ending(case)
    assert differences(before, case.fingerprint()) == []
    assert case.fired == []


@ALL
def test_all_trials_begin_alike_and_twice_comes_to_the_same(framework: str, folder: Path) -> None:
    task = make(framework, folder).task()
    first, second = refined(task), refined(task)
    assert len({trial.records.loss[0] for trial in first.trials}) == 1
    assert first.as_json() == second.as_json()
    gone_on = [trial for trial in first.trials if len(trial.records) == 2 * LENGTH]
    assert len(gone_on) >= 2
    assert all(list(trial.held_out) == [LENGTH, 2 * LENGTH] for trial in gone_on)


@ALL
def test_held_out_samples_are_not_trained_on(
    framework: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    getitem = Data.__getitem__

    def noting(self: Data, index: int) -> Any:
        read.append(int(index))
        return getitem(self, index)

    monkeypatch.setattr(Data, "__getitem__", noting)
    result = refined(make(framework, folder).task(), held_out=0.25)
    assert result.held_out == f"5 of {SAMPLES} samples, chosen at random"
    held = set(read[:5])
    trained = list(dropwhile(lambda index: index in held, read))
    assert not held & set(trained)
    assert held | set(trained) == set(range(SAMPLES))


def test_lr_find_refines(folder: Path) -> None:
    from lrwidget import lr_find

    case = make("skorch", folder)
    records = lr_find(
        *case.arguments, **case.keywords, refine=True, planned_steps=50, steps=10, progress=False
    )
    assert records.refinement is not None
    assert records.refinement.stop_reason == "finished"
    assert records.refinement.planned_steps == 50


@pytest.mark.parametrize(
    ("framework", "options"),
    [
        ("transformers", {"dataloader_persistent_workers": True}),
        ("lightning", {}),
        ("skorch", {"iterator_train__persistent_workers": True}),
        ("fastai", {}),
    ],
)
def test_workers_of_loaders_end_with_each_trial(
    framework: str, options: dict[str, Any], folder: Path
) -> None:
    case = make(framework, folder, workers=1, **options)
    result = refinement_of(LRRecords(), BUDGET, None)
    most = 0
    for _ in refining(case.task(), result, 0.25):
        most = max(most, len(multiprocessing.active_children()))
    assert result.stop_reason == "finished"
    assert most == 1
    assert multiprocessing.active_children() == []
