"""apply() writes the rate where the framework's next training reads it."""

from pathlib import Path

import pytest

from lrwidget import LRFinderWidget
from tests.adapters.case import FRAMEWORKS, LR, make
from tests.restore.endings import OPTIONS


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_next_training_begins_at_the_applied_rate(framework: str, folder: Path) -> None:
    case = make(framework, folder)
    widget = LRFinderWidget(*case.arguments, **case.keywords, **{**OPTIONS, "end_lr": 1.0})
    widget.lr = 0.0123
    widget.apply()
    widget.close()
    assert case.rate_of_training() == 0.0123


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_without_apply_it_begins_at_its_own(framework: str, folder: Path) -> None:
    assert make(framework, folder).rate_of_training() == LR
