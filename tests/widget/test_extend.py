"""Tests of extending a sweep to a higher rate."""

from __future__ import annotations

import threading

import pytest

from tests.widget.finder import Gate, comm_of, finder, until


def test_it_goes_on_while_it_runs_and_while_it_is_paused(gate: Gate) -> None:
    widget = finder(loss_fn=gate, end_lr=1e-3, steps=8, stop_at_divergence=False)
    gate.let(3)
    widget.start()
    until(lambda: widget.step == 3)
    widget.extend(1e-2)
    assert (widget.steps, widget._range) == (12, [1e-5, 1e-2])
    widget.pause()
    gate.open()
    until(lambda: widget.state == "paused")
    widget.lr = 0.05  # the range of the sweep limits the marker
    assert widget.lr == 1e-2
    widget.extend(0.1)
    widget.lr = 0.05
    assert widget.lr == 0.05
    widget.resume()
    records = widget.wait()
    assert (len(records), widget.steps, widget.state) == (16, 16, "finished")
    assert records.lr[-1] == 0.1
    assert records.meta["options"]["end_lr"] == 0.1
    # The traits carry the new range to the page, and the rows carry the steps.
    comm = comm_of(widget)
    assert [ends[1] for ends in reversed(comm.updates("_range"))] == [0.1, 1e-2]
    assert comm.rows_messages[-1].content["steps"] == 16


def test_by_default_a_decade_is_added(gate: Gate) -> None:
    widget = finder(loss_fn=gate, end_lr=1e-3, steps=8)
    widget.start()
    comm_of(widget).say(type="command", name="extend")
    assert widget._range == [1e-5, 1e-2]
    widget.extend()
    assert widget._range[1] == pytest.approx(0.1)
    gate.open()
    widget.wait()
    # The next sweep has the original range again.
    widget.start()
    assert (widget.steps, widget._range) == (8, [1e-5, 1e-3])


@pytest.mark.parametrize(("spacing", "added"), [("log", 4), ("linear", 73)])
def test_how_many_steps_it_adds_is_said_before(gate: Gate, spacing: str, added: int) -> None:
    widget = finder(loss_fn=gate, end_lr=1e-3, steps=8, repeats=2, spacing=spacing)
    assert widget._detail["adds"] == added
    widget.start()
    widget.extend()
    assert widget.steps == 2 * (8 + added)
    gate.open()
    widget.stop()
    widget.wait()
    widget.add(widget.records)
    widget.activate("run 1 (2)")
    assert widget._detail["adds"] == 0


def test_what_cannot_be_extended_says_what_to_do(gate: Gate) -> None:
    widget = finder(loss_fn=gate, end_lr=1e-3, steps=4)
    with pytest.raises(RuntimeError, match=r"is idle, .*; call start\(end_lr=0\.1\)"):
        widget.extend(0.1)
    widget.start()
    for end, error in ((1e-3, ValueError), (1e-9, ValueError), ("1", TypeError)):
        with pytest.raises(error, match="end_lr is"):
            widget.extend(end)
    gate.open()
    widget.wait()
    with pytest.raises(RuntimeError, match="is finished"):
        widget.extend(0.1)
    # The page's button shows the same error as a notice.
    comm = comm_of(widget)
    comm.say(type="command", name="extend")
    assert "is finished" in comm.rows_messages[-1].content["detail"]["notice"]
    widget.close()
    with pytest.raises(RuntimeError, match="is finished"):
        widget.extend(0.1)


def test_a_pick_of_the_rate_that_is_chosen_already_is_a_pick(gate: Gate) -> None:
    gate.open()
    widget = finder(loss_fn=gate)
    widget.start()
    widget.wait()
    assert not widget._page.state.picked
    lr = widget.lr
    comm_of(widget).say(type="pick", lr=lr)
    assert widget._page.state.picked
    assert widget.lr == lr


@pytest.mark.parametrize("lr", [None, "1", True, float("nan"), [1.0]])
def test_a_malformed_pick_is_none(lr: object, caplog: pytest.LogCaptureFixture) -> None:
    widget = finder()
    comm_of(widget).say(type="pick", lr=lr)
    assert not widget._page.state.picked
    assert "ignored a message of the page" in caplog.text


def test_extending_from_another_thread_is_as_good(gate: Gate) -> None:
    widget = finder(loss_fn=gate, end_lr=1e-3, steps=8)
    widget.start()
    thread = threading.Thread(target=widget.extend, args=(1.0,))
    thread.start()
    thread.join()
    gate.open()
    assert widget.wait().lr[-1] == 1.0 or widget.state == "diverged"
    assert widget.steps == 20
