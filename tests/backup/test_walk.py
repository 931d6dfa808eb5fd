"""What objects hold is found without looking at each of very many items."""

from typing import Any

import pytest
from torch import nn

from lrwidget.backup import walk


def test_items_of_a_long_list_are_told_by_their_few_types(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.Linear(1, 1)
    rows: list[Any] = [*((number,) for number in range(10_000)), layer]
    asked = 0
    is_a = walk.is_a

    def counted(value: Any, kinds: Any) -> bool:
        nonlocal asked
        asked += 1
        return is_a(value, kinds)

    monkeypatch.setattr(walk, "is_a", counted)
    found = list(walk.used_by(lambda: rows, containers=True))
    assert layer in [value for value in found if isinstance(value, nn.Module)]
    assert asked < 1000


def test_items_of_a_long_list_may_be_of_a_class_that_cannot_be_hashed() -> None:
    class Kind(type):
        def __eq__(cls, other: object) -> bool:
            return cls is other

    class Odd(metaclass=Kind):
        pass

    layer = nn.Linear(1, 1)
    rows: list[Any] = [*(Odd() for _ in range(10_000)), layer]
    assert layer in [
        value for value in walk.used_by(lambda: rows, containers=True) if value is layer
    ]
