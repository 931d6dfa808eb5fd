"""Tests that only errors caused by the background thread carry the note about threads."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lrwidget import lr_find
from lrwidget.engine.error_notes import THREAD, comes_of_thread
from tests.widget.finder import finder, training

local = threading.local()
variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
connection = sqlite3.connect(":memory:", check_same_thread=True)
loops: list[asyncio.AbstractEventLoop] = []
owner = threading.get_ident()


class Registry(threading.local):
    """A subclass of `threading.local` with another name."""


class Resource:
    """Keeps something for the thread that made it."""

    def __init__(self) -> None:
        self.held = threading.local()
        self.held.handle = [1.0]

    def read(self) -> float:
        handle = getattr(self.held, "handle", None)
        return float(handle[0])  # type: ignore[index]


resource, registry = Resource(), Registry()
registry.scale = 1.0


def query() -> None:
    connection.execute("select 1")


def wrapped() -> None:
    try:
        query()
    except sqlite3.Error:
        raise RuntimeError("the rows cannot be read") from None


def looked_up() -> None:
    try:
        variable.get()
    except LookupError:
        raise RuntimeError("outside of the application") from None


def foreign_future() -> None:
    future = loops[0].create_future()

    async def wait() -> None:
        await future

    asyncio.run(wait())


def bound_lock() -> None:
    async def hold(lock: asyncio.Lock) -> None:
        async with lock:
            await asyncio.gather(other(lock), other(lock))

    async def other(lock: asyncio.Lock) -> None:
        await asyncio.wait_for(lock.acquire(), 0.01)

    lock = asyncio.Lock()
    lock._loop = loops[0]  # type: ignore[attr-defined]  # as if it had been used in that loop
    asyncio.run(hold(lock))


def in_group() -> None:
    try:
        query()
    except sqlite3.Error as error:
        raise ExceptionGroup("several", [ValueError("a"), error]) from None


def alone() -> None:
    assert threading.get_ident() == owner


def in_main() -> None:
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("not here")


OF_THREAD: list[Callable[[], Any]] = [
    query,
    wrapped,
    in_group,
    asyncio.get_event_loop,
    foreign_future,
    bound_lock,
    asyncio.get_running_loop,
    lambda: signal.signal(signal.SIGALRM, signal.SIG_DFL),
    lambda: signal.set_wakeup_fd(-1),
    lambda: local.value,
    lambda: registry.scale,
    resource.read,
    variable.get,
    looked_up,
    alone,
    in_main,
]


def raised_by(fault: Callable[[], Any]) -> tuple[Exception, Any]:
    """Run a sweep whose fifth step calls `fault`; return its error and the widget."""
    parts = training()
    calls: list[int] = []

    def loss_fn(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 5:
            fault()
        loss: torch.Tensor = parts["loss_fn"](output, target)
        return loss

    w = finder(**parts | {"loss_fn": loss_fn})
    w.start()
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the faults differ
        w.wait()
    return caught.value, w


@pytest.fixture(autouse=True)
def loop() -> Any:
    """Create an event loop in the main thread for the faults."""
    loops[:] = [asyncio.new_event_loop()]
    yield
    loops.pop().close()


@pytest.mark.parametrize("fault", OF_THREAD, ids=lambda fault: fault.__name__)
def test_an_error_that_comes_of_the_thread_says_so(fault: Callable[[], Any]) -> None:
    error, w = raised_by(fault)
    assert THREAD in error.__notes__
    assert "lr_find(...) trains in the thread that calls it" in w.error
    assert w.error.startswith(f"{type(error).__name__}: ")
    assert THREAD in w._detail["traceback"]


def of_column() -> None:
    raise KeyError("thread")


def of_file() -> None:
    Path("/no/such/folder/thread.csv").read_text()


def of_shape() -> None:
    raise ValueError(f"in {threading.current_thread()!r:.0}a batch of 3 rows")


def of_no_more_threads() -> None:
    raise RuntimeError("can't start new thread")


def of_value() -> None:
    local.value = [1.0]
    raise ValueError("a loss of -1")


@pytest.mark.parametrize("fault", [of_column, of_file, of_shape, of_no_more_threads, of_value])
def test_any_other_error_does_not(fault: Callable[[], Any]) -> None:
    error, w = raised_by(fault)
    assert THREAD not in error.__notes__
    assert "thread that calls it" not in w.error + w._detail["traceback"]


def test_errors_of_a_sweep_say_what_those_of_lr_find_say() -> None:
    error, w = raised_by(of_shape)
    (said,) = error.__notes__
    assert said.startswith("the sweep ended after 4 steps; the model is as it was before")
    assert error.records is w.records  # type: ignore[attr-defined]
    assert len(w.records) == 4
    with pytest.raises(ValueError, match="batch of 3") as again:
        w.wait()
    assert again.value.__notes__ == [said]  # the note is not added twice


def test_errors_of_a_check_say_it_too() -> None:
    parts = training()

    def loss_fn(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        query()
        return torch.nn.functional.cross_entropy(output, target)

    w = finder(**parts | {"loss_fn": loss_fn})
    w.check([1e-3, 1e-2], steps=5)
    with pytest.raises(sqlite3.ProgrammingError) as caught:
        w.wait()
    first, second = caught.value.__notes__
    assert first.startswith("the check ended after 0 steps; the model is as it was before")
    assert second == THREAD


class FrozenError(Exception):
    """An error that refuses notes and records."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in ("__notes__", "records"):
            raise AttributeError(f"{name} cannot be set")
        super().__setattr__(name, value)


def test_an_error_that_takes_no_note_is_raised_as_it_is() -> None:
    def refuse() -> None:
        raise FrozenError("no notes")

    error, w = raised_by(refuse)
    assert isinstance(error, FrozenError)
    assert w.error == "FrozenError: no notes"
    parts = training()
    with pytest.raises(FrozenError):
        lr_find(*(parts | {"loss_fn": lambda *_: refuse()}).values(), steps=5, progress=False)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("can only be used in that same thread. The object", True),
        ("There is no current event loop in thread 'lrwidget sweep'.", True),
        ("main thread is not in main loop", True),
        ("cannot switch to a different thread", True),
        ("<Token> was created in a different Context", True),
        ("<Queue> is bound to a different event loop", True),
        ("Pin memory thread exited unexpectedly", False),
        ("no column thread_id, no file my/thread", False),
        ("a threadbare, multithreaded model", False),
    ],
)
def test_it_is_known_by_its_words(message: str, said: bool) -> None:
    assert comes_of_thread(RuntimeError(message)) is said
