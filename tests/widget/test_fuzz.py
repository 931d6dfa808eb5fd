"""Fuzz tests: no message of a page does more than the page's buttons can do."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.widget.finder import comm_of, finder

# Keys that the page may set, and similar keys that it may not.
KEYS = st.sampled_from(
    [
        *("type", "name", "run", "from", "of", "action", "label", "lr", "lr_range", "smoothing"),
        *(
            "y_max",
            "log_y",
            "variable",
            "state",
            "step",
            "figure",
            "_esm",
            "_detail",
            "_runs",
            "comm",
            "keys",
        ),
    ]
)
# "start" and "check" are missing because other tests cover the sweeps that they begin.
WORDS = st.sampled_from(
    [
        *("hello", "resync", "command", "export", "run", "rows", "pause", "stop", "apply", "close"),
        *("activate", "rename", "remove", "update", "custom", "__init__", "IPY_MODEL_x", "lr; x()"),
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)
)
STATES = st.dictionaries(KEYS, ANYTHING, max_size=6)
CONTENTS = st.fixed_dictionaries({"type": WORDS}, optional={"name": WORDS | ANYTHING}).flatmap(
    lambda known: STATES.map(lambda more: more | known)
)
MESSAGES = (
    st.fixed_dictionaries(
        {"method": st.just("update"), "state": STATES, "buffer_paths": st.just([])}
    )
    | st.fixed_dictionaries({"method": st.just("custom"), "content": CONTENTS | ANYTHING})
    | ANYTHING
)
OWNED = ["state", "step", "steps", "suggestion", "error", "figure", "_esm", "_css", "_range"]


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(messages=st.lists(MESSAGES, min_size=1, max_size=8))
def test_no_message_breaks_a_widget(messages: list[Any]) -> None:
    w = finder()
    kept = w.get_state(OWNED)
    for message in messages:
        comm_of(w).receive(message)
    assert w.get_state(OWNED) == kept
    assert w.comm is not None
    assert w.lr is None or 1e-5 <= w.lr <= 1.0
    assert 0 <= w.smoothing <= 0.99
    assert w.y_max is None or math.isfinite(w.y_max)
    assert isinstance(w.log_y, bool)
    assert isinstance(w.variable, str)
    if w.lr_range is not None:
        low, high = w.lr_range
        assert 1e-5 <= low < high <= 1.0
    assert comm_of(w).closed is False
    w.close()
