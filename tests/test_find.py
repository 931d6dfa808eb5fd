"""`lr_find`: the range test in a script."""

import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from lrwidget import LRRecords, TrainingTask, lr_find
from lrwidget.records.table import StopReason
from tests.tasks import problem


def test_it_returns_the_records_of_the_whole_ladder() -> None:
    records = lr_find(*problem(), start_lr=1e-6, end_lr=1e-2, steps=40, progress=False)
    assert (len(records), records.stop_reason) == (40, StopReason.FINISHED)
    assert list(records.frame.columns) == ["lr", "loss"]


def test_the_progress_bar_counts_the_steps_and_leaves_no_thread(capsys: Any) -> None:
    threads = threading.active_count()
    lr_find(*problem(), start_lr=1e-6, end_lr=1e-2, steps=40)
    assert threading.active_count() == threads
    assert "/40" in capsys.readouterr().err
    lr_find(*problem(), start_lr=1e-6, end_lr=1e-2, steps=40, progress=False)
    assert capsys.readouterr() == ("", "")


def test_unknown_keywords_and_a_progress_that_is_no_flag_are_refused() -> None:
    with pytest.raises(TypeError, match="unknown option 'num_iter'"):
        lr_find(*problem(), num_iter=3)
    with pytest.raises(TypeError, match="progress is 1"):
        lr_find(*problem(), progress=1)


def test_an_interrupt_ends_the_sweep_and_keeps_its_rows() -> None:
    model, optimizer, loss_fn, loader = problem()
    before = [p.clone() for p in model.parameters()]
    seen = 0

    def interrupted(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        nonlocal seen
        seen += 1
        if seen == 20:
            signal.raise_signal(signal.SIGINT)
        return loss_fn(output, target)

    records = lr_find(model, optimizer, interrupted, loader, progress=False)
    assert (len(records), records.stop_reason) == (19, StopReason.STOPPED)
    assert records.suggestion.reason
    assert all(map(torch.equal, before, model.parameters()))


def test_an_exception_comes_out_with_the_rows_so_far() -> None:
    model, optimizer, loss_fn, loader = problem()
    batches = [*list(loader)[:4], "bad"]
    with pytest.raises(TypeError, match="a batch is a str") as caught:
        lr_find(model, optimizer, loss_fn, batches, progress=False)
    assert len(caught.value.records) == 4
    assert "ended after 4 steps" in caught.value.__notes__[0]


def test_it_works_where_gradients_are_switched_off() -> None:
    with torch.no_grad():
        records = lr_find(TrainingTask(*problem()), steps=3, progress=False)
        assert not torch.is_grad_enabled()
    assert len(records) == 3


def test_a_log_gets_each_row_as_it_comes_and_then_how_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonl"
    model, optimizer, loss_fn, loader = problem()
    lines: list[int] = []

    def counting(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        lines.append(len(path.read_text().splitlines()))
        return loss_fn(output, target)

    options = {"start_lr": 1e-6, "end_lr": 1e-3, "steps": 5, "repeats": 2, "progress": False}
    records = lr_find(model, optimizer, counting, loader, log=path, **options)
    # The header is written with the first row; each step sees the rows of the steps before it.
    assert lines == [0, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    loaded = LRRecords.load(path)
    assert loaded.frame.equals(records.frame)
    assert (loaded.stop_reason, loaded.meta) == (StopReason.FINISHED, records.meta)


def test_a_log_says_how_the_sweep_ended_before_the_trials_and_their_result_after(
    tmp_path: Path,
) -> None:
    path = tmp_path / "sweep.jsonl"
    model, optimizer, loss_fn, loader = problem()
    meanwhile: list[LRRecords] = []

    def looking(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if output.shape[0] != 32:  # a held-out batch
            meanwhile.append(LRRecords.load(path))
        return loss_fn(output, target)

    options = {"steps": 30, "end_lr": 1.0, "seed": 0, "progress": False}
    records = lr_find(model, optimizer, looking, loader, log=path, refine=True, **options)
    assert meanwhile
    for loaded in meanwhile:  # as after the process has died
        assert loaded.frame.equals(records.frame)
        assert (loaded.stop_reason, loaded.refinement) == (records.stop_reason, None)
    loaded = LRRecords.load(path)
    assert repr(loaded.refinement) == repr(records.refinement) != "None"
    assert [b'"refining": true' in line for line in path.read_bytes().splitlines()[-2:]] == [
        True,
        False,
    ]


def test_the_log_of_a_failed_sweep_says_so(tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonl"
    model, optimizer, loss_fn, loader = problem()
    with pytest.raises(TypeError):
        lr_find(model, optimizer, loss_fn, [next(iter(loader)), 7], log=path, progress=False)
    loaded = LRRecords.load(path)
    assert (len(loaded), loaded.stop_reason) == (1, StopReason.FAILED)


def test_a_refinement_after_a_long_sweep_gets_three_hundred_steps_more(monkeypatch) -> None:
    monkeypatch.setattr("lrwidget.find.BUDGET", 310)
    refined = [
        lr_find(*problem(), steps=steps, stop_at_divergence=False, refine=True, progress=False)
        for steps in (10, 60)
    ]
    assert [records.refinement.budget for records in refined] == [310, 360]
    assert all(records.refinement.steps <= records.refinement.budget for records in refined)
