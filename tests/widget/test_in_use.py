"""Tests of a widget whose model another widget sweeps, as when its cell was run again."""

from __future__ import annotations

import asyncio

from lrwidget import LRFinderWidget, TrainingTask
from lrwidget.restore.model_lock import exclusive
from tests.widget.finder import Gate, comm_of, everything, finder, training, until


def test_a_page_stops_the_sweep_that_is_in_its_way_and_then_starts_its_own(gate: Gate) -> None:
    parts = training() | {"loss_fn": gate}
    before = everything(parts)
    old, new = finder(**parts), finder(**parts)
    page = comm_of(new)
    old.start()
    gate.let(3)
    until(lambda: len(old.records) == 3)
    for press in ("start", "unblock", "start"):
        assert new.state == "idle"
        page.say(type="command", name=press)
        # Until its step ends, the other sweep is still in the way.
        assert ("being swept already" in new._detail["notice"]) is (press == "start")
        assert new._detail["blocked"] is (press == "start")
    assert page.rows_messages[-1].content["detail"] == new._detail
    gate.let(1)
    old.wait()
    assert (old.state, len(old.records)) == ("stopped", 4)
    assert everything(parts) == before
    gate.open()
    page.say(type="command", name="start")
    assert (new._detail["notice"], new._detail["blocked"]) == ("", False)
    new.wait()
    assert new.state == "finished"


def test_once_the_other_sweep_has_ended_by_itself_the_refusal_is_taken_back(gate: Gate) -> None:
    parts = training() | {"loss_fn": gate}

    async def notebook() -> None:
        old, new = finder(**parts), finder(**parts)
        page = comm_of(new)
        old.start()
        page.say(type="command", name="start")
        assert page.updates("_detail")[-1]["blocked"]
        gate.open()
        while not old._run_list.active.over or page.updates("_detail")[-1]["blocked"]:
            await asyncio.sleep(0.01)
        assert page.updates("_detail")[-1]["notice"] == ""

    asyncio.run(asyncio.wait_for(notebook(), 60))


def test_a_later_answer_outlives_the_end_of_the_other_sweep(gate: Gate) -> None:
    parts = training() | {"loss_fn": gate}
    old, new = finder(**parts), finder(**parts)
    page = comm_of(new)
    old.start()
    page.say(type="command", name="start")
    page.say(type="command", name="apply")
    answer = new._detail["notice"]
    assert "no learning rate to apply" in answer
    gate.open()
    old.wait()
    assert new._detail["notice"] == answer


def test_a_check_is_stopped_by_another_widget_too(gate: Gate) -> None:
    parts = training() | {"loss_fn": gate}
    old, new = finder(**parts), finder(**parts)
    old.check(lrs=[1e-3, 1e-2], steps=50)
    gate.let(2)
    comm_of(new).say(type="command", name="start")
    comm_of(new).say(type="command", name="unblock")
    gate.open()
    assert (old.wait(), old._run_list.check.state) == (old.records, "stopped")


def test_what_only_its_caller_can_end_has_no_button() -> None:
    parts = training()
    w = LRFinderWidget(**parts)
    with exclusive(TrainingTask(**parts)):
        comm_of(w).say(type="command", name="start")
        assert "being swept already" in w._detail["notice"]
        assert w._detail["blocked"] is False
        comm_of(w).say(type="command", name="unblock")
        comm_of(w).say(type="command", name="start")
    assert w._detail["notice"] == ""


def test_a_start_from_python_takes_back_what_a_button_was_told(gate: Gate) -> None:
    parts = training() | {"loss_fn": gate}
    old, new = finder(**parts), finder(**parts)
    old.start()
    comm_of(new).say(type="command", name="start")
    assert new._detail["blocked"]
    gate.open()
    old.wait()
    new.start()
    assert (new._detail["notice"], new._detail["blocked"]) == ("", False)
    new.wait()
