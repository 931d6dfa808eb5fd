"""Tests of the widget at rest and in a run: traits, threads, observers and rows."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import Any

import ipywidgets
import numpy as np
import pytest
import traitlets
from ipywidgets.widgets.widget import _instances

from lrwidget import LRFinderWidget, TrainingTask
from lrwidget.text.numbers import rate_in_words
from lrwidget.widget.bundle import NO_WIDGETS
from tests.widget.fakepage import page_after
from tests.widget.finder import (
    ENDED,
    Gate,
    comm_of,
    finder,
    training,
    until,
)

VIEW = "application/vnd.jupyter.widget-view+json"
STATES = ["state", "step", "steps", "suggestion", "error", "lr"]


# -- at rest


def test_a_new_widget_is_idle_and_complete() -> None:
    w = finder(repeats=2)
    assert [getattr(w, name) for name in STATES] == ["idle", 0, 40, None, None, None]
    assert (w.smoothing, w.y_max, w.lr_range, w.variable) == (0.9, None, None, "lr")
    state = comm_of(w).opening["data"]["state"]
    assert state["_range"] == [1e-5, 1.0]
    assert state["steps"] == 40
    [only] = state["_runs"]
    assert (only["run"], only["state"], only["starts"], only["step"]) == (1, "idle", [0], 0)
    assert state["_legend"] == {"active": 1, "runs": [], "parallel": False}
    assert len(w.records) == 0
    assert repr(w) == "LRFinderWidget(idle, 40 steps)"


def test_unknown_keyword_is_named_and_leaves_nothing() -> None:
    before = set(_instances)
    with pytest.raises(TypeError, match="star_lr"):
        finder(star_lr=1e-6)
    with pytest.raises(traitlets.TraitError):
        finder(layout=5)
    for height in (0, 2.5, "tall", True):
        with pytest.raises((TypeError, ValueError), match="height"):
            finder(height=height)
    gc.collect()
    assert set(_instances) == before


def test_a_task_carries_everything() -> None:
    task = TrainingTask(**training())
    w = LRFinderWidget(task, start_lr=1e-4, end_lr=0.1, steps=5)
    w.start()
    assert len(w.wait()) == 5
    with pytest.raises(TypeError, match="data"):
        LRFinderWidget(task, data=[1])


def test_height_and_layout() -> None:
    w = finder(height=420, layout={"width": "500px"})
    assert w.figure.layout.height == "420px"
    assert w.layout.width == "500px"
    mine = ipywidgets.Layout(width="50%")
    other = finder(layout=mine)
    other.close()
    assert mine.comm is not None  # the widget leaves the user's layout open
    mine.close()


# -- a run


def test_every_row_reaches_the_page_in_order() -> None:
    w = finder(steps=200, repeats=2)
    comm_of(w).say(type="hello")
    w.start()
    records = w.wait()
    messages = comm_of(w).rows_messages
    expected = 0
    for message in messages[1:]:  # the first message answers the hello
        assert message.content["offset"] == expected
        expected += sum(map(len, message.buffers)) // 16
    page = page_after(messages)
    assert page.rows == records.rows().tolist()
    assert page.gaps == 0
    assert page.starts == records.sweep_starts
    assert (page.last["state"], page.last["step"]) == (w.state, len(records))
    assert page.last["lr"] == w.lr
    assert page.last["detail"] == w._detail
    # The saved trait holds the same rows.
    data = w.get_state("_runs")["_runs"][0]["data"]
    assert np.frombuffer(data, "<f8").reshape(-1, 2).tolist() == page.rows


@pytest.mark.slow
def test_traffic_stays_in_its_budget(gate: Gate) -> None:
    w = finder(loss_fn=gate, steps=1500, stop_at_divergence=False)
    comm_of(w).say(type="hello")
    already = len(comm_of(w).sent)
    began = time.monotonic()
    w.start()
    while w.state == "running":
        gate.let(2)
        _ = w.step, w.records  # reading traits must not send extra messages
        time.sleep(0.002)
    seconds = time.monotonic() - began
    sent = comm_of(w).sent[already:]
    # The changes of state at the start and at the end send a message and an update each.
    assert len(sent) <= 25 * seconds + 4
    rows = [message for message in sent if "offset" in message.content]
    assert sum(len(b) for m in rows for b in m.buffers) <= 24 * len(w.records)
    assert all(m.size <= 300 for m in rows if "detail" not in m.content)


def test_reading_the_state_in_a_loop_sees_the_end() -> None:
    w = finder()
    w.start()
    seen = []
    while w.state == "running":
        seen.append(w.step)
        time.sleep(0.001)
    assert w.state == "finished"
    assert w.step == 20
    assert w.lr == w.suggestion == pytest.approx(w.records.suggestion.lr)
    assert seen == sorted(seen)
    assert repr(w) == f"LRFinderWidget(finished, 20 steps, lr={rate_in_words(w.lr)})"
    [plain] = [w._repr_mimebundle_()[0]["text/plain"]]
    assert plain == f"{w!r}\n{NO_WIDGETS}"


def test_where_no_widget_can_be_shown_the_rows_are_a_picture() -> None:
    w = finder()
    idle, _ = w._repr_mimebundle_()
    assert set(idle) == {"text/plain", VIEW}
    w.start()
    w.wait()
    ended, _ = w._repr_mimebundle_()
    assert set(ended) == {"text/plain", VIEW, "text/html"}
    assert ended[VIEW] == idle[VIEW]
    assert ended["text/html"] == w.records._repr_mimebundle_()["text/html"]
    assert "data:image/svg+xml" in ended["text/html"]
    w.reset()
    assert set(w._repr_mimebundle_()[0]) == {"text/plain", VIEW}


def test_observers_run_on_the_reading_thread_and_see_results_before_the_end(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    changes: list[tuple[str, Any, Any, threading.Thread]] = []

    def note(change: Any) -> None:
        changes.append((change.name, change.old, change.new, threading.current_thread()))

    w.observe(note)
    w.start()
    for _ in range(20):
        gate.let(1)
        until(lambda: len(w.records) == min(gate.calls, 20))
        assert w.step >= 0
    w.wait()
    assert {thread for *_, thread in changes} == {threading.current_thread()}
    assert threading.current_thread() not in gate.threads
    names = [name for name, *_ in changes]
    assert names[-1] == "state"  # the results must be set before the state ends
    assert {"lr", "suggestion", "step", "_detail"} <= set(names)
    steps = [new for name, _, new, _ in changes if name == "step"]
    assert steps == sorted(set(steps))
    assert steps[-1] == 20


def test_a_busy_loop_is_not_needed_where_an_event_loop_runs(gate: Gate) -> None:
    async def notebook() -> list[tuple[str, threading.Thread]]:
        w = finder(loss_fn=gate)
        ended = asyncio.Event()
        seen = []

        def note(change: Any) -> None:
            seen.append((change.new, threading.current_thread()))
            if change.new in ENDED:
                ended.set()

        w.observe(note, "state")
        w.start()
        gate.open()
        await asyncio.wait_for(ended.wait(), 60)
        assert w._trait_values["lr"] == w.records.suggestion.lr
        until(lambda: comm_of(w).updates("state"))
        return seen

    seen = asyncio.run(notebook())
    assert [state for state, _ in seen] == ["running", "finished"]
    assert {thread for _, thread in seen} == {threading.main_thread()}


def test_a_closed_event_loop_does_no_harm(gate: Gate) -> None:
    async def make() -> LRFinderWidget:
        return finder(loss_fn=gate)

    w = asyncio.run(make())
    w.start()
    gate.open()
    assert len(w.wait()) == 20
    assert w.state == "finished"


def test_linked_widgets_follow(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    bar, text = ipywidgets.IntProgress(max=20), ipywidgets.Text()
    traitlets.dlink((w, "step"), (bar, "value"))
    traitlets.dlink((w, "lr"), (text, "value"), lambda lr: "" if lr is None else f"{lr:.2e}")
    slider = ipywidgets.FloatSlider(value=0.5, max=0.99, step=0.01)
    traitlets.link((slider, "value"), (w, "smoothing"))
    w.start()
    gate.let(7)
    until(lambda: len(w.records) >= 6)
    assert w.step >= 6
    assert bar.value >= 6
    gate.open()
    w.wait()
    assert bar.value == 20
    assert text.value == f"{w.lr:.2e}"
    assert not w._page.state.picked  # a link that only reads does not pick
    w.smoothing = 0.25
    assert slider.value == 0.25


def test_a_link_to_the_rate_works_both_ways() -> None:
    w = finder()
    log = ipywidgets.FloatLogSlider(value=1e-3, min=-5, max=0)
    traitlets.link((log, "value"), (w, "lr"))
    assert w.lr == 1e-3
    w.start()
    w.wait()
    assert w.lr == log.value == 1e-3  # the link picked this rate
    w.lr = 1e-2
    assert log.value == pytest.approx(1e-2)


def test_links_in_the_page_and_interactive_output() -> None:
    w = finder()
    text, rate = ipywidgets.FloatText(), ipywidgets.FloatLogSlider(value=1e-2, min=-5, max=0)
    for name in ("lr", "step", "suggestion"):
        ipywidgets.jslink((w, name), (text, "value"))
    traitlets.link((rate, "value"), (w, "lr"))
    seen = []
    ipywidgets.interactive_output(lambda lr: seen.append(lr), {"lr": rate})
    w.lr = 1e-3
    assert seen == [1e-2, 1e-3]


def test_an_observer_that_fails_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    w = finder()

    def fail(_change: Any) -> None:
        raise ZeroDivisionError("in the observer")

    w.observe(fail, "suggestion")
    w.start()
    w.wait()
    assert (w.state, w.step) == ("finished", 20)
    assert w.lr == w.suggestion
    assert "an observer of suggestion failed" in caplog.text


def test_traits_of_a_reopened_page_are_complete_in_mid_sweep(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    w.start()
    gate.let(9)
    until(lambda: len(w.records) >= 8)
    already = len(comm_of(w).sent)
    comm_of(w).receive({"method": "request_state"})
    [full] = [
        m
        for m in comm_of(w).sent[already:]
        if m.data["method"] == "update" and "_runs" in m.data["state"]
    ]
    assert full.data["state"]["step"] >= 8
    assert full.data["buffer_paths"] == [["_runs", 0, "data"]]
    rows = np.frombuffer(full.buffers[0], "<f8").reshape(-1, 2).tolist()
    assert rows == w.records.rows().tolist()[: len(rows)]
    assert len(rows) >= 8


def test_what_was_handed_over_is_not_mutated(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    w.start()
    gate.let(5)
    until(lambda: len(w.records) >= 4)
    data = w.get_state("_runs")["_runs"][0]["data"]
    kept = bytes(data)
    gate.open()
    w.wait()
    assert data == kept
