"""An ended sweep keeps its rows, suggests a rate and reports how it ended."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lrwidget import LRFinderWidget, LRRecords, TrainingTask
from lrwidget.records.table import StopReason
from tests.restore.endings import PATIENCE, find, interrupt, runner, wait_until
from tests.restore.plan import BoomError, Plan
from tests.restore.scenes import fresh
from tests.tasks import problem

# The range is wide enough that the loss falls before the sweep is cut short.
WIDE = {"start_lr": 1e-5, "end_lr": 10.0, "steps": 100, "seed": 0}
CUT = 85


class Planned(nn.CrossEntropyLoss):
    """The loss of `problem`, which follows a plan."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.plan.reached("loss")
        return super().forward(output, target) * self.plan.factor


def task(**options: Any) -> tuple[TrainingTask, Plan]:
    plan = Plan()
    model, optimizer, _, loader = problem()
    return TrainingTask(model, optimizer, Planned(plan), loader, **options), plan


@pytest.fixture(scope="module")
def whole() -> LRRecords:
    torch.set_num_threads(1)
    return find(task()[0], **WIDE)


@pytest.mark.parametrize("how", ["interrupt", "exception", "stop", "close"])
@pytest.mark.parametrize("snapshot", ["auto", "device"])
def test_rows_and_suggestion_of_a_sweep_cut_short(
    how: str, snapshot: Any, whole: LRRecords
) -> None:
    it, plan = task(snapshot=snapshot)
    if how == "interrupt":
        plan.at("loss", CUT, interrupt)
        records = find(it, **WIDE)
    elif how == "exception":
        plan.at("loss", CUT, plan.fail)
        with pytest.raises(BoomError) as caught:
            find(it, **WIDE)
        assert "the rows are in this error's attribute `records`" in caught.value.__notes__[0]
        records = caught.value.records  # type: ignore[attr-defined]
    else:
        run = runner(it, **WIDE)
        plan.at("loss", CUT - 1, run.stop if how == "stop" else run.pause)
        run.start()
        if how == "close":
            wait_until(lambda: run.state == "paused")
            run.close()
        records = run.wait(PATIENCE)
    assert records.stop_reason == ("failed" if how == "exception" else "stopped")
    # No row is lost, and the rows equal those of the complete sweep.
    assert len(records) == CUT - 1
    assert records.rows().tobytes() == whole.rows()[: CUT - 1].tobytes()
    suggestion = records.suggestion
    assert suggestion.lr is not None
    assert 1e-5 < suggestion.lr < 10


REASONS: dict[str, tuple[StopReason, int]] = {
    "nothing": (StopReason.FINISHED, 40),
    "explodes": (StopReason.DIVERGED, 25),
    "nan": (StopReason.NON_FINITE, 21),
    "inf": (StopReason.NON_FINITE, 21),
    "explodes, told to go on": (StopReason.FINISHED, 40),
    "nan, told to go on": (StopReason.NON_FINITE, 21),
}


@pytest.mark.parametrize("what", REASONS)
def test_the_reason_is_the_truth(what: str) -> None:
    it, plan = task()
    factor = {"explodes": 1e6, "nan": math.nan, "inf": math.inf}.get(what.split(",", maxsplit=1)[0])
    if factor is not None:
        plan.at("loss", 21, lambda: setattr(plan, "factor", factor))
    reason, most = REASONS[what]
    records = find(
        it, start_lr=1e-10, end_lr=1e-7, steps=40, stop_at_divergence="go on" not in what, seed=0
    )
    assert records.stop_reason is reason
    assert 20 < len(records) <= most
    assert np.isfinite(records.loss[:20]).all()


def test_the_reason_survives_saving(tmp_path: Any) -> None:
    it, plan = task()
    plan.at("loss", 10, interrupt)
    records = find(it, **WIDE)
    records.save(tmp_path / "sweep.jsonl")
    again = LRRecords.load(tmp_path / "sweep.jsonl")
    assert again.stop_reason is StopReason.STOPPED
    assert again.rows().tobytes() == records.rows().tobytes()


def test_a_widget_refuses_a_model_that_is_being_swept() -> None:
    it = fresh()
    run = runner(it.task())
    it.plan.at("forward", 3, run.pause)
    run.start()
    wait_until(lambda: run.state == "paused")
    widget = LRFinderWidget(it.task(), start_lr=1e-4, end_lr=1e-2, steps=5)
    with pytest.raises(RuntimeError, match="is being swept already"):
        widget.start()
    run.close()
    widget.close()
