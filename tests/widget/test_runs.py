"""Tests of several runs in one widget: variants, added records, activation and removal."""

from __future__ import annotations

import functools
import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lrwidget import LRFinderWidget, LRRecords, TrainingTask, lr_find
from tests.widget.fakepage import tables
from tests.widget.finder import Gate, comm_of, finder, training, until
from tests.widget.several import labels, legend, run

# -- starting


def test_every_start_is_a_run_beside_the_others() -> None:
    w = finder()
    assert (w.runs, legend(w)) == ([], (1, []))
    first, second = run(w), run(w)
    assert w.runs == [first, second]
    assert w.records is second
    assert labels(w) == ["run 1", "run 2"]
    assert legend(w) == (2, ["run 1", "run 2"])


def test_no_two_runs_share_a_style() -> None:
    w = finder()
    records = run(w)
    for _ in range(11):
        w.add(records)

    def styles() -> list[int]:
        return [style for _, _, style in w._legend["runs"]]

    assert styles() == list(range(12))
    w.remove(w.runs[3])
    w.add(records)
    assert styles() == [0, 1, 2, *range(4, 12), 3]


def test_a_variant_has_other_options_and_a_plain_start_has_not() -> None:
    w = finder()
    adam = torch.optim.AdamW
    variant = run(w, batch_size=64, optimizer=adam, steps=7, start_lr=1e-4)
    assert variant.meta["batch_size"] == 64
    assert variant.meta["optimizer"] == "AdamW"
    assert (len(variant), w.steps, w._range) == (7, 7, [1e-4, 1.0])
    plain = run(w)
    assert (plain.meta["batch_size"], plain.meta["optimizer"]) == (32, "SGD")
    assert (len(plain), w.steps, w._range) == (20, 20, [1e-5, 1.0])


def test_labels_say_what_differs() -> None:
    parts = training()
    w = finder(**parts)
    parameters = list(parts["model"].parameters())
    heavy = torch.optim.AdamW(parameters, weight_decay=0.5)
    run(w, batch_size=64, end_lr=0.1)
    run(w, optimizer=heavy)
    run(w, optimizer=functools.partial(torch.optim.SGD, momentum=0.5))
    run(w, loss_fn=nn.functional.cross_entropy)
    run(w, batch_size=64, end_lr=0.1)
    run(w, label="  mine\nalone ")
    run(w, label="mine alone")
    assert labels(w) == [
        "batch_size=64, end_lr=0.1",
        "optimizer=AdamW(weight_decay=0.5)",
        "optimizer=SGD(momentum=0.5)",
        "loss_fn=cross_entropy",
        "batch_size=64, end_lr=0.1 (2)",
        "mine alone",
        "mine alone (2)",
    ]


def test_a_bad_variant_is_refused_at_once_and_changes_nothing() -> None:
    w = finder()
    first = run(w)
    before = legend(w)
    for options, error, text in [
        ({"batchsize": 3}, TypeError, "unknown option 'batchsize'"),
        ({"height": 300}, TypeError, "unknown option 'height'"),
        ({"start_lr": 5.0}, ValueError, "start_lr < end_lr"),
        ({"label": 5}, TypeError, "label is 5"),
        ({"label": " "}, ValueError, "expected a name"),
        ({"label": "x" * 81}, ValueError, "at most 80"),
    ]:
        with pytest.raises(error, match=text):
            w.start(**options)
    assert w.runs == [first]
    assert (legend(w), w.state) == (before, "finished")
    task = LRFinderWidget(TrainingTask(**training()), steps=3)
    with pytest.raises(TypeError, match="beside a TrainingTask"):
        task.start(batch_size=2)
    assert len(run(task, steps=4)) == 4


def test_a_ready_loader_gets_the_variants_batch_size() -> None:
    data = training()["data"]
    loader = torch.utils.data.DataLoader(data, batch_size=16, shuffle=True, drop_last=True)
    w = finder(data=loader)
    assert run(w).meta["batch_size"] == 16
    assert run(w, batch_size=100).meta["batch_size"] == 100
    assert loader.batch_size == 16
    batches = finder(data=[next(iter(loader))])
    with pytest.raises(TypeError, match="batch_size"):
        batches.start(batch_size=100)


def test_a_second_run_waits_for_the_first(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    w.start()
    with pytest.raises(RuntimeError, match="already running"):
        w.start(batch_size=64)
    assert labels(w) == ["run 1"]
    gate.open()
    w.wait()


# -- added records


def test_records_are_added_beside_the_runs(tmp_path: Path) -> None:
    w = finder()
    mine = run(w)
    other = lr_find(**training(), steps=9, start_lr=1e-8, end_lr=30.0, progress=False)
    other.save(tmp_path / "other.jsonl")
    loaded = w.add(LRRecords.load(tmp_path / "other.jsonl"), label="batch 128")
    again = w.add(other)
    assert w.runs == [mine, loaded, again]
    assert labels(w) == ["run 1", "batch 128", "records"]
    assert loaded.rows().tolist() == other.rows().tolist()
    assert "label" not in other.meta  # the widget labels its own copy
    other.append(1.0, 1.0)
    assert len(again) == 9
    # Added records do not change the active run.
    assert (w.records, w.state, w._range) == (mine, "finished", [1e-5, 1.0])
    rows = tables(comm_of(w).rows_messages)
    assert rows[2] == rows[3] == loaded.rows().tolist()


def test_what_another_widget_called_it_it_is_called_here() -> None:
    first, second = finder(), finder()
    second.add(run(first, label="wide"))
    second.add(run(first))
    assert labels(second) == ["wide", "run 2"]
    run(second)
    assert labels(second) == ["wide", "run 2", "run 1"]


def test_what_is_no_records_is_refused_in_words() -> None:
    w = finder()
    for bad in (None, "sweep.jsonl", np.zeros((3, 2))):
        with pytest.raises(TypeError, match="expected LRRecords"):
            w.add(bad)
    assert w.runs == []


def test_odd_records_are_shown_all_the_same() -> None:
    w = finder()
    empty = LRRecords()
    one = LRRecords({"label": 5, "options": "none"})
    one.append(1e-3, float("nan"))
    odd = LRRecords({"options": {"start_lr": -1, "end_lr": "high", "steps": 1.5}})
    for lr in (0.0, -1.0, float("inf"), 1e-2, 1e-4):
        odd.append(lr, 1.0)
    for records in (empty, one, odd):
        w.activate(w.add(records))
        low, high = w._range
        assert 0 < low < high
        assert (w.state, w.step) == ("stopped", len(records))
    assert w._range == [1e-4, 1e-2]


# -- the active run


def test_activating_moves_everything_that_speaks_of_a_run() -> None:
    w = finder()
    first = run(w)
    second = run(w, steps=7, end_lr=0.5, optimizer=torch.optim.Adam)
    w.activate(first)
    assert w.records is first
    assert legend(w)[0] == 1
    assert (w.step, w.steps, w._range) == (20, 20, [1e-5, 1.0])
    assert w.suggestion == w.lr == first.suggestion.lr
    assert w._detail["reason"] == first.suggestion.reason
    w.activate(second.meta["label"])
    assert (w.records, w.step, w._range) == (second, 7, [1e-5, 0.5])
    assert w.suggestion == w.lr == second.suggestion.lr
    assert repr(w).startswith("LRFinderWidget(finished, 7 steps")


def test_a_pick_survives_other_runs_and_their_activation() -> None:
    w = finder()
    first = run(w)
    w.lr = 0.9
    run(w, end_lr=0.1)
    assert w.lr == 0.9
    w.activate(first)
    assert w.lr == 0.9
    w.lr = 5.0  # the active run limits a new pick
    assert w.lr == 1.0


def test_nothing_is_activated_while_something_runs(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    gate.let(20)
    first = run(w)
    w.start()
    with pytest.raises(RuntimeError, match="the sweep is running"):
        w.activate(first)
    w.activate(w.runs[1])  # activating the active run is allowed
    gate.open()
    w.wait()
    w.activate(first)
    assert w.records is first


def test_check_and_apply_speak_of_the_active_run() -> None:
    parts = training()
    adam = torch.optim.Adam(parts["model"].parameters(), lr=0.5)
    w = finder(**parts)
    run(w)
    run(w, optimizer=adam, batch_size=256)
    w.lr = 1e-3
    w.apply()
    assert (adam.param_groups[0]["lr"], parts["optimizer"].param_groups[0]["lr"]) == (1e-3, 0.1)
    results = w.check(steps=2)
    w.wait()
    assert results.trials[0].meta["epochs_begin_at"] == [1]  # one batch holds all of the data
    w.activate("run 1")
    w.apply()
    assert parts["optimizer"].param_groups[0]["lr"] == 1e-3


def test_what_there_is_not_is_named() -> None:
    w = finder()
    with pytest.raises(ValueError, match="there is no run 'run 1'; there are: none yet"):
        w.activate("run 1")
    run(w)
    with pytest.raises(ValueError, match="there are: 'run 1'"):
        w.remove("run 2")
    with pytest.raises(ValueError, match="with these records"):
        w.remove(LRRecords())
    with pytest.raises(TypeError, match="expected its records"):
        w.rename(1, "one")


# -- names, removal, the end


def test_a_run_can_be_renamed_while_it_runs(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    w.start()
    gate.let(3)
    until(lambda: len(w.records) >= 2)
    w.rename("run 1", "narrow")
    gate.open()
    w.wait()
    w.rename("narrow", "narrow")
    assert legend(w)[1] == labels(w) == ["narrow"]
    run(w)
    w.rename("run 2", "narrow")
    assert labels(w) == ["narrow", "narrow (2)"]


def test_a_removed_run_is_gone_from_everywhere() -> None:
    w = finder()
    first, second, third = run(w), run(w), run(w)
    w.remove(second)
    assert w.runs == [first, third]
    assert legend(w) == (3, ["run 1", "run 3"])
    assert {saved["run"] for saved in w.get_state("_runs")["_runs"]} == {1, 3}
    w.remove(third)  # removes the active run
    assert (w.records, legend(w)) == (first, (1, ["run 1"]))
    assert w.lr == w.suggestion == first.suggestion.lr
    w.remove(first)
    assert (w.runs, w.state, w.step, len(w.records), w.lr) == ([], "idle", 0, 0, None)
    run(w)
    assert labels(w) == ["run 4"]


def test_the_only_run_of_a_closed_widget_is_kept() -> None:
    w = finder()
    records = run(w)
    w.close()
    with pytest.raises(RuntimeError, match="the widget is closed"):
        w.remove("run 1")
    assert (w.runs, w.records) == ([records], records)


def test_after_the_last_run_was_removed_waiting_returns_the_one_before() -> None:
    w = finder()
    first, second = run(w), run(w)
    w.remove(second)
    assert w.wait(60) is first
    w.remove(first)
    with pytest.raises(RuntimeError, match="no sweep has been started"):
        w.wait(60)


def test_an_added_sweep_that_ended_early_says_of_how_many_steps() -> None:
    w = finder(steps=20)
    early = LRRecords({"options": {"steps": 100, "repeats": 2}})
    early.append(1e-3, 2.0)
    w.activate(w.add(early))
    assert (w.step, w.steps) == (1, 200)


def test_what_is_under_way_is_not_removed(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    w.start()
    with pytest.raises(RuntimeError, match=r"'run 1' is running; stop\(\) it"):
        w.remove("run 1")
    gate.open()
    w.wait()
    w.remove("run 1")


def test_reset_forgets_all_runs() -> None:
    w = finder()
    run(w)
    w.add(run(w))
    w.lr = 1e-3
    w.reset()
    assert (w.runs, w.state, w.lr) == ([], "idle", None)
    active, none = legend(w)
    assert none == []
    assert [saved["run"] for saved in w.get_state("_runs")["_runs"]] == [active]


def test_close_keeps_the_rows_of_all_and_lets_go_of_what_was_trained() -> None:
    parts = training()
    data = torch.utils.data.TensorDataset(torch.randn(64, 4), torch.zeros(64).long())
    alive = [weakref.ref(thing) for thing in (parts["model"], parts["data"], data)]
    w = finder(**parts)
    run(w)
    run(w, data=data)
    w.close()
    del parts, data
    gc.collect()
    assert [ref() for ref in alive] == [None] * 3
    for action in (w.start, lambda: w.add(w.records), lambda: w.remove(w.records)):
        with pytest.raises(RuntimeError, match="closed"):
            action()
    assert [len(records) for records in w.runs] == [20, 20]
