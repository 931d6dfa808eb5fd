"""Through every adapter on a CUDA device, which each framework takes by itself where there is one.

What is said of the CPU in test_promises.py, test_own_loop.py and test_refine.py holds there too.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lrwidget import LRFinderWidget, LRRecords, refine
from tests.adapters.case import FRAMEWORKS, Case, make
from tests.adapters.test_promises import NAMES, ending_of
from tests.gpu import DEVICE
from tests.restore.endings import OPTIONS, PATIENCE, STEPS, find, interrupt, wait_until
from tests.restore.fingerprint import differences
from tests.restore.plan import BoomError

# What each framework is told for the CPU, as it is by default.
SETTINGS: dict[str, dict[str, Any]] = {
    "lightning": {"accelerator": "auto", "devices": 1},
    "transformers": {"use_cpu": False},
    "fastai": {"device": DEVICE},
    "skorch": {"device": DEVICE.type},
    "accelerate": {"cpu": False},
}
ALL = pytest.mark.parametrize("framework", FRAMEWORKS)


def case_of(framework: str, folder: Path, **options: Any) -> Case:
    return make(framework, folder, **SETTINGS[framework], **options)


@pytest.fixture(autouse=True)
def in_use(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Use the device first, so that torch's lasting allocations exist."""
    framework = request.node.callspec.params["framework"]
    case = case_of(framework, tmp_path / "before")
    assert find(case.task()).meta["device"].startswith(DEVICE.type)


# "extended, Stop" reacts to single rows; on a device rows arrive in groups.
@ALL
@pytest.mark.parametrize("ending", [name for name in NAMES if name != "extended, Stop"])
def test_everything_is_as_before(framework: str, ending: str, folder: Path) -> None:
    case = case_of(framework, folder)
    task = case.task()
    before = case.fingerprint()
    assert len(ending_of(framework, ending)(task, case.plan)) > 0
    assert differences(before, case.fingerprint()) == []
    assert case.fired == []


@ALL
def test_a_sweep_after_a_training_leaves_what_training_left(framework: str, folder: Path) -> None:
    case = case_of(framework, folder)
    case.train([0.01] * 4)
    case.fired.clear()
    task = case.task()
    before = case.fingerprint()
    assert find(task).stop_reason == "finished"
    assert differences(before, case.fingerprint()) == []


@ALL
def test_losses_equal_those_of_the_own_loop(framework: str, folder: Path) -> None:
    records = find(case_of(framework, folder / "sweep").task())
    own = case_of(framework, folder / "own").train(list(records.lr))
    assert len(own) == STEPS
    assert list(records.loss) == own


@ALL
def test_training_after_a_sweep_equals_training_without_one(framework: str, folder: Path) -> None:
    rates = [0.01] * 6
    plain = case_of(framework, folder / "a").train(rates)
    case = case_of(framework, folder / "b")
    find(case.task())
    assert case.train(rates) == plain


@ALL
def test_the_widget_takes_it_and_lets_go(framework: str, folder: Path) -> None:
    case = case_of(framework, folder)
    before = case.fingerprint()
    widget = LRFinderWidget(*case.arguments, **case.keywords, **OPTIONS)
    widget.start()
    assert len(widget.wait(PATIENCE)) == STEPS
    widget.close()
    wait_until(lambda: differences(before, case.fingerprint()) == [])
    assert case.fired == []


def finished(case: Case) -> None:
    assert refine(case.task(), LRRecords(), 200).stop_reason == "finished"


def failed(case: Case) -> None:
    case.plan.at("backward", 20, case.plan.fail)
    with pytest.raises(BoomError):
        refine(case.task(), LRRecords(), 200)


def interrupted(case: Case) -> None:
    case.plan.at("loss", 30, interrupt)
    assert refine(case.task(), LRRecords(), 200).stop_reason == "stopped"


@ALL
@pytest.mark.parametrize(
    "ending", [finished, failed, interrupted], ids=lambda ending: ending.__name__
)
def test_everything_is_as_before_a_refinement(
    framework: str, ending: Callable[[Case], None], folder: Path
) -> None:
    case = case_of(framework, folder)
    case.train([0.01] * 3)
    case.fired.clear()
    before = case.fingerprint()
    ending(case)
    assert differences(before, case.fingerprint()) == []
    assert case.fired == []


@ALL
def test_a_loss_in_half_precision(framework: str, folder: Path) -> None:
    half: dict[str, dict[str, Any]] = {
        "lightning": {"precision": "16-mixed"},
        "transformers": {"fp16": True},
        "accelerate": {"mixed_precision": "fp16"},
    }
    case = case_of(framework, folder, **half.get(framework, {}))
    before = case.fingerprint()
    records = find(case.task())
    assert len(records) == STEPS
    assert records.frame.loss.notna().all()
    assert differences(before, case.fingerprint()) == []
