"""Tests that the widget's messages have the fields that `lrwidget.stream.protocol` describes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anywidget

from lrwidget.stream.protocol import (
    CheckDetail,
    CheckMessage,
    Detail,
    ExportedMessage,
    Landmarks,
    Legend,
    OptimizerRecipe,
    RefinementMessage,
    RowsMessage,
    SavedCheck,
    SavedRefinement,
    SavedRun,
)
from lrwidget.stream.refinement import RefinementDetail, TrialDetail
from tests.widget.finder import comm_of, finder

WIRE = json.loads((Path(__file__).parents[1] / "vectors" / "wire.json").read_text("utf-8"))


def fits(value: Any, description: Any) -> bool:
    """Return whether a value has all required fields and no unknown ones."""
    return description.__required_keys__ <= set(value) <= set(description.__annotations__)


def test_the_traits_are_those_that_the_page_knows() -> None:
    w = finder()
    own = set(w.keys) - set(anywidget.AnyWidget().keys) - {"_esm", "_css", "_anywidget_id"}
    assert own == set(WIRE["traits"])


def test_the_page_may_set_those_that_it_sets() -> None:
    assert set(finder().trait_names(sync=True, page=True)) == set(WIRE["set_by_page"])


def test_every_message_and_value_has_the_fields_of_its_type(namespace: dict[str, Any]) -> None:
    w = finder(steps=8)
    comm = comm_of(w)
    comm.say(type="hello")
    w.start()
    w.wait()
    w.check([1e-3, 1e-2], steps=2)
    w.wait()
    w.refine(budget=200)
    w.wait()
    comm.say(type="export", name="best_lr")
    comm.say(type="hello")

    assert fits(w._legend, Legend)
    assert all(len(run) == 3 for run in w._legend["runs"])
    assert fits(w._detail, Detail)
    assert fits(w._detail["landmarks"], Landmarks)
    assert set(w._detail["landmarks"]) == set(Landmarks.__annotations__)
    assert fits(w._detail["optimizer"], OptimizerRecipe)
    state = w.get_state(["_runs", "_check", "_refinement"])
    assert all(fits(run, SavedRun) for run in state["_runs"])
    assert fits(state["_check"], SavedCheck)
    assert fits(state["_check"]["detail"], CheckDetail)
    assert fits(state["_refinement"], SavedRefinement)
    assert fits(state["_refinement"]["detail"], RefinementDetail)
    assert all(fits(one, TrialDetail) for one in state["_refinement"]["detail"]["trials"])

    described = {
        "rows": RowsMessage,
        "sync": RowsMessage,
        "check": CheckMessage,
        "refinement": RefinementMessage,
        "exported": ExportedMessage,
    }
    contents = [message.content for message in comm.sent if message.content]
    assert {content["type"] for content in contents} == set(described)
    assert all(fits(content, described[content["type"]]) for content in contents)
