"""Through every adapter: however a sweep ends, everything is bit for bit as before.

No callback, logger or checkpoint notices the sweep.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from lrwidget import LRFinderWidget, LRRecords, TrainingTask
from tests.adapters.case import FRAMEWORKS, make
from tests.restore.endings import ENDINGS, OPTIONS, PATIENCE, STEPS, find, wait_until
from tests.restore.fingerprint import differences
from tests.restore.plan import Plan

Ending = Callable[[TrainingTask, Plan], LRRecords]


def diverging(batch: int) -> Ending:
    """Diverge later than the shared ending does, since some steps here take several batches."""

    def diverged(task: TrainingTask, plan: Plan) -> LRRecords:
        plan.at("loss", batch, plan.explode)
        records = find(task)
        assert records.stop_reason == "diverged"
        assert len(records) < STEPS
        return records

    return diverged


def ending_of(framework: str, name: str) -> Ending:
    """Return the named ending."""
    if name == "diverged":
        return diverging(9 if framework == "skorch" else 13)
    return ENDINGS[name]


# An adapter has no metric of its own.
NAMES = [name for name in ENDINGS if "metric" not in name]


@pytest.mark.parametrize("ending", NAMES)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_everything_is_as_before(framework: str, ending: str, folder: Path) -> None:
    case = make(framework, folder)
    task = case.task()
    before = case.fingerprint()
    records = ending_of(framework, ending)(task, case.plan)
    assert len(records) > 0
    assert differences(before, case.fingerprint()) == []
    assert case.fired == []
    assert not list(folder.rglob("*.ckpt"))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_training_goes_on_with_does_not_know_of_the_sweep(
    framework: str, folder: Path
) -> None:
    """Training after the sweep equals training without one."""
    rates = [0.01] * 6
    plain = make(framework, folder / "a").train(rates)
    case = make(framework, folder / "b")
    find(case.task())
    assert case.train(rates) == plain


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_second_sweep_of_the_same_task_repeats_the_first(framework: str, folder: Path) -> None:
    task = make(framework, folder).task()
    first, second = find(task), find(task)
    assert list(first.loss) == list(second.loss)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_repeats_differ_and_a_seed_fixes_them(framework: str, folder: Path) -> None:
    task = make(framework, folder).task()
    one = find(task, repeats=2, seed=5)
    two = find(task, repeats=2, seed=5)
    assert list(one.loss) == list(two.loss)
    assert list(one.loss[:STEPS]) != list(one.loss[STEPS:])


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_sweep_after_a_training_leaves_what_training_left(framework: str, folder: Path) -> None:
    case = make(framework, folder)
    case.train([0.01] * 4)  # moments, buffers, gradients
    case.fired.clear()
    task = case.task()
    before = case.fingerprint()
    assert find(task).stop_reason == "finished"
    assert differences(before, case.fingerprint()) == []


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_widget_takes_it_and_lets_go(framework: str, folder: Path) -> None:
    case = make(framework, folder)
    before = case.fingerprint()
    widget = LRFinderWidget(*case.arguments, **case.keywords, **OPTIONS)
    assert widget.state == "idle"
    widget.start()
    assert len(widget.wait(PATIENCE)) == STEPS
    widget.close()
    wait_until(lambda: differences(before, case.fingerprint()) == [])
    assert case.fired == []
