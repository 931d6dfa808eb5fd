"""The losses of a sweep are those of the framework's own loop at those rates, to the last bit."""

from pathlib import Path

import pytest

from tests.adapters.case import FRAMEWORKS, make
from tests.restore.endings import STEPS, find


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_losses_equal_those_of_the_own_loop(framework: str, folder: Path) -> None:
    records = find(make(framework, folder / "sweep").task())
    own = make(framework, folder / "own").train(list(records.lr))
    assert len(own) == STEPS
    assert list(records.loss) == own
