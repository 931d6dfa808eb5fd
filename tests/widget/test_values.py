"""Tests of the values that can be picked and set, and of the errors for others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import traitlets

from lrwidget import LRFinderWidget
from lrwidget.widget import traits
from tests.widget.fakepage import page_after
from tests.widget.finder import (
    Gate,
    comm_of,
    everything,
    finder,
    training,
    until,
)

STATES = ["state", "step", "steps", "suggestion", "error", "lr"]


def test_the_users_pick_is_never_overwritten(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    w.start()
    gate.let(5)
    comm_of(w).set(lr=3e-3)
    gate.open()
    w.wait()
    assert w.lr == 3e-3
    w.start()
    w.wait()
    assert w.lr == 3e-3
    assert all("lr" not in m.content for m in comm_of(w).rows_messages)


def test_the_page_is_told_whether_the_rate_was_picked_with_the_rate_itself(gate: Gate) -> None:
    gate.open()
    w = finder(loss_fn=gate)
    w.start()
    w.wait()
    assert comm_of(w).updates("lr") == [w.suggestion]
    assert comm_of(w).updates("_picked") == []  # the widget chose it
    w.lr = 1e-2
    last = comm_of(w).sent[-1].data["state"]
    assert (last["lr"], last["_picked"]) == (1e-2, True)
    comm_of(w).set(_picked=False)
    assert w.get_state("_picked") == {"_picked": True}
    w.reset()
    assert comm_of(w).updates("_picked") == [True, False]
    comm_of(w).set(lr=3e-3)
    assert comm_of(w).updates("_picked") == [True, False, True]


def test_news_that_come_while_values_are_held_back_do_no_harm(gate: Gate) -> None:
    w = finder(loss_fn=gate)
    w.start()
    gate.open()
    with w.hold_sync():
        w.smoothing, w.lr = 0.5, 1e-2
        until(lambda: w._run_list.active.outcome is not None)
    assert (w.state, w.lr, w.smoothing) == ("finished", 1e-2, 0.5)
    sent = comm_of(w)
    for name, value in {"state": "finished", "lr": 1e-2, "smoothing": 0.5}.items():
        assert sent.updates(name)[-1] == value


def test_picking_the_value_it_has_is_a_pick(gate: Gate) -> None:
    gate.open()
    w = finder(loss_fn=gate)
    w.start()
    w.wait()
    suggested = w.lr
    w.lr = suggested
    gate.losses = lambda call: 1.0
    w.start()
    w.wait()
    assert w.suggestion is None
    assert w.lr == suggested


def test_as_long_as_nobody_picks_the_marker_follows(gate: Gate) -> None:
    gate.open()
    w = finder(loss_fn=gate)
    w.start()
    w.wait()
    assert w.lr is not None
    gate.losses = lambda call: 1.0
    w.start()
    w.wait()
    assert w.lr is None


def test_none_takes_a_pick_back() -> None:
    w = finder()
    w.start()
    w.wait()
    w.lr = 3e-3
    w.lr = None
    assert w.lr == w.suggestion is not None
    assert comm_of(w).updates("_picked") == [True, False]
    assert comm_of(w).updates("lr")[-1] == w.suggestion
    w.start(end_lr=0.5)
    w.wait()
    assert w.lr == w.suggestion


def test_a_refused_value_is_no_pick() -> None:
    w = finder()
    with pytest.raises(traitlets.TraitError):
        w.lr = float("nan")
    comm_of(w).set(lr="fast")
    w.start()
    w.wait()
    assert w.lr == w.suggestion is not None


def test_reset_forgets_rows_and_pick() -> None:
    w = finder()
    comm_of(w).say(type="hello")
    w.start()
    w.wait()
    w.lr, w.lr_range, w.smoothing = 1e-2, (1e-3, 1e-2), 0.5
    w.reset()
    assert [getattr(w, name) for name in STATES] == ["idle", 0, 20, None, None, None]
    assert (w.lr_range, w.smoothing) == (None, 0.5)
    assert len(w.records) == 0
    page = page_after(comm_of(w).rows_messages)
    assert (page.run, page.rows, page.last["state"]) == (2, [], "idle")
    w.start()
    w.wait()
    assert w.lr == w.suggestion


def test_reset_stops_a_sweep_under_way(gate: Gate) -> None:
    parts = training() | {"loss_fn": gate}
    before = everything(parts)
    w = LRFinderWidget(**parts)
    w.start()
    gate.let(3)
    until(lambda: gate.calls == 3)
    gate.open()
    w.reset()
    assert (w.state, len(w.records)) == ("idle", 0)
    assert everything(parts) == before


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (1e-3, 1e-3),
        (5, 1.0),
        (0, 1e-5),
        (-1.0, 1e-5),
        (np.float32(0.5), 0.5),
        (torch.tensor(0.25), 0.25),
        (None, None),
    ],
)
def test_lr_is_a_plain_float_in_the_range(given: Any, kept: float | None) -> None:
    w = finder()
    w.lr = given
    assert w.lr == kept
    assert type(w.lr) is type(kept)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("lr", "1e-3"),
        ("lr", True),
        ("lr", [1e-3]),
        ("lr", torch.ones(2)),
        ("smoothing", 1.0),
        ("smoothing", -0.1),
        ("smoothing", None),
        ("smoothing", float("nan")),
        ("y_max", float("inf")),
        ("y_max", "auto"),
        ("log_y", "yes"),
        ("log_y", None),
        ("lr_range", (1e-2, 1e-3)),
        ("lr_range", (1e-3, 1e-3)),
        ("lr_range", (1e-3,)),
        ("lr_range", 1e-3),
        ("lr_range", (1e-3, float("nan"))),
        ("lr_range", (2.0, 3.0)),
        ("variable", 5),
        ("variable", None),
    ],
)
def test_values_that_make_no_sense_are_refused_in_words(name: str, value: Any) -> None:
    w = finder()
    before = getattr(w, name)
    with pytest.raises(traitlets.TraitError) as refused:
        setattr(w, name, value)
    assert name in str(refused.value)
    assert getattr(w, name) == before


@pytest.mark.parametrize(
    ("trait", "such"), [("smoothing", "0.9"), ("y_max", "2.5"), ("lr", "1e-3")]
)
def test_a_word_where_a_number_goes_is_told_a_fitting_number(trait: str, such: str) -> None:
    with pytest.raises(traitlets.TraitError, match=f"{trait} is 'x'.* such as {such}$"):
        setattr(finder(), trait, "x")


def test_a_range_without_an_end_is_refused_as_a_whole() -> None:
    with pytest.raises(traitlets.TraitError, match=r"lr_range is \(None, 1\); expected a pair"):
        finder().lr_range = (None, 1)


def test_lr_range_is_ordered_and_in_the_range() -> None:
    w = finder()
    w.lr_range = [1e-3, 5]
    assert w.lr_range == (1e-3, 1.0)
    w.y_max = -2  # losses may be negative
    assert w.y_max == -2.0


@pytest.mark.parametrize("name", ["state", "step", "steps", "suggestion", "error"])
def test_what_the_kernel_owns_cannot_be_assigned(name: str) -> None:
    with pytest.raises(traitlets.TraitError, match="read-only"):
        setattr(finder(), name, None)


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("start_lr", r"constructor, .*or to one run: w\.start\(start_lr=\.\.\.\)"),
        ("batch_size", r"w\.start\(batch_size="),
        ("note", "what is no option is kept in a variable of your own"),
        ("smoothing_factor", "did you mean smoothing\\?"),
        ("ymax", "did you mean y_max\\?"),
        ("height", r"constructor: LRFinderWidget\(\.\.\., height="),
    ],
)
def test_an_attribute_without_effect_is_refused_in_words(name: str, mend: str) -> None:
    w = finder()
    with pytest.raises(AttributeError, match=f"no attribute '{name}' that could be set.*{mend}"):
        setattr(w, name, 0.5)
    assert not hasattr(w, name)


def test_attributes_of_a_subclass_and_added_traits_are_set() -> None:
    class Mine(LRFinderWidget):
        def __init__(self, **given: Any) -> None:
            self.before = 1
            super().__init__(**given)
            self.start_lr = 1e-3

    mine = Mine(**training())
    mine.note = 2
    assert (mine.before, mine.start_lr, mine.note) == (1, 1e-3, 2)
    w = finder()
    w.add_traits(note=traitlets.Int(0))
    w.note = 3
    w._note = 4
    assert w.note == 3
    w.smoothing, w.variable, w.layout.width = 0.5, "rate", "50%"
    w.close()


def test_a_pick_is_validated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    w = finder()
    validated: list[Any] = []
    finite = traits.finite
    monkeypatch.setattr(traits, "finite", lambda *given: validated.append(given) or finite(*given))
    w.lr = 1e-3
    comm_of(w).set(lr=2e-3)
    comm_of(w).say(type="pick", lr=3e-3)
    assert validated == [("lr", 1e-3), ("lr", 2e-3), ("lr", 3e-3)]
    assert w.lr == 3e-3


def test_what_an_observer_sets_on_a_pick_of_the_page_is_validated() -> None:
    w = finder()

    def raise_it(change: Any) -> None:
        if change["new"] < 1.0:
            with w.hold_trait_notifications():
                w.lr = 50.0

    w.observe(raise_it, "lr")
    comm_of(w).set(lr=2e-3)
    assert w.lr == 1.0
