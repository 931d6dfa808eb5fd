"""Tests of the suggestion's details in the page: rules, landmarks, confidence and spread."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.widget.fakepage import page_after
from tests.widget.finder import Gate, comm_of, finder

REGIONS = {"falls_at", "minimum", "explodes_at"}


def bathtub(call: int) -> float:
    """Return the loss of a curve that is flat, falls and explodes in 60 steps from 1e-6 to 10."""
    decades = -6 + 7 * (((call - 1) % 60) + 1) / 60
    noise = 0.01 * math.sin(12.9 * call)
    return 2.0 - 1.5 / (1 + math.exp(-4 * (decades + 3))) + 10 ** (2 * decades) + noise


def test_the_page_gets_what_the_suggestion_rests_on(gate: Gate) -> None:
    gate.losses = bathtub
    gate.open()
    w = finder(loss_fn=gate, start_lr=1e-6, end_lr=10.0, steps=60)
    assert (w._detail["landmarks"], w._detail["suggestions"]) == ({}, {})
    assert (w._detail["confidence"], w._detail["spread"]) == (None, None)
    w.start()
    suggestion = w.wait().suggestion
    detail = page_after(comm_of(w).rows_messages).last["detail"]
    assert detail == w._detail
    assert detail["landmarks"] == {name: getattr(suggestion, name) for name in REGIONS}
    marks = detail["landmarks"]
    assert 1e-6 < marks["falls_at"] < marks["minimum"] < marks["explodes_at"] < 10
    assert (detail["confidence"], detail["spread"]) == (suggestion.confidence, None)
    assert detail["suggestions"] == w.records.suggestions
    assert detail["suggestions"]["auto"] == w.suggestion


def test_a_curve_without_landmarks_has_none_and_little_confidence(gate: Gate) -> None:
    gate.losses = lambda _: 1.0
    gate.open()
    w = finder(loss_fn=gate)
    w.start()
    w.wait()
    assert w._detail["landmarks"] == dict.fromkeys(REGIONS)
    assert w._detail["confidence"] == "low"


def test_repeats_tell_their_spread_and_where_each_begins(gate: Gate) -> None:
    gate.losses = bathtub
    gate.open()
    w = finder(loss_fn=gate, start_lr=1e-6, end_lr=10.0, steps=60, repeats=3)
    comm_of(w).say(type="hello")
    w.start()
    records = w.wait()
    page = page_after(comm_of(w).rows_messages)
    assert len(page.starts) == 3
    assert page.starts == records.sweep_starts
    assert len(page.rows) == len(records)
    spread = page.last["detail"]["spread"]
    assert spread == records.suggestion.spread
    assert 0 < spread < 0.5


def test_numbers_that_json_lacks_become_none(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    from lrwidget.curve.suggest import Suggestion

    odd = Suggestion(1e-3, "odd", "low", falls_at=np.inf, minimum=np.nan, spread=np.nan)
    monkeypatch.setattr("lrwidget.records.records.suggest", lambda *_: odd)
    gate.open()
    w = finder(loss_fn=gate)
    w.start()
    w.wait()
    assert w._detail["landmarks"] == dict.fromkeys(REGIONS)
    assert w._detail["spread"] is None


def test_a_new_run_forgets_what_the_last_one_came_to(gate: Gate) -> None:
    gate.losses = bathtub
    gate.let(60)
    w = finder(loss_fn=gate, start_lr=1e-6, end_lr=10.0, steps=60)
    w.start()
    w.wait()
    assert w._detail["landmarks"]["falls_at"]
    w.start()
    assert (w._detail["landmarks"], w._detail["suggestions"]) == ({}, {})
    assert (w._detail["confidence"], w._detail["spread"]) == (None, None)
    gate.open()
    w.wait()
