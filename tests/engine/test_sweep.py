"""The sweep: its rows and its stop reasons."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lrwidget import LRRecords, TrainingTask
from lrwidget.engine.ladder import Ladder
from lrwidget.engine.sweep import sweep
from lrwidget.records.table import StopReason
from lrwidget.task.options import SweepOptions
from tests.tasks import network, problem


def run(task: TrainingTask, **options: Any) -> LRRecords:
    records = LRRecords()
    for _ in sweep(task, SweepOptions(**options), records):
        pass
    return records


def test_it_records_the_rate_of_each_step_and_the_loss_before_it() -> None:
    records = run(TrainingTask(*problem()), start_lr=1e-6, end_lr=1e-2, steps=50, seed=0)
    assert records.stop_reason is StopReason.FINISHED
    assert len(records) == 50
    assert records.lr[-1] == 1e-2
    assert records.loss.dtype == np.float64


def test_it_ends_at_divergence_before_the_ladder_does() -> None:
    records = run(TrainingTask(*problem()), start_lr=1e-3, end_lr=1e6, steps=100, seed=0)
    assert records.stop_reason in (StopReason.DIVERGED, StopReason.NON_FINITE)
    assert len(records) < 100


def test_it_goes_on_after_divergence_when_told_to_but_not_after_nan() -> None:
    model = network()
    calls = 0

    def loss_fn(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        loss = nn.functional.cross_entropy(output, target)
        return loss * (1e6 if calls > 20 else 1) * (float("nan") if calls > 30 else 1)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    task = TrainingTask(model, optimizer, loss_fn, problem()[3])
    records = run(task, steps=50, start_lr=1e-9, end_lr=1e-8, stop_at_divergence=False)
    assert records.stop_reason is StopReason.NON_FINITE
    assert len(records) == 31
    assert np.isnan(records.loss[-1])
    assert np.isfinite(records.loss[:-1]).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_the_first_loss_may_already_be_non_finite(value: float) -> None:
    model, optimizer, _, loader = problem()
    task = TrainingTask(model, optimizer, lambda o, t: o.sum() * 0 + value, loader)
    records = run(task, steps=10)
    assert (records.stop_reason, len(records)) == (StopReason.NON_FINITE, 1)
    assert records.suggestion.lr is None


def test_a_generator_that_ends_exhausts_the_sweep() -> None:
    model, optimizer, loss_fn, loader = problem()
    records = run(TrainingTask(model, optimizer, loss_fn, iter(list(loader)[:5])), steps=50)
    assert (records.stop_reason, len(records)) == (StopReason.EXHAUSTED, 5)


def test_epoch_borders_are_recorded() -> None:
    records = run(TrainingTask(*problem()), steps=20, start_lr=1e-6, end_lr=1e-4)
    assert records.meta["epochs_begin_at"] == [8, 16]
    assert records.meta["samples_in_epoch"] == 8 * 32
    records = run(TrainingTask(*problem(), accumulate=3), steps=4, start_lr=1e-6, end_lr=1e-4)
    assert records.meta["epochs_begin_at"] == [2]
    assert records.meta["samples_in_epoch"] == 8 * 32
    assert "samples_in_epoch" not in run(TrainingTask(*problem()), steps=8).meta


def test_closing_it_is_a_stop_that_keeps_the_rows() -> None:
    records = LRRecords()
    steps = sweep(TrainingTask(*problem()), SweepOptions(), records)
    for _ in range(30):
        next(steps)
    steps.close()
    assert (records.stop_reason, len(records)) == (StopReason.STOPPED, 30)
    assert records.suggestion.reason


def test_an_exception_fails_the_sweep_and_keeps_the_rows() -> None:
    model, optimizer, loss_fn, loader = problem()
    good = list(loader)[:3]
    records = LRRecords()
    with pytest.raises(TypeError, match="a batch is a str"):
        for _ in sweep(
            TrainingTask(model, optimizer, loss_fn, [*good, "bad"]), SweepOptions(), records
        ):
            pass
    assert (records.stop_reason, len(records)) == (StopReason.FAILED, 3)


def test_the_model_trains_in_train_mode_but_a_frozen_layer_stays_frozen() -> None:
    modes: list[tuple[bool, bool]] = []

    class Watched(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            modes.append((self.training, self[1].training))
            return super().forward(x)

    model = Watched(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Linear(16, 4))
    _, _, loss_fn, loader = problem()
    task = TrainingTask(model, torch.optim.SGD(model.parameters(), lr=0.1), loss_fn, loader)
    model[1].eval()
    run(task, steps=2)
    model.eval()
    run(task, steps=2)
    assert modes == [(True, False)] * 2 + [(True, True)] * 2
    assert not model.training


def test_repeats_begin_from_the_same_state_with_other_batches() -> None:
    records = run(TrainingTask(*problem()), steps=15, end_lr=1e-3, repeats=3, seed=0)
    assert records.sweep_starts == [0, 15, 30]
    first, second, third = (sweep[:, 1] for sweep in records.sweeps)
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, third)
    assert records.frame["sweep"].tolist() == [0] * 15 + [1] * 15 + [2] * 15


def test_repeats_climb_what_was_added_and_the_rates_before_stay() -> None:
    options = SweepOptions(start_lr=1e-6, end_lr=1e-4, steps=10, repeats=3, seed=0)
    plain, records = LRRecords(), LRRecords()
    for _ in sweep(TrainingTask(*problem()), options, plain):
        pass
    ladder = Ladder(options)
    for _ in sweep(TrainingTask(*problem()), options, records, ladder):
        if len(records) == 15:
            ladder.extend(1e-3)
    assert records.sweep_starts == [0, 10, 25]
    assert len(records) == ladder.total == 40
    first, second, third = records.sweeps
    # The extension leaves the rates and losses recorded before it unchanged, to the last bit.
    for before, after in zip(plain.sweeps, (first, second[:10], third[:10]), strict=True):
        assert np.array_equal(before, after)
    assert np.array_equal(second[:, 0], third[:, 0])
    assert third[-1, 0] == 1e-3
    assert records.meta["options"] == plain.meta["options"] | {"end_lr": 1e-3, "steps": 15}


def test_an_extended_sweep_still_ends_at_divergence() -> None:
    options = SweepOptions(start_lr=1e-3, end_lr=1e-2, steps=20, seed=0)
    records, ladder = LRRecords(), Ladder(options)
    for _ in sweep(TrainingTask(*problem()), options, records, ladder):
        if len(records) == 5:
            ladder.extend(1e6)
    assert records.stop_reason in (StopReason.DIVERGED, StopReason.NON_FINITE)
    assert 20 < len(records) < ladder.total
    with pytest.raises(RuntimeError, match="at its end"):
        ladder.extend(1e7)


def test_the_same_seed_gives_the_same_records_to_the_last_bit() -> None:
    task = TrainingTask(*problem(torch.optim.Adam))
    first, second, third = (run(task, steps=30, seed=7, repeats=2) for _ in range(3))
    assert np.array_equal(first.rows(), second.rows(), equal_nan=True)
    assert np.array_equal(first.rows(), third.rows(), equal_nan=True)


def test_a_second_sweep_of_the_same_model_is_refused() -> None:
    task = TrainingTask(*problem())
    steps = sweep(task, SweepOptions(), LRRecords())
    next(steps)
    with pytest.raises(RuntimeError, match="being swept already"):
        run(task)
    steps.close()
    assert len(run(task, steps=2)) == 2


def test_the_meta_say_what_was_swept() -> None:
    meta = run(TrainingTask(*problem(torch.optim.Adam)), steps=3, seed=5).meta
    assert meta["versions"]["torch"] == torch.__version__
    assert meta["options"]["steps"] == 3
    assert (meta["optimizer"], meta["batch_size"], meta["seed"]) == ("Adam", 32, 5)
    assert (meta["device"], meta["ran_on"]) == ("cpu", "copy")


def test_settings_that_json_cannot_hold_keep_no_records_from_being_saved(tmp_path: Path) -> None:
    task = TrainingTask(*problem(torch.optim.Adam))
    # As with Prodigy, and with betas that are tensors.
    task.optimizer.param_groups[0].update(growth_rate=math.inf, scales=(torch.ones(1), 1.0))
    records = run(task, steps=3)
    records.save(tmp_path / "sweep.jsonl")
    settings = LRRecords.load(tmp_path / "sweep.jsonl").meta["optimizer_settings"]
    assert settings["eps"] == 1e-8
    assert not {"scales", "growth_rate"} & settings.keys()


@pytest.mark.process
def test_the_engine_loads_no_jupyter_package() -> None:
    modules = [
        "task.task",
        "task.options",
        "engine.ladder",
        "engine.sweep",
        "engine.runner",
        "find",
    ]
    modules += ["restore.snapshot", "records.records", "records.jsonl", "records.plot"]
    modules += ["curve.suggest", "curve.stop_rule", "curve.smoothing", "curve.published_rules"]
    code = "\n".join(
        [f"import lrwidget.{name}" for name in modules]
        + [
            "import sys",
            "jupyter = {'ipywidgets', 'anywidget', 'bqplot', 'IPython', 'traitlets', 'ipykernel'}",
            "assert not jupyter & set(sys.modules), jupyter & set(sys.modules)",
        ]
    )
    subprocess.run([sys.executable, "-c", code], check=True)
