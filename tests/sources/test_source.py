"""Sources: runs with and without overrides, checks, and the optimizer that gets a rate."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from lrwidget import TrainingTask
from lrwidget.engine.runner import RunState
from lrwidget.sources.local import LocalSource
from lrwidget.sources.resolve import source_of
from tests.widget.finder import training


def source(**changes) -> LocalSource:
    return LocalSource(**(training() | {"steps": 4, "start_lr": 1e-4, "end_lr": 1e-2} | changes))


def rows_of(runner):
    runner.start()
    return runner.wait()


def test_the_plain_run_has_the_options_of_the_constructor() -> None:
    runner = source().runner("first")
    assert (runner.state, runner.steps, runner.span) == (RunState.IDLE, 4, (1e-4, 1e-2))
    records = rows_of(runner)
    assert records is runner.records
    assert records.meta["label"] == "first"
    assert records.meta["options"]["end_lr"] == 1e-2
    assert len(records) == 4


def test_a_class_given_as_runner_is_named() -> None:
    class Runner:
        def source(self, factory, options):
            raise AssertionError

    with pytest.raises(TypeError, match=r"runner is a class; make one: Runner\(\.\.\.\)"):
        source_of(training, runner=Runner)


def test_a_variant_of_the_sweep_alone_runs_the_same_task() -> None:
    made = []

    def factory(parameters, lr):
        made.append(torch.optim.SGD(parameters, lr=lr))
        return made[-1]

    variants = source(optimizer=factory)
    records = rows_of(variants.runner("", {"steps": 6, "end_lr": 0.1}))
    assert (len(records), records.lr[-1]) == (6, pytest.approx(0.1))
    assert len(made) == 1
    # Overrides apply to one run: the next run has the original options.
    assert variants.runner("").span == (1e-4, 1e-2)


def test_a_variant_may_differ_in_any_option() -> None:
    model = training()["model"]
    adam = torch.optim.Adam(model.parameters(), lr=0.3)
    records = rows_of(
        source(model=model, optimizer=torch.optim.SGD).runner("", {"optimizer": adam})
    )
    assert records.meta["optimizer"] == "Adam"
    records = rows_of(source(batch_size=8).runner("", {"batch_size": 64}))
    assert records.meta["batch_size"] == 64
    other = nn.Linear(4, 2)
    with pytest.raises(ValueError, match="none of them the model's"):
        source().runner("", {"model": other})
    assert len(rows_of(source().runner("", {"model": other, "optimizer": torch.optim.Adam}))) == 4


def test_another_loader_keeps_its_batch_size_unless_one_is_given_with_it() -> None:
    other = DataLoader(training()["data"], 10)
    sizes = [{"data": other}, {"data": other, "batch_size": 16}, {"batch_size": 16}, {}]
    found = [rows_of(source(batch_size=8).runner("", one)).meta["batch_size"] for one in sizes]
    assert found == [10, 16, 16, 8]


def test_what_is_no_option_is_refused_in_words() -> None:
    with pytest.raises(TypeError, match="unknown option 'weight_dekay'"):
        source().runner("", {"weight_dekay": 0.1})
    with pytest.raises(ValueError, match="start_lr < end_lr"):
        source().runner("", {"end_lr": 1e-9})
    task = TrainingTask(**training())
    with pytest.raises(TypeError, match="beside a TrainingTask"):
        LocalSource(model=task).runner("", {"batch_size": 64})


def test_a_check_runs_what_its_run_ran() -> None:
    checker = source(batch_size=8).checker([1e-3], 3, {"batch_size": 256})
    checker.start()
    results = checker.wait()
    assert results is checker.result
    # One batch holds all 256 samples, so each step begins an epoch.
    assert results.trials[0].meta["epochs_begin_at"] == [1, 2]
    assert len(results.trials[0]) == 3


def test_a_rate_goes_to_the_optimizer_of_its_run() -> None:
    parts = training()
    adam = torch.optim.Adam(parts["model"].parameters(), lr=0.3)
    variants = source(**parts)
    variants.apply(0.5, None)
    assert parts["optimizer"].param_groups[0]["lr"] == 0.5
    variants.apply(0.25, None, {"optimizer": adam})
    assert adam.param_groups[0]["lr"] == 0.25
    assert parts["optimizer"].param_groups[0]["lr"] == 0.5
    with pytest.raises(ValueError, match="give the optimizer that you train with"):
        variants.apply(0.25, None, {"optimizer": torch.optim.Adam})


def test_it_knows_which_optimizer_a_run_puts_back() -> None:
    parts = training()
    adam = torch.optim.Adam(parts["model"].parameters(), lr=0.3)
    variants = source(**parts)
    variants.runner("")
    assert variants.holds(None)
    assert variants.holds(parts["optimizer"])
    assert not variants.holds(adam)
    variants.runner("", {"optimizer": adam})
    assert variants.holds(adam)
    assert not variants.holds(None)


def test_close_lets_go_of_everything() -> None:
    parts = training()
    variants = source(**parts)
    rows_of(variants.runner("", {"batch_size": 8}))
    alive = [weakref.ref(parts[name]) for name in ("model", "optimizer", "data")]
    variants.close()
    del parts
    gc.collect()
    assert [ref() for ref in alive] == [None, None, None]


def test_a_source_stands_for_itself_and_takes_nothing_beside() -> None:
    mine = source()
    assert source_of(mine) is mine
    with pytest.raises(TypeError, match="steps beside a LocalSource"):
        source_of(mine, steps=5)
    assert isinstance(source_of(**training(), steps=3), LocalSource)
