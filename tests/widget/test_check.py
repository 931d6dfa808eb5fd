"""Tests of the check that the widget runs in the background and shows live in the page."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
import torch

from lrwidget import LRFinderWidget
from tests.widget.fakepage import FakePage, Sent
from tests.widget.finder import Gate, OutOfLuckError, comm_of, everything, finder, training, until


def check_messages(w: LRFinderWidget) -> list[Sent]:
    return [m for m in comm_of(w).sent if m.content.get("type") == "check"]


def page_after(messages: list[Sent]) -> FakePage:
    page = FakePage()
    for message in messages:
        page.take(message)
    return page


def chosen(**changes: Any) -> LRFinderWidget:
    """Return a widget with a chosen rate and no sweep."""
    w = finder(**changes)
    w.lr = 0.03
    return w


def test_by_default_a_third_of_at_and_three_times_the_marker() -> None:
    parts = training()
    w = chosen(**parts)
    before = everything(parts)
    results = w.check(steps=12)
    assert w.wait() is w.records
    assert results.lrs == pytest.approx([0.01, 0.03, 0.09])
    assert sorted(set(results.frame.lr)) == results.lrs
    assert results.frame.step.tolist() == [*range(1, 13)] * 3
    assert results.summary.stop_reason.tolist() == ["finished"] * 3
    assert results.best in results.lrs
    assert everything(parts) == before
    assert (w.state, w.lr, w.step) == ("idle", 0.03, 0)  # the check leaves the chosen rate alone


@pytest.mark.parametrize(("lr", "lrs"), [(1.0, [1 / 3, 1.0]), (2e-5, [1e-5, 2e-5, 6e-5])])
def test_the_default_stays_in_the_sweeps_range(lr: float, lrs: list[float]) -> None:
    w = finder()
    w.lr = lr
    results = w.check(steps=2)
    w.wait()
    assert results.lrs == pytest.approx(lrs)


def test_rates_of_ones_own_are_trained_as_they_are() -> None:
    w = finder()
    results = w.check([0.5, 20, 0.1], steps=3)
    w.wait()
    assert results.lrs == [0.1, 0.5, 20.0]
    assert set(results.frame.lr) <= {0.1, 0.5, 20.0}


def test_a_widget_with_a_seed_repeats_its_checks() -> None:
    w = finder(seed=3)
    frames = []
    for _ in range(2):
        torch.rand(1)
        frames.append(w.check(lrs=[1e-3, 1e-2], steps=5))
        w.wait()
    assert frames[0].frame.equals(frames[1].frame)


def test_without_a_rate_it_says_what_to_do() -> None:
    w = finder()
    with pytest.raises(ValueError, match="no learning rate to check yet"):
        w.check()
    comm_of(w).say(type="command", name="check")
    assert "no learning rate to check yet" in w._detail["notice"]


def test_bad_input_is_refused_at_once_and_starts_nothing() -> None:
    w = chosen()
    for bad in ([], [0.0], [1e-3, "fast"], [float("nan")]):
        with pytest.raises(ValueError, match="lrs"):
            w.check(bad)
    for bad in (0.1, "1e-3", b"1e-3"):
        with pytest.raises(TypeError, match="lrs is"):
            w.check(bad)
    with pytest.raises(TypeError, match="steps"):
        w.check(steps=2.5)
    once = chosen(data=iter([]))
    with pytest.raises(ValueError, match="read only once"):
        once.check()
    assert w._check is None
    assert check_messages(w) == []


def test_sweep_and_check_exclude_each_other(gate: Gate) -> None:
    w = chosen(loss_fn=gate)
    w.check(steps=4)
    with pytest.raises(RuntimeError, match="a check is running; wait"):
        w.start()
    with pytest.raises(RuntimeError, match="a check is already running"):
        w.check()
    with pytest.raises(RuntimeError, match="the check is running and puts"):
        w.apply()
    with pytest.raises(TimeoutError, match="the check has not ended"):
        w.wait(timeout=0)
    gate.let(12)
    w.wait()
    w.start()
    with pytest.raises(RuntimeError, match="the sweep is running; wait"):
        w.check()
    gate.open()
    w.wait()
    assert w.state == "finished"


def test_every_row_reaches_the_page_in_order_and_within_the_budget(gate: Gate) -> None:
    w = chosen(loss_fn=gate)
    comm_of(w).say(type="hello")
    began = time.monotonic()
    results = w.check(steps=60)
    while w._run_list.check.under_way:
        gate.let(2)
        time.sleep(0.01)
    w.wait()
    seconds = time.monotonic() - began
    messages = check_messages(w)
    assert len(messages) <= 25 * seconds + 4
    threads = {message.thread for message in messages}
    assert threading.current_thread() not in threads
    page = page_after(messages)
    assert page.gaps == 0
    assert page.rows == results.frame[["lr", "loss"]].to_numpy().tolist()
    assert page.starts == [0, 60, 120]
    assert (page.last["state"], page.last["suggestion"]) == ("finished", results.best)
    detail = page.last["detail"]
    assert detail["lrs"] == results.lrs
    assert detail["final_losses"] == results.summary.final_loss.tolist()
    assert detail["stop_reasons"] == ["finished"] * 3
    assert all("lr" not in message.content for message in messages)


def test_a_page_that_opens_later_gets_everything(gate: Gate) -> None:
    w = chosen(loss_fn=gate)
    results = w.check(steps=6)
    gate.let(9)
    until(lambda: len(results.trials[1]) >= 2)
    saved = w.get_state("_check")["_check"]
    rows = np.frombuffer(saved["data"], "<f8").reshape(-1, 2).tolist()
    assert rows == results.frame[["lr", "loss"]].to_numpy().tolist()[: len(rows)]
    assert len(rows) >= 8
    assert (saved["state"], saved["starts"], saved["steps"]) == ("running", [0, 6], 18)
    assert saved["detail"]["stop_reasons"] == ["finished", None, None]

    comm_of(w).say(type="hello")
    gate.open()
    w.wait()
    comm_of(w).say(type="resync", of="check", run=1, **{"from": 4})
    answer = check_messages(w)[-1]
    assert (answer.content["offset"], sum(map(len, answer.buffers))) == (4, 14 * 16)
    # A notebook saves the last state that the front end received.
    assert comm_of(w).updates("_check")[-1]["state"] == "finished"


def test_stop_keeps_what_there_is_and_offers_nothing(gate: Gate) -> None:
    parts = training() | {"loss_fn": gate}
    w = chosen(**parts)
    before = everything(parts)
    results = w.check(steps=10)
    gate.let(13)
    until(lambda: len(results.trials[1]) >= 2)
    comm_of(w).say(type="command", name="stop")
    gate.open()
    w.wait()
    assert [trial.stop_reason for trial in results.trials] == ["finished", "stopped", None]
    saved = w.get_state("_check")["_check"]
    assert (saved["state"], saved["suggestion"]) == ("stopped", None)
    assert everything(parts) == before


def test_an_exception_is_shown_and_raised(gate: Gate) -> None:
    parts = training() | {"loss_fn": gate}
    w = chosen(**parts)
    before = everything(parts)
    gate.error = OutOfLuckError("the batch is bad")
    gate.open()
    results = w.check()
    with pytest.raises(OutOfLuckError, match="the batch is bad"):
        w.wait()
    saved = w.get_state("_check")["_check"]
    assert (saved["state"], saved["error"]) == ("failed", "OutOfLuckError: the batch is bad")
    assert "in __call__" in saved["detail"]["traceback"]
    assert [trial.stop_reason for trial in results.trials] == ["failed", None, None]
    assert everything(parts) == before
    gate.error = None
    w.start()  # the widget still works after the failure
    assert len(w.wait()) == 20


@pytest.mark.parametrize("how", ["close", "reset"])
def test_close_and_reset_end_it(how: str, gate: Gate) -> None:
    w = chosen(loss_fn=gate)
    results = w.check(steps=10)
    gate.let(3)
    until(lambda: len(results.trials[0]) >= 2)
    opener = threading.Timer(0.1, gate.open)
    opener.start()
    getattr(w, how)()
    opener.join()
    assert [trial.stop_reason for trial in results.trials] == ["stopped", None, None]
    if how == "reset":
        assert (w._check, w.lr, w.get_state("_check")["_check"]) == (None, None, None)
        w.check([0.1], steps=2)
        w.wait()
        assert w.get_state("_check")["_check"]["run"] == 2


def test_a_second_check_is_a_new_table_and_leaves_the_first_results_alone() -> None:
    w = chosen()
    first = w.check(steps=3)
    w.wait()
    kept = first.frame
    w.lr = 0.3
    second = w.check(steps=3)
    w.wait()
    assert first.frame.equals(kept)
    page = page_after(check_messages(w))
    assert (page.run, page.rows) == (2, second.frame[["lr", "loss"]].to_numpy().tolist())


def test_a_second_check_lets_go_of_the_first() -> None:
    w = chosen()
    w.check(steps=2)
    w.wait()
    first = w._run_list.check
    assert first is not None
    assert not first.closed
    w.check(steps=2)
    w.wait()
    assert first.closed  # else its results would hold the model until the widget is closed


def test_the_page_checks_and_takes_the_best() -> None:
    w = chosen()
    comm_of(w).say(type="command", name="check")
    w.wait()
    assert w._detail["notice"] == ""
    best = w.get_state("_check")["_check"]["suggestion"]
    comm_of(w).set(lr=best)
    assert w.lr == best
