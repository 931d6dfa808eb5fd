"""Tests of the refinement that the widget runs in the background and shows live in the page."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from lrwidget import LRFinderWidget, LRRecords, TrainingTask
from lrwidget.records.refinement import Refinement, Trial
from lrwidget.sources import local
from lrwidget.widget.refine_run import RefineRun, TrialRows
from tests.widget.fakepage import FakePage, Sent, page_after
from tests.widget.finder import Gate, OutOfLuckError, comm_of, everything, finder, training, until

BUDGET = 320  # three trials of 60 steps, and what a walk takes


def messages_of(w: LRFinderWidget) -> list[Sent]:
    return [m for m in comm_of(w).sent if m.content.get("type") == "refinement"]


def refinement_of(w: LRFinderWidget) -> RefineRun:
    run = w._run_list.refinement
    assert run is not None
    return run


def swept(**changes: Any) -> LRFinderWidget:
    """Return a widget whose sweep has ended."""
    w = finder(**changes)
    w.start()
    w.wait()
    return w


def held(w: LRFinderWidget, gate: Gate) -> LRFinderWidget:
    """Hold back the steps after the sweep."""
    gate.passes = threading.Semaphore(0)
    return w


def gated(gate: Gate, **parts: Any) -> LRFinderWidget:
    gate.open()
    return held(swept(**parts, loss_fn=gate), gate)


def by_trial(page: FakePage) -> dict[float, list[float]]:
    """Return the losses of each trial as the page reads them off the rows."""
    found = {}
    for trial in page.last["detail"]["trials"]:
        losses = [loss for lr, loss in page.rows if lr == trial["lr"]]
        found[trial["lr"]] = losses[trial["dropped"] :]
    return found


def test_it_runs_in_the_background_and_the_marker_follows_it() -> None:
    parts = training()
    w = swept(**parts)
    before = everything(parts)
    suggested = w.suggestion
    result = w.refine(budget=BUDGET, planned_steps=600)
    assert w.refinement is result
    assert w.wait() is w.records
    assert result.stop_reason == "finished"
    assert len(result.trials) >= 3
    assert result.steps == len(w.records) + len(result.frame) <= BUDGET
    assert w.lr == result.lr != suggested
    assert (w.suggestion, w.state) == (suggested, "finished")
    assert everything(parts) == before
    kept = w.records.refinement
    assert kept is not None
    assert (kept.lr, kept.reason) == (result.lr, result.reason)
    assert kept.frame.equals(result.frame)


def test_the_refined_rate_is_exported_and_applied(namespace: dict[str, Any]) -> None:
    parts = training()
    w = swept(**parts)
    result = w.refine(budget=BUDGET)
    w.wait()
    assert w.export("best") == namespace["best"] == result.lr
    w.apply()
    assert parts["optimizer"].param_groups[0]["lr"] == result.lr


def test_a_pick_wins(gate: Gate) -> None:
    w = gated(gate)
    w.refine(budget=BUDGET)
    comm_of(w).set(lr=0.02)
    gate.open()
    w.wait()
    assert w.lr == 0.02
    assert all("lr" not in m.content for m in messages_of(w)[-2:])
    assert refinement_of(w).status().suggestion not in (None, 0.02)


def test_a_rate_beyond_the_sweep_can_be_chosen() -> None:
    w = swept(start_lr=1e-6, end_lr=2e-3)
    result = w.refine(budget=700)
    w.wait()
    tried = [trial.lr for trial in result.trials]
    assert max(tried) > 2e-3
    assert result.lr is not None
    assert result.lr > 2e-3
    assert w.lr == result.lr
    comm_of(w).set(lr=1e9)
    assert w.lr == max(*tried, result.lr)
    w.start()
    w.wait()
    comm_of(w).set(lr=1e9)
    assert w.lr == 2e-3  # the new run has its own refinement, none yet


def test_the_rate_of_a_run_is_the_refined_one_of_that_run() -> None:
    w = swept()
    first = w.records
    result = w.refine(budget=BUDGET)
    w.wait()
    w.start(seed=1)
    w.wait()
    assert (w.refinement, w.lr) == (None, w.suggestion)
    w.activate(first)
    assert w.refinement is result
    assert w.lr == result.lr != w.suggestion
    comm_of(w).say(type="hello")
    answer = [m.content for m in comm_of(w).rows_messages if m.content["type"] == "sync"][-1]
    assert answer["lr"] == result.lr
    w.remove(first)
    assert (w.refinement, w._refinement) == (None, None)


def test_a_refined_rate_beyond_the_sweep_outlives_the_refinement_of_another_run() -> None:
    w = swept(start_lr=1e-6, end_lr=2e-3)
    first, result = w.records, w.refine(budget=700)
    w.wait()
    assert result.lr is not None
    assert result.lr > 2e-3
    w.start(seed=1)
    w.wait()
    w.refine(budget=700)
    w.wait()
    w.activate(first)
    assert w.lr == result.lr


def test_of_records_that_are_added_the_rate_is_the_refined_one(tmp_path: Path) -> None:
    w = swept(start_lr=1e-6, end_lr=2e-3)
    result = w.refine(budget=700)
    w.wait()
    w.records.save(tmp_path / "refined.jsonl")
    other = finder()
    other.activate(other.add(LRRecords.load(tmp_path / "refined.jsonl")))
    assert other.refinement is not None
    assert other.lr == other.refinement.lr == result.lr != other.suggestion
    assert "; trials after the sweep chose " in other._detail["reason"]
    assert "trials after" not in w._detail["reason"]


def test_before_a_sweep_it_says_what_to_do() -> None:
    w = finder()
    with pytest.raises(ValueError, match="no sweep yet whose suggestion"):
        w.refine()
    comm_of(w).say(type="command", name="refine")
    assert "no sweep yet whose suggestion" in w._detail["notice"]
    assert w._refinement is None


def test_bad_input_is_refused_at_once_and_starts_nothing() -> None:
    w = swept()
    with pytest.raises(ValueError, match="give a budget of at least 200"):
        w.refine(budget=150)
    with pytest.raises(TypeError, match="budget is"):
        w.refine(budget=15.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="planned_steps"):
        w.refine(planned_steps=0)
    with pytest.raises(ValueError, match=r"held_out is 1\.5"):
        w.refine(held_out=1.5)
    assert (w._refinement, w.refinement, messages_of(w)) == (None, None, [])


def test_nothing_else_runs_beside_it(gate: Gate) -> None:
    w = gated(gate)
    w.refine(budget=BUDGET)
    for start in (w.start, w.check, lambda: w.remove(w.records)):
        with pytest.raises(RuntimeError, match="a refinement is running; wait"):
            start()
    with pytest.raises(RuntimeError, match="a refinement is already running"):
        w.refine()
    with pytest.raises(RuntimeError, match="the refinement is running and puts"):
        w.apply()
    with pytest.raises(TimeoutError, match="the refinement has not ended"):
        w.wait(timeout=0)
    w.pause()
    gate.let(20)
    until(lambda: refinement_of(w).state == "paused")
    with pytest.raises(RuntimeError, match="a refinement is paused; resume"):
        w.start()
    w.resume()
    gate.open()
    w.wait()
    held(w, gate)
    w.check([0.1], steps=2)
    with pytest.raises(RuntimeError, match="a check is running; wait"):
        w.refine()
    gate.open()
    w.wait()


def test_every_row_reaches_the_page_within_the_budget(gate: Gate) -> None:
    w = gated(gate)
    comm_of(w).say(type="hello")
    began = time.monotonic()
    result = w.refine(budget=BUDGET)
    while refinement_of(w).under_way:
        gate.let(3)
        time.sleep(0.005)
    w.wait()
    seconds = time.monotonic() - began
    messages = messages_of(w)
    assert len(messages) <= 25 * seconds + 4
    assert threading.current_thread() not in {message.thread for message in messages}
    page = page_after(messages)
    assert page.gaps == 0
    assert by_trial(page) == {t.lr: t.records.loss.tolist() for t in result.trials}
    assert len(page.rows) == page.last["step"] == result.steps - len(w.records)
    detail = page.last["detail"]
    assert (page.last["state"], page.last["suggestion"]) == ("finished", result.lr)
    assert (page.last["lr"], page.last["steps"]) == (result.lr, BUDGET)
    assert (detail["reason"], detail["confidence"]) == (result.reason, result.confidence)
    assert detail["best"] == result.best
    assert detail["held_out"] == "85 of 256 samples, chosen at random"
    assert detail["kept_bytes"] > 0
    assert detail["kept_in"] == "device"
    for trial, sent in zip(result.trials, detail["trials"], strict=True):
        assert sent["held_out"] == list(trial.held_out.items())
        assert sent["stop_reason"] == "finished"
    # What is long is sent when it changes, which is not with each row.
    measured = sum(len(trial.held_out) for trial in result.trials)
    assert sum("detail" in message.content for message in messages) <= 2 * measured + 3


def test_a_page_that_opens_later_gets_everything(gate: Gate) -> None:
    w = gated(gate)
    result = w.refine(budget=BUDGET)
    gate.let(80)
    until(lambda: len(result.trials) == 2 and len(result.trials[1].records) > 5)
    saved = w.get_state("_refinement")["_refinement"]
    assert (saved["state"], saved["suggestion"]) == ("running", None)
    assert [trial["stop_reason"] for trial in saved["detail"]["trials"]] == ["finished", None]
    assert len(saved["data"]) >= 65 * 16
    comm_of(w).say(type="hello")
    gate.open()
    w.wait()
    comm_of(w).say(type="resync", of="refinement", run=1, **{"from": 4})
    answer = messages_of(w)[-1]
    rows = result.steps - len(w.records)
    assert (answer.content["offset"], sum(map(len, answer.buffers))) == (4, (rows - 4) * 16)
    # A notebook saves the last state that the front end received.
    assert comm_of(w).updates("_refinement")[-1]["state"] == "finished"


def test_a_trial_that_begins_anew_drops_its_earlier_rows() -> None:
    result = Refinement(0.1)
    rows = TrialRows(result)
    first, other = Trial(0.1), Trial(0.3)
    result.trials += [first, other]
    first.records.append(0.1, 3.0)
    other.records.append(0.3, 9.0)
    assert rows.rows().tolist() == [[0.1, 3.0], [0.3, 9.0]]
    first.records.append(0.1, 2.0)
    result.trials.remove(first)
    again = Trial(0.1)
    result.trials.append(again)
    again.records.append(0.1, 1.0)
    assert rows.rows(2).tolist() == [[0.1, 2.0], [0.1, 1.0]]
    assert [rows.dropped(one) for one in result.trials] == [0, 2]
    assert (len(rows), rows.sweep_starts) == (4, [0])


def test_stop_keeps_what_there_is(gate: Gate) -> None:
    parts = training()
    w = gated(gate, **{k: v for k, v in parts.items() if k != "loss_fn"})
    before = everything(parts)
    result = w.refine(budget=BUDGET)
    gate.let(150)
    until(lambda: len(result.trials) == 3)
    comm_of(w).say(type="command", name="stop")
    gate.open()
    w.wait()
    assert result.stop_reason == "stopped"
    assert [trial.records.stop_reason for trial in result.trials][-1] == "stopped"
    assert result.reason.startswith("stopped after three trials")
    saved = w.get_state("_refinement")["_refinement"]
    assert (saved["state"], saved["suggestion"]) == ("stopped", result.lr)
    assert saved["detail"]["trials"][-1]["stop_reason"] == "stopped"
    assert w.lr == result.lr
    assert w.records.refinement is not None
    assert everything(parts) == before


def test_the_budget_can_be_raised_while_it_runs(gate: Gate) -> None:
    w = gated(gate)
    comm_of(w).say(type="hello")
    result = w.refine(budget=200)
    gate.let(30)
    with pytest.raises(ValueError, match="budget is 200; expected at least 201"):
        w.extend(budget=200)
    with pytest.raises(ValueError, match="not both"):
        w.extend(1.0, budget=300)
    w.extend(budget=300)
    comm_of(w).say(type="command", name="extend")
    assert w._detail["notice"] == ""
    # While the step in hand goes on.
    until(lambda: any(m.content["steps"] == 800 for m in messages_of(w)))
    gate.open()
    w.wait()
    assert (result.budget, refinement_of(w).steps) == (800, 800)
    assert 200 < result.steps <= 800
    assert messages_of(w)[-1].content["steps"] == 800
    with pytest.raises(RuntimeError, match="the refinement is finished"):
        w.extend(budget=900)
    with pytest.raises(RuntimeError, match="no refinement whose budget"):
        finder().extend(budget=900)


def test_an_exception_is_shown_and_raised(gate: Gate) -> None:
    parts = training()
    w = gated(gate, **{k: v for k, v in parts.items() if k != "loss_fn"})
    before = everything(parts)
    result = w.refine(budget=BUDGET)
    gate.let(130)
    until(lambda: len(result.trials) == 3)
    gate.error = OutOfLuckError("the batch is bad")
    gate.open()
    with pytest.raises(OutOfLuckError, match="the batch is bad") as caught:
        w.wait()
    assert caught.value.records is result  # type: ignore[attr-defined]
    assert "the refinement ended after" in caught.value.__notes__[0]
    saved = w.get_state("_refinement")["_refinement"]
    assert (saved["state"], saved["error"]) == ("failed", "OutOfLuckError: the batch is bad")
    assert "in __call__" in saved["detail"]["traceback"]
    assert (saved["suggestion"], w.lr) == (None, w.suggestion)
    assert w.records.refinement is not None  # the rows so far
    assert everything(parts) == before
    gate.error = None
    w.refine(budget=BUDGET)  # the widget still works after the failure
    w.wait()
    assert w.lr == refinement_of(w).result.lr


@pytest.mark.parametrize("how", ["close", "reset"])
def test_close_and_reset_end_it(how: str, gate: Gate) -> None:
    parts = training()
    w = gated(gate, **{k: v for k, v in parts.items() if k != "loss_fn"})
    before, records = everything(parts), w.records
    result = w.refine(budget=BUDGET)
    gate.let(20)
    until(lambda: result.trials and len(result.trials[0].records) >= 2)
    opener = threading.Timer(0.1, gate.open)
    opener.start()
    getattr(w, how)()
    opener.join()
    assert result.stop_reason == "stopped"
    assert records.meta["refinement"]["steps"] == result.steps
    assert everything(parts) == before
    if how == "reset":
        assert (w._refinement, w.refinement, w.lr) == (None, None, None)
    else:
        assert w.refinement is result


def test_where_every_trial_diverges_no_rate_is_left(gate: Gate) -> None:
    w = gated(gate)
    gate.losses = lambda call: (1.0, 3.0, 40.0, float("nan"))[call % 4]
    gate.open()
    result = w.refine(budget=BUDGET)
    w.wait()
    assert (result.lr, w.lr) == (None, None)
    detail = w.get_state("_refinement")["_refinement"]["detail"]
    assert {trial["stop_reason"] for trial in detail["trials"]} == {"non-finite"}
    assert "all of them diverged" in detail["reason"]


def test_where_no_loss_is_a_number_the_data_are_looked_at_and_not_the_rates(gate: Gate) -> None:
    w = gated(gate)
    gate.losses = lambda _: float("nan")
    gate.open()
    w.refine(budget=BUDGET)
    w.wait()
    reason = w.get_state("_refinement")["_refinement"]["detail"]["reason"]
    assert "no rate is the cause: look for NaN in the data" in reason
    results = w.check([0.01, 0.1], steps=4)
    w.wait()
    assert results.best is None
    assert w.get_state("_check")["_check"]["detail"]["notice"] == results.not_the_rates != ""


def test_the_page_refines_with_a_budget_that_suffices() -> None:
    w = swept(steps=1400)
    assert w._detail["budget"] == 1700
    comm_of(w).say(type="command", name="refine")
    assert w._detail["notice"] == ""
    w.wait()
    assert refinement_of(w).result.budget == 1700
    assert swept()._detail["budget"] == 1500


def test_what_cannot_be_refined_offers_nothing_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonl"
    w = swept()
    w.records.save(path)
    follower = LRFinderWidget.follow(path)
    follower.wait()
    assert follower._detail["budget"] == 0
    with pytest.raises(RuntimeError, match="has no model for trials; call refine"):
        follower.refine()
    w.add(LRRecords.load(path), "added")
    w.activate("added")
    assert w._detail["budget"] == 0
    with pytest.raises(RuntimeError, match="these records were added"):
        w.refine()


def test_the_options_of_a_run_are_those_of_its_refinement() -> None:
    w = swept()
    w.start(batch_size=64)
    w.wait()
    result = w.refine(budget=BUDGET, held_out=range(40))
    w.wait()
    assert result.held_out == "40 named of 256 samples"
    assert w.records.meta["batch_size"] == 64
    assert w.lr == result.lr
    w.close()
    with pytest.raises(RuntimeError, match="closed"):
        w.refine()


def test_a_task_tells_where_its_states_are_kept() -> None:
    parts = training()
    task = TrainingTask(**parts, snapshot="disk")
    runner = local.RefineRunner(task, LRRecords(), 200)
    assert runner.kept_in == "disk"
