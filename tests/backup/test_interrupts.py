"""An interrupt is raised only after all the actions have run."""

import pytest

from lrwidget.backup.interrupts import uninterrupted


def test_what_is_interrupted_is_done_again_and_the_rest_after_it() -> None:
    done: list[str] = []

    def interrupted_once() -> None:
        done.append("one")
        if len(done) == 1:
            raise KeyboardInterrupt

    actions = [interrupted_once, lambda: done.append("two")]
    with pytest.raises(KeyboardInterrupt):
        uninterrupted(actions)
    assert done == ["one", "one", "two"]
    uninterrupted(actions)
    assert done == ["one", "one", "two"]


def test_another_error_comes_through_at_once() -> None:
    done: list[str] = []
    with pytest.raises(ZeroDivisionError):
        uninterrupted([lambda: 1 // 0, lambda: done.append("two")])
    assert not done
