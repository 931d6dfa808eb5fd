"""Tests of what the page receives of several runs, and of what it changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.widget.fakepage import tables
from tests.widget.finder import comm_of, finder
from tests.widget.several import labels, run


def test_every_row_of_every_run_reaches_the_page() -> None:
    w = finder()
    comm_of(w).say(type="hello")
    for options in ({}, {"batch_size": 64}, {"repeats": 2}):
        run(w, **options)
    w.add(w.runs[0])
    w.remove("batch_size=64")
    expected = {
        number: records.rows().tolist() for number, records in zip((1, 3, 4), w.runs, strict=True)
    }
    streamed = tables(comm_of(w).rows_messages)
    assert {number: streamed[number] for number in expected} == expected
    # A page that opens now receives every row of every run.
    already = len(comm_of(w).sent)
    comm_of(w).say(type="hello")
    assert tables([m for m in comm_of(w).sent[already:] if "offset" in m.content]) == expected
    # A page can also ask for the rows of an inactive run.
    comm_of(w).say(type="resync", run=1, **{"from": 15})
    last = comm_of(w).sent[-1]
    assert (last.content["run"], last.content["offset"], len(last.buffers[0])) == (1, 15, 80)
    # The saved state holds every row too.
    state = w.get_state("_runs")["_runs"]
    assert {
        saved["run"]: np.frombuffer(saved["data"], "<f8").reshape(-1, 2).tolist() for saved in state
    } == expected
    assert all(saved["detail"]["span"] == [1e-5, 1.0] for saved in state)


def test_a_page_asking_for_a_run_that_is_gone_hears_nothing() -> None:
    w = finder()
    run(w)
    run(w)
    w.remove("run 1")
    already = len(comm_of(w).sent)
    comm_of(w).say(type="resync", run=1, **{"from": 0})
    assert comm_of(w).sent[already:] == []


def test_the_page_activates_renames_and_removes() -> None:
    w = finder()
    page = comm_of(w)
    first, second = run(w), run(w)
    page.say(type="run", action="activate", run=1)
    assert w.records is first
    page.say(type="run", action="rename", run=2, label="  the other ")
    assert labels(w) == ["run 1", "the other"]
    page.say(type="run", action="remove", run=1)
    assert w.runs == [second]
    page.say(type="run", action="activate", run=1)
    assert w._detail["notice"] == "that run is gone"
    page.say(type="run", action="rename", run=2, label=" ")
    assert "expected a name" in w._detail["notice"]


@pytest.mark.parametrize(
    "junk",
    [
        {"action": "close", "run": 1},
        {"action": "remove", "run": -1},
        {"action": "remove", "run": "1"},
        {"action": ["remove"], "run": 1},
        {"action": "rename", "run": 1, "label": 5},
        {"action": "remove"},
    ],
)
def test_a_malformed_wish_is_ignored(junk: dict[str, Any], caplog: Any) -> None:
    w = finder()
    run(w)
    comm_of(w).say(type="run", **junk)
    assert labels(w) == ["run 1"]
    assert "ignored a message of the page" in caplog.text


def test_what_is_hidden_is_the_pages_choice_and_stays() -> None:
    w = finder()
    run(w)
    run(w)
    comm_of(w).set(_hidden=[1])
    assert list(w.get_state("_hidden")["_hidden"]) == [1]
    for bad in (["1"], [-1], [True], 5, None):
        comm_of(w).set(_hidden=bad)
        assert list(w.get_state("_hidden")["_hidden"]) == [1]
    w.remove("run 1")
    assert list(w.get_state("_hidden")["_hidden"]) == []
