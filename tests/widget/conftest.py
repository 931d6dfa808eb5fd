"""What the tests of the widget share."""

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
    """A page's comm for every widget; no thread and no open widget is left by a test."""
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
    """Decides when a step happens; opened at the end, so that no sweep waits for ever."""
    held = Gate()
    yield held
    held.open()


@pytest.fixture
def namespace(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The variables of a notebook."""
    variables: dict[str, Any] = {}
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(user_ns=variables))
    return variables
