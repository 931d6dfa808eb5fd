"""Tests that the widget answers known messages of a page, and logs and ignores others."""

from __future__ import annotations

import logging
import threading
from typing import Any

import numpy as np
import pytest
from ipywidgets.embed import dependency_state

from tests.widget.fakepage import page_after
from tests.widget.finder import (
    Gate,
    comm_of,
    finder,
    until,
)


def test_page_values_are_taken_each_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    w = finder()
    w.smoothing = 0.5
    already = len(comm_of(w).sent)
    comm_of(w).set(lr=1e-2, smoothing=7, y_max=3, variable="rate", lr_range=[1, 0])
    assert (w.lr, w.y_max, w.variable) == (1e-2, 3.0, "rate")
    assert (w.smoothing, w.lr_range) == (0.5, None)
    assert "ignored smoothing from the page" in caplog.text
    assert "ignored lr_range from the page" in caplog.text
    # The page receives the values that the widget kept instead.
    told = [m.data for m in comm_of(w).sent[already:] if m.data["method"] == "update"]
    assert told[-1]["state"] == {"smoothing": 0.5, "lr_range": None}


def test_a_clamped_value_goes_back_to_the_page() -> None:
    w = finder()
    w.lr = 1.0
    already = len(comm_of(w).sent)
    comm_of(w).set(lr=270_000.0)
    assert w.lr == 1.0
    echoes = [m.data for m in comm_of(w).sent[already:] if m.data["method"] == "echo_update"]
    assert [echo["state"] for echo in echoes] == [{"lr": 1.0}]


def test_a_page_cannot_set_what_the_kernel_owns() -> None:
    w = finder()
    kept = w.get_state(["state", "_esm", "figure", "_detail", "steps"])
    comm_of(w).set(
        state="finished", _esm="alert(1)", figure=None, _detail={}, steps=3, comm=None, no_such=1
    )
    assert w.get_state(["state", "_esm", "figure", "_detail", "steps"]) == kept
    assert w.comm is not None


def test_bad_page_values_roll_nothing_back_that_moved_meanwhile(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    w.start()
    gate.open()
    until(lambda: w._run_list.active.outcome is not None)
    comm_of(w).set(smoothing="much", y_max=2.0)
    assert (w._trait_values["state"], w._trait_values["y_max"]) == ("finished", 2.0)
    w.wait()


def test_hello_is_answered_with_everything(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    w.start()
    gate.let(6)
    until(lambda: len(w.records) >= 5)
    comm_of(w).say(type="hello")
    answer = comm_of(w).rows_messages[-1]
    until(lambda: any(m.content["type"] == "sync" for m in comm_of(w).rows_messages))
    [answer] = [m for m in comm_of(w).rows_messages if m.content["type"] == "sync"]
    assert answer.content["model_id"] == w.model_id
    assert (answer.content["offset"], answer.content["run"]) == (0, 1)
    assert answer.content["detail"] == w._detail
    assert page_after([answer]).rows == w.records.rows().tolist()[: answer.content["step"]]
    assert answer.content["step"] >= 5


def test_resync_sends_from_where_the_page_says(gate: Gate) -> None:
    gate.open()
    w = finder(loss_fn=gate)
    w.start()
    w.wait()
    for run, start, offset in [(1, 15, 15), (1, 0, 0), (9, 15, 0), (1, 500, 500)]:
        comm_of(w).say(type="resync", run=run, **{"from": start})
        answer = comm_of(w).rows_messages[-1]
        assert answer.content["offset"] == offset
        rows = sum(map(len, answer.buffers)) // 16
        assert rows == max(0, 20 - offset)


@pytest.mark.parametrize(
    "content", [None, 5, {"type": "command", "name": "close"}, {"type": "resync", "run": "1"}]
)
def test_malformed_custom_messages_are_logged_and_ignored(
    content: Any, caplog: pytest.LogCaptureFixture
) -> None:
    w = finder()
    already = len(comm_of(w).sent)
    comm_of(w).receive({"method": "custom", "content": content})
    assert "ignored a message of the page" in caplog.text
    assert len(comm_of(w).sent) == already
    assert w.comm is not None


@pytest.mark.parametrize(
    "data", [None, 5, {}, {"method": "update", "state": 5}, {"method": "explode"}]
)
def test_malformed_comm_messages_are_logged_and_ignored(
    data: Any, caplog: pytest.LogCaptureFixture
) -> None:
    comm_of(finder()).receive(data)
    assert "ignored a malformed message of the page" in caplog.text
    assert all(record.levelno == logging.WARNING for record in caplog.records)


def test_errors_of_buttons_are_told_to_the_page(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    page = comm_of(w)
    page.say(type="command", name="apply")
    assert "no learning rate to apply" in w._detail["notice"]
    page.say(type="command", name="start")
    assert w._detail["notice"] == ""
    page.say(type="command", name="start")
    assert "already running" in w._detail["notice"]
    assert "already running" in page_after(page.rows_messages).last["detail"]["notice"]
    page.say(type="command", name="pause")
    assert w._detail["notice"] == ""


def test_every_button_is_answered_and_leaves_the_rows_to_the_stream(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    page = comm_of(w)
    for name in ("pause", "resume", "stop", "reset"):
        already = len(page.rows_messages)
        page.say(type="command", name=name)
        assert page.rows_messages[already:][-1].content["state"] == "idle"
    w.start()
    gate.let(5)
    until(lambda: len(w.records) >= 4)
    page.say(type="command", name="resume")
    answers = [m for m in page.rows_messages if m.thread is threading.current_thread()]
    assert answers[-1].content["state"] == "running"
    assert answers[-1].buffers == []


def test_a_button_that_breaks_is_logged_and_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("deep inside")

    w = finder()
    monkeypatch.setattr(w, "start", broken)
    comm_of(w).say(type="command", name="start")
    assert w._detail["notice"] == "ZeroDivisionError: deep inside"
    assert "a command of the page failed" in caplog.text


def test_the_saved_state_has_the_rows_only_where_no_page_keeps_them() -> None:
    silent, greeted = finder(), finder()
    comm_of(greeted).say(type="hello")
    for w in (silent, greeted):
        w.start()
        w.wait()
    [saved] = [m for m in comm_of(silent).sent if "_runs" in m.data.get("state", {})]
    assert np.frombuffer(saved.buffers[0], "<f8").reshape(-1, 2).tolist() == (
        silent.records.rows().tolist()
    )
    assert comm_of(greeted).updates("_runs") == []


def test_where_no_page_keeps_them_the_saved_state_has_the_rows_of_what_is_added() -> None:
    other, silent, greeted = finder(), finder(), finder()
    other.start()
    comm_of(greeted).say(type="hello")
    for w in (silent, greeted):
        w.add(other.wait(), label="added")
    [saved] = [m for m in comm_of(silent).sent if "_runs" in m.data.get("state", {})]
    assert np.frombuffer(saved.buffers[0], "<f8").reshape(-1, 2).tolist() == (
        other.records.rows().tolist()
    )
    assert comm_of(greeted).updates("_runs") == []


def test_a_page_without_kernel_is_given_values_that_are_the_defaults_too() -> None:
    w = finder()
    state = dependency_state(w)  # what `ipywidgets.embed` writes leaves defaults out
    assert set(state[w.model_id]["state"]) == set(w.get_state())
    assert set(state) >= {w.figure.model_id, *(mark.model_id for mark in w.figure.marks)}
