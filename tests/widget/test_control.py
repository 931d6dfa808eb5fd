"""Tests of start, pause, resume, stop and wait, from Python and from the page."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
import torch
from torch import nn

from lrwidget import LRFinderWidget
from tests.widget.fakepage import page_after
from tests.widget.finder import (
    Gate,
    comm_of,
    finder,
    training,
    until,
)

# -- pause, resume, stop, start again


def test_pause_resume_stop(gate: Gate) -> None:
    w = finder(loss_fn=gate, steps=50)
    w.start()
    gate.let(3)
    until(lambda: len(w.records) >= 2)
    w.pause()
    gate.let(2)
    until(lambda: w.state == "paused")
    held = len(w.records)
    gate.let(5)
    time.sleep(0.1)
    assert len(w.records) == held
    with pytest.raises(RuntimeError, match="already paused; resume"):
        w.start()
    w.resume()
    until(lambda: w.state == "running")
    until(lambda: len(w.records) > held)
    w.stop()
    gate.open()
    records = w.wait()
    assert (w.state, records.stop_reason) == ("stopped", "stopped")
    assert 0 < len(records) < 50
    assert repr(w).startswith(f"LRFinderWidget(stopped, {len(records)} of 50 steps")


def test_a_pause_can_be_taken_back_before_it_takes_hold(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    w.start()
    w.pause()
    w.resume()
    gate.open()
    assert len(w.wait(60)) == 20


def test_stop_ends_a_pause(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    w.start()
    w.pause()
    gate.open()
    until(lambda: w.state == "paused")
    w.stop()
    assert w.wait().stop_reason == "stopped"
    assert w.state == "stopped"


@pytest.mark.parametrize("action", ["pause", "resume", "stop"])
def test_buttons_in_the_wrong_state_do_nothing(action: str) -> None:
    w = finder()
    getattr(w, action)()
    assert w.state == "idle"
    w.start()
    w.wait()
    getattr(w, action)()
    assert w.state == "finished"


def test_a_second_start_is_refused_while_it_runs(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    w.start()
    records = w.records
    with pytest.raises(RuntimeError, match="already running; wait"):
        w.start()
    assert w.records is records
    gate.open()
    assert w.wait() is records


def test_a_start_after_the_end_is_a_new_table() -> None:
    w = finder()
    comm_of(w).say(type="hello")
    w.start()
    first = w.wait()
    w.start()
    second = w.wait()
    assert second is not first
    assert second.rows().tolist() == first.rows().tolist()  # the seed and the model are the same
    page = page_after(comm_of(w).rows_messages)
    assert page.run == 2
    assert page.rows == second.rows().tolist()


def test_another_sweep_of_the_same_model_is_refused_and_changes_nothing(gate: Gate) -> None:
    parts = training() | {"loss_fn": gate}
    first = LRFinderWidget(**parts, steps=5)
    second = LRFinderWidget(**parts, steps=5)
    first.start()
    until(lambda: gate.threads)
    with pytest.raises(RuntimeError):
        second.start()
    assert second.state == "idle"
    gate.open()
    first.wait()
    second.start()
    assert len(second.wait()) == 5


@pytest.mark.parametrize("started", [False, True])
def test_what_another_thread_starts_during_a_reset_ends_too(started: bool, gate: Gate) -> None:
    model = training()["model"]
    w = finder(model=model, optimizer=torch.optim.SGD, loss_fn=gate)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    if started:
        gate.let(20)
        w.start()
        w.wait()
        gate.threads.clear()
    ending = threading.Thread(target=w.reset)
    with w._lock:  # as `start` holds it
        ending.start()
        time.sleep(0.2)  # by now all runs are ended
        w.start()
    until(lambda: gate.threads)
    ending.join(0.2)
    assert ending.is_alive()
    gate.open()
    ending.join(60)
    assert not any(thread.is_alive() for thread in {ending, *gate.threads})
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert (w.state, w.runs) == ("idle", [])
    w.start()
    assert w.wait().stop_reason == "finished"


def test_the_state_moves_from_the_page(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    page = comm_of(w)
    page.say(type="command", name="start")
    assert w.state == "running"
    page.say(type="command", name="pause")
    gate.let(1)
    until(lambda: w.state == "paused")
    page.say(type="command", name="resume")
    page.say(type="command", name="stop")
    gate.open()
    w.wait()
    assert w.state == "stopped"
    page.say(type="command", name="reset")
    assert w.state == "idle"


# -- wait


def test_wait_needs_a_start() -> None:
    with pytest.raises(RuntimeError, match="no sweep has been started"):
        finder().wait()


def test_wait_can_time_out_and_the_sweep_goes_on(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    w.start()
    with pytest.raises(TimeoutError, match="it goes on"):
        w.wait(timeout=0.05)
    with pytest.raises(TimeoutError):
        w.wait(timeout=0)
    assert w.state == "running"
    gate.open()
    assert len(w.wait(timeout=60)) == 20


@pytest.mark.parametrize("timeout", ["5", float("nan"), True, [1]])
def test_a_timeout_that_is_no_number_is_named(timeout: object) -> None:
    with pytest.raises(TypeError, match=r"timeout is .*; expected seconds such as 10, or None"):
        finder().wait(timeout)  # type: ignore[arg-type]


def test_an_interrupt_ends_only_the_waiting(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    w.start()
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        w.wait()
    timer.join()
    assert w.state == "running"
    gate.open()
    assert len(w.wait()) == 20
    assert w.state == "finished"


def test_traits_move_while_a_cell_waits(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    w.observe(lambda change: gate.open() if change.new >= 3 else None, "step")
    w.start()
    gate.let(4)
    assert len(w.wait(60)) == 20


@pytest.mark.parametrize("call", ["wait", "close", "reset"])
def test_waiting_for_itself_is_refused(call: str) -> None:
    parts = training()
    found: list[LRFinderWidget] = []

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        getattr(found[0], call)()
        return nn.functional.cross_entropy(output, target)

    found.append(LRFinderWidget(**parts | {"loss_fn": loss}))
    found[0].start()
    with pytest.raises(RuntimeError, match=rf"{call}\(\) inside the sweep would wait for itself"):
        found[0].wait(60)
    assert found[0].state == "failed"


def test_reading_inside_the_sweep_calls_no_observer() -> None:
    parts = training()
    found: list[LRFinderWidget] = []
    threads = set()

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        assert found[0].state in ("idle", "running")
        assert found[0].step >= 0
        return nn.functional.cross_entropy(output, target)

    w = LRFinderWidget(**parts | {"loss_fn": loss}, steps=10)
    found.append(w)
    w.observe(lambda _: threads.add(threading.current_thread()))
    w.start()
    w.wait()
    assert threads == {threading.current_thread()}
