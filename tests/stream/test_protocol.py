"""Tests that the kernel parses known messages of the page and refuses others with an error.

``tests/vectors/wire.json`` is written by ``python tests/vectors/make_wire.py``, whose docstring
describes the format; the page's tests share it.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrwidget.engine.runner import RunState
from lrwidget.stream import protocol, refinement
from lrwidget.stream.protocol import (
    COMMANDS,
    PAGE_MESSAGES,
    RUN_ACTIONS,
    Command,
    Export,
    Hello,
    Resync,
    Status,
    brief,
    exported_message,
    keys_of,
    parse,
    rows_message,
    saved,
    well_formed,
)
from tests.vectors import make_wire

VECTORS = Path(__file__).parents[1] / "vectors" / "wire.json"
WIRE = json.loads(VECTORS.read_text(encoding="utf-8"))
VALUES = {
    "rows": protocol.RowsMessage,
    "check": protocol.CheckMessage,
    "refinement": protocol.RefinementMessage,
    "exported": protocol.ExportedMessage,
    "saved_run": protocol.SavedRun,
    "saved_check": protocol.SavedCheck,
    "saved_refinement": protocol.SavedRefinement,
    "detail": protocol.Detail,
    "landmarks": protocol.Landmarks,
    "optimizer": protocol.OptimizerRecipe,
    "check_detail": protocol.CheckDetail,
    "refinement_detail": refinement.RefinementDetail,
    "trial": refinement.TrialDetail,
    "legend": protocol.Legend,
}


@dataclass
class Table:
    """A table of rows in the format of the vectors."""

    pairs: list[list[Any]]
    sweep_starts: list[int]

    def rows(self, offset: int = 0) -> np.ndarray:
        return np.array(self.pairs[offset:], dtype=float).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.pairs)


def name_of(case: dict[str, Any]) -> str:
    return case["name"]


# -- the vectors that the page's tests share


def test_the_vectors_are_those_of_their_script(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(make_wire, "__file__", str(tmp_path / "make_wire.py"))
    make_wire.main()
    assert (tmp_path / "wire.json").read_bytes() == VECTORS.read_bytes()


def test_both_sides_use_the_same_names() -> None:
    assert sorted(RunState) == sorted(WIRE["names"]["states"])
    assert sorted(COMMANDS) == sorted(WIRE["names"]["commands"])
    assert sorted(RUN_ACTIONS) == sorted(WIRE["names"]["run_actions"])


def test_both_sides_know_the_same_messages_and_values() -> None:
    assert sorted(WIRE["fields"]) == sorted([*VALUES, *PAGE_MESSAGES])


@pytest.mark.parametrize("name", WIRE["fields"])
def test_both_sides_know_the_same_fields_of(name: str) -> None:
    if name in VALUES:
        known = set(VALUES[name].__annotations__)
    else:
        known = {"type", *keys_of(PAGE_MESSAGES[name]).values()}
    assert known == set(WIRE["fields"][name])


@pytest.mark.parametrize("case", WIRE["from_kernel"], ids=name_of)
def test_a_message_with_rows_is_that_of_the_vectors(case: dict[str, Any]) -> None:
    table = Table(case["rows"], case["sweep_starts"])
    content, buffers = rows_message(
        Status(**case["status"]), table, case["offset"], **case["options"]
    )
    assert json.loads(json.dumps(content, allow_nan=False)) == case["content"]
    assert [buffer.hex() for buffer in buffers] == case["buffers"]


@pytest.mark.parametrize("case", WIRE["saved"], ids=name_of)
def test_what_is_saved_is_that_of_the_vectors(case: dict[str, Any]) -> None:
    table = Table(case["rows"], case["sweep_starts"])
    value = saved(Status(**case["status"]), table, case["kind"])
    assert value | {"data": value["data"].hex()} == case["value"]


@pytest.mark.parametrize("content", WIRE["exported"], ids=lambda content: content["text"])
def test_an_answer_to_export_is_that_of_the_vectors(content: dict[str, Any]) -> None:
    assert exported_message(content["ok"], content["text"]) == content


@pytest.mark.parametrize("case", WIRE["from_page"] + WIRE["accepted"], ids=str)
def test_a_message_of_the_page_is_read(case: dict[str, Any]) -> None:
    message = parse(case["content"])
    assert type(message) is PAGE_MESSAGES[case["content"]["type"]]
    assert asdict(message) == case["fields"]


@pytest.mark.parametrize("content", WIRE["refused"], ids=str)
def test_what_is_no_message_of_the_page_is_refused(content: Any) -> None:
    with pytest.raises(ValueError, match=r"expected an object|looks like"):
        parse(content)


@pytest.mark.parametrize("lr", [float("nan"), float("inf"), -float("inf")])
def test_a_rate_that_json_has_no_number_for_is_refused(lr: float) -> None:
    with pytest.raises(ValueError, match="'lr' is not a finite number"):
        parse({"type": "pick", "lr": lr})


# -- other messages


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
        {"content": {"data": {"method": "custom"}}},  # ipywidgets raises without buffers
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
