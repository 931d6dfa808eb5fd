"""Whatever a page sends is data: known messages are understood, all else is refused in words."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrwidget.stream.protocol import (
    COMMANDS,
    Command,
    Export,
    Hello,
    Resync,
    brief,
    parse,
    well_formed,
)


def test_known_messages() -> None:
    assert parse({"type": "hello"}) == Hello()
    assert parse({"type": "resync", "run": 2, "from": 17}) == Resync(2, 17)
    assert parse({"type": "export", "name": "not checked here;"}) == Export("not checked here;")
    for name in COMMANDS:
        assert parse({"type": "command", "name": name}) == Command(name)


@pytest.mark.parametrize(
    "content",
    [
        None,
        5,
        "hello",
        [],
        {},
        {"type": None},
        {"type": ["hello"]},
        {"type": "resync"},
        {"type": "resync", "run": 1, "from": -1},
        {"type": "resync", "run": 1.5, "from": 0},
        {"type": "resync", "run": True, "from": 0},
        {"type": "command"},
        {"type": "command", "name": "close"},
        {"type": "command", "name": "__init__"},
        {"type": "command", "name": ["start"]},
        {"type": "export"},
        {"type": "export", "name": 3},
        {"type": "eval", "code": "1"},
    ],
)
def test_anything_else_is_refused(content: Any) -> None:
    with pytest.raises(ValueError, match=r"expected an object|looks like|is not a count"):
        parse(content)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
messages = st.fixed_dictionaries(
    {"type": st.sampled_from(["hello", "resync", "command", "export"])},
    optional={"name": json_values, "run": json_values, "from": json_values},
)


@given(json_values | messages)
def test_nothing_but_a_value_error_comes_out(content: Any) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse(content), Hello | Resync | Command | Export)


@pytest.mark.parametrize(
    "data",
    [
        {"method": "update", "state": {"lr": 1.0}, "buffer_paths": []},
        {"method": "update", "state": {}},
        {"method": "request_state"},
        {"method": "custom", "content": 5},
    ],
)
def test_well_formed(data: Any) -> None:
    assert well_formed({"content": {"data": data}, "buffers": []})


@pytest.mark.parametrize(
    "message",
    [
        None,
        {},
        {"content": {}},
        {"content": {"data": 5}},
        {"content": {"data": {"method": "update"}}},
        {"content": {"data": {"method": "update", "state": 5}}},
        {"content": {"data": {"method": "update", "state": {}, "buffer_paths": [["a"]]}}},
        {"content": {"data": {"method": "run"}}},
        {"content": {"data": {"method": "custom"}}},  # without buffers ipywidgets would raise
    ],
)
def test_malformed(message: Any) -> None:
    assert not well_formed(message)


def test_brief_is_brief_and_never_fails() -> None:
    class Rude:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert len(brief("x" * 10_000)) <= 121
    assert brief(Rude()) == "<RuntimeError in repr>"
