"""Fixtures of the widget's tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import comm
import pytest
from ipywidgets.widgets.widget import _instances

from tests.widget.fakepage import FakeComm
from tests.widget.finder import Gate


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give every widget a fake comm and check that a test leaves no thread and no open widget."""
    monkeypatch.setattr(comm, "create_comm", lambda *args, **opening: FakeComm(**opening))
    threads, widgets = set(threading.enumerate()), set(_instances)
    yield
    for widget in list(_instances.values()):
        if widget.model_id not in widgets:
            widget.close()
    assert set(threading.enumerate()) == threads
    assert set(_instances) == widgets


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Yield a gate that holds back the steps, and open it at the end so that no sweep hangs."""
    held = Gate()
    yield held
    held.open()


@pytest.fixture
def namespace(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the variables of a simulated notebook."""
    variables: dict[str, Any] = {}
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(user_ns=variables))
    return variables
