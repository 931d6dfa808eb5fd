"""Tests of the widget's results, and of its state after it is closed."""

from __future__ import annotations

import gc
import pickle
import weakref
from typing import Any

import pytest
import torch
from ipywidgets.widgets.widget import _instances
from torch import nn

from lrwidget import LRFinderWidget
from lrwidget.widget.export import QUEUED
from tests.widget.finder import (
    Gate,
    OutOfLuckError,
    comm_of,
    everything,
    finder,
    training,
    until,
)

# -- results


def test_export_writes_a_variable(namespace: dict[str, Any]) -> None:
    w = finder()
    with pytest.raises(ValueError, match="no learning rate"):
        w.export()
    w.lr = 1e-3
    assert w.export() == 1e-3
    w.variable = "rate"
    w.export()
    w.export("other")
    assert namespace == {"lr": 1e-3, "rate": 1e-3, "other": 1e-3}
    with pytest.raises(ValueError, match="not a variable name"):
        w.export("not good")


def test_after_a_sweep_without_a_suggestion_the_errors_do_not_say_that_it_has_not_run(
    namespace: dict[str, Any],
) -> None:
    w = finder(steps=4)
    w.start()
    w.wait()
    assert w.suggestion is None
    for use in (w.export, w.apply, w.check):
        with pytest.raises(ValueError, match=r"yet: the active run has suggested none; run a swe"):
            use()
    assert namespace == {}


def test_a_widget_is_not_pickled_but_its_records_are() -> None:
    w = finder(steps=4)
    w.start()
    w.wait()
    with pytest.raises(TypeError, match=r"cannot be pickled; keep its rows with w\.records\.save"):
        pickle.dumps(w)
    assert pickle.loads(pickle.dumps(w.records)).rows().tolist() == w.records.rows().tolist()


def test_export_from_the_page(namespace: dict[str, Any]) -> None:
    w = finder()
    page = comm_of(w)

    def export(name: str) -> dict[str, Any]:
        page.say(type="export", name=name)
        return page.sent[-1].content

    assert export("lr")["ok"] is False
    w.lr = 1e-3
    assert export("lr") == {"type": "exported", "ok": True, "text": f"lr = 0.001. {QUEUED}"}
    assert export("__import__('os')")["ok"] is False
    assert export("print")["ok"] is False
    assert namespace == {"lr": 1e-3}


def test_export_outside_of_a_notebook() -> None:
    w = finder()
    w.lr = 1e-3
    with pytest.raises(RuntimeError, match="not an IPython session"):
        w.export()
    comm_of(w).say(type="export", name="lr")
    answer = comm_of(w).sent[-1].content
    assert answer["ok"] is False
    assert "not an IPython session" in answer["text"]


def test_apply_keeps_ratios_and_fills_tensors() -> None:
    parts = training()
    groups = [{"params": [p], "lr": 0.1 * 2**-i} for i, p in enumerate(parts["model"].parameters())]
    tensor = torch.tensor(0.1)
    groups[0]["lr"] = tensor
    optimizer = torch.optim.SGD(groups, foreach=False)
    w = LRFinderWidget(**parts | {"optimizer": optimizer})
    with pytest.raises(ValueError, match="no learning rate"):
        w.apply()
    w.lr = 1e-3
    w.apply()
    assert optimizer.param_groups[0]["lr"] is tensor
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    assert rates == pytest.approx([1e-3 * 2**-i for i in range(len(groups))], rel=1e-6)
    comm_of(w).say(type="command", name="apply")
    assert w._detail["notice"] == "The optimizer's learning rate is now 0.001."


def test_apply_to_an_optimizer_of_ones_own() -> None:
    w = finder(optimizer=torch.optim.Adam)
    w.lr = 1e-3
    with pytest.raises(ValueError, match="give the optimizer"):
        w.apply()
    mine = torch.optim.Adam(nn.Linear(2, 2).parameters(), lr=0.5)
    w.apply(mine)
    assert mine.param_groups[0]["lr"] == 1e-3
    with pytest.raises(TypeError, match=r"expected a torch\.optim\.Optimizer"):
        w.apply("Adam")


def test_apply_waits_for_the_end(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    w.lr = 1e-3
    w.start()
    with pytest.raises(RuntimeError, match="puts the optimizer back"):
        w.apply()
    mine = torch.optim.Adam(nn.Linear(2, 2).parameters(), lr=0.5)
    w.apply(mine)
    assert mine.param_groups[0]["lr"] == 1e-3
    gate.open()
    w.wait()
    w.apply()


# -- close


def test_close_lets_go_of_everything_and_keeps_the_rows() -> None:
    parts = training()
    alive = [weakref.ref(parts[name]) for name in ("model", "optimizer", "data")]
    w = LRFinderWidget(**parts, start_lr=1e-5, end_lr=1.0, steps=20)
    w.start()
    w.wait()
    lr = w.lr
    w.close()
    del parts
    gc.collect()
    assert [ref() for ref in alive] == [None, None, None]
    assert (w.state, w.lr, len(w.records), len(w.wait())) == ("finished", lr, 20, 20)
    assert repr(w).startswith("LRFinderWidget(finished, 20 steps")
    for action in (w.start, w.reset, w.apply):
        with pytest.raises(RuntimeError, match="closed"):
            action()
    w.pause(), w.resume(), w.stop(), w.close()
    mine = torch.optim.Adam(nn.Linear(2, 2).parameters(), lr=0.5)
    w.apply(mine)
    assert mine.param_groups[0]["lr"] == pytest.approx(lr)


def test_close_lets_go_after_a_failure(gate: Gate) -> None:
    parts = training() | {"loss_fn": gate}
    alive = [weakref.ref(parts[name]) for name in ("model", "optimizer", "data")]
    gate.error = OutOfLuckError("no luck")
    gate.open()
    w = LRFinderWidget(**parts)
    w.start()
    until(lambda: w.state == "failed")
    w.close()
    gate.error = None
    del parts
    gc.collect()
    assert [ref() for ref in alive] == [None, None, None]
    assert w.error == "OutOfLuckError: no luck"


def test_close_ends_a_sweep_and_restores(gate: Gate) -> None:
    parts = training() | {"loss_fn": gate}
    before = everything(parts)
    w = LRFinderWidget(**parts)
    w.start()
    gate.let(3)
    until(lambda: gate.calls == 3)
    gate.open()
    held = comm_of(w)
    w.close()
    assert w.state == "stopped"
    assert held.closed
    assert everything(parts) == before


def test_a_closed_widget_is_collected() -> None:
    before = set(_instances)
    alive = []
    for _ in range(3):
        w = finder()
        w.start()
        w.wait()
        w.close()
        alive.append(weakref.ref(w))
    del w
    gc.collect()
    assert [ref() for ref in alive] == [None] * 3
    assert set(_instances) == before
