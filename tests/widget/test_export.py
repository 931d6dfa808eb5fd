"""Tests of the export of the chosen rate as a variable, and of the names that it refuses."""

from __future__ import annotations

import builtins
import keyword
import math
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrwidget.widget.export import QUEUED, export_rate, validate_name


@pytest.fixture
def namespace(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the variables of a simulated notebook."""
    variables: dict[str, Any] = {}
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(user_ns=variables))
    return variables


def test_writes_a_plain_float(namespace: dict[str, Any]) -> None:
    exported = export_rate("lr", np.float64(1.25e-3))
    assert namespace == {"lr": 1.25e-3}
    assert type(namespace["lr"]) is float
    assert exported.value == 1.25e-3
    assert str(exported) == f"lr = 0.00125. {QUEUED}"


@pytest.mark.parametrize("held", [3, 0.5, None, np.float32(1.0), math.nan])
def test_overwrites_a_number(namespace: dict[str, Any], held: Any) -> None:
    namespace["lr"] = held
    export_rate("lr", 1e-3)
    assert namespace["lr"] == 1e-3


@pytest.mark.parametrize(
    "held", [math, len, "text", [1.0], True, object, np.array([1.0]), np.array(1.0)]
)
def test_refuses_to_overwrite_anything_else(namespace: dict[str, Any], held: Any) -> None:
    namespace["model"] = held
    with pytest.raises(ValueError, match=r"model already holds .*choose another name"):
        export_rate("model", 1e-3)
    assert namespace["model"] is held


@pytest.mark.parametrize("name", keyword.kwlist)
def test_refuses_keywords(namespace: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match="keyword"):
        export_rate(name, 1e-3)
    assert namespace == {}


@pytest.mark.parametrize("name", [*keyword.softkwlist, "lr", "η", "_lr1", "learning_rate"])
def test_accepts_identifiers_and_soft_keywords(namespace: dict[str, Any], name: str) -> None:
    if hasattr(builtins, name):  # `type` is a soft keyword since Python 3.12
        with pytest.raises(ValueError, match="builtin"):
            export_rate(name, 1e-3)
        return
    export_rate(name, 1e-3)
    assert namespace == {name: 1e-3}


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "1lr",
        "l r",
        "a.b",
        "a[0]",
        "lr=1",
        "lr;x",
        "f()",
        "__import__('os')",
        "lr\nx",
        "é-1",
    ],
)
def test_refuses_what_is_no_identifier(namespace: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match="is not a variable name"):
        export_rate(name, 1e-3)
    assert namespace == {}


@pytest.mark.parametrize("name", ["print", "len", "__debug__", "__import__", "__builtins__"])
def test_refuses_what_would_hide_or_change_python(namespace: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=r"builtin|meaning of its own"):
        export_rate(name, 1e-3)
    assert namespace == {}


@pytest.mark.parametrize("name", ["__annotations__", "__getattr__", "__file__", "__"])
def test_refuses_names_with_a_meaning(namespace: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match="meaning of its own"):
        export_rate(name, 1e-3)


@pytest.mark.parametrize("name", [None, 3, b"lr", ["lr"]])
def test_refuses_what_is_no_text(namespace: dict[str, Any], name: Any) -> None:
    with pytest.raises(TypeError, match="expected text"):
        export_rate(name, 1e-3)


def test_folds_a_name_as_python_does(namespace: dict[str, Any]) -> None:
    export_rate(" ｌｒ ", 1e-3)
    assert namespace == {"lr": 1e-3}
    with pytest.raises(ValueError, match="keyword"):
        export_rate("ｉｆ", 1e-3)


def test_long_nonsense_is_shortened_in_the_error(namespace: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is not a variable name") as error:
        export_rate("x " * 10_000, 1e-3)
    assert len(str(error.value)) < 200


def test_no_rate_is_an_error_in_words(namespace: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="there is no learning rate to write to lr yet"):
        export_rate("lr", None)
    assert namespace == {}


def test_outside_of_ipython(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("IPython.get_ipython", lambda: None)
    with pytest.raises(RuntimeError, match="not an IPython session"):
        export_rate("lr", 1e-3)


@pytest.mark.parametrize(
    ("in_notebook", "words"),
    [(True, r"in marimo .* use lr = w\.lr instead.* mo\.ui\.anywidget"), (False, "not an IPython")],
)
def test_in_marimo_the_error_says_what_to_write(
    monkeypatch: pytest.MonkeyPatch, in_notebook: bool, words: str
) -> None:
    marimo = SimpleNamespace(running_in_notebook=lambda: in_notebook)
    monkeypatch.setitem(sys.modules, "marimo", marimo)  # type: ignore[arg-type]
    monkeypatch.setattr("IPython.get_ipython", lambda: None)
    with pytest.raises(RuntimeError, match=words):
        export_rate("lr", 1e-3)


def test_a_shell_that_solara_makes_for_a_page_is_no_notebook(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variables: dict[str, Any] = {}
    # As IPython.get_ipython() returns it within a page of solara 1.64.
    shell = type("FakeIPython", (), {"__module__": "solara.server.patch", "user_ns": variables})
    monkeypatch.setattr("IPython.get_ipython", shell)
    with pytest.raises(RuntimeError, match=r"not an IPython session.*use lr = w\.lr instead"):
        export_rate("lr", 1e-3)
    assert variables == {}


@pytest.mark.slow
@given(st.text(max_size=30))
def test_a_name_is_only_ever_a_key(text: str) -> None:
    try:
        name = validate_name(text)
    except ValueError:
        return
    # An accepted name must define that variable, and no other, when a cell assigns it.
    variables: dict[str, Any] = {"__builtins__": {}}
    exec(f"{name} = 1.0", variables)
    assert variables == {"__builtins__": {}, name: 1.0}
