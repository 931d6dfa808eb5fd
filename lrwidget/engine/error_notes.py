"""Notes on exceptions that end a sweep or a check."""

import contextlib
import contextvars
import re
import sysconfig
import threading
from asyncio import AbstractEventLoop
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from lrwidget.backup.origin import library_of
from lrwidget.task.ended_iterator import ended_in_words
from lrwidget.text.numbers import steps_in_words

THREAD = (
    "This may come of the thread: the widget trains in a background thread, where a connection, an "
    "event loop, a signal handler or a threading.local of another thread does not work; "
    "lr_find(...) trains in the thread that calls it."
)

# Words about threads in a message, but not in the name of a file or column. Errors that no thread
# can be started, or that a thread of a loader has ended, are excluded.
WORDS = re.compile(
    r"""(?<![\w./\\'"-])(?<!new\ )(?<!pin\ memory\ )
    (?: (?:main)?threads?(?:-?local)? | event\ loop | different\ loop | main\ interpreter
      | different\ context | greenlets? )(?![\w/\\'"-]|\.\w) | \b_thread\._local\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
# Folders without code of the user: this package, torch, the standard library, installed packages.
LIBRARIES = tuple(
    {
        str(Path(folder).resolve())
        for folder in (
            str(Path(__file__).parents[1]),
            *torch.__path__,
            *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        )
    }
)
BOUND = (threading.local, contextvars.ContextVar, AbstractEventLoop)
# The errors of code that uses a value which this thread does not have.
MISSED = (AttributeError, TypeError, LookupError, AssertionError)
THREAD_QUERIES = (threading.current_thread, threading.get_ident, threading.get_native_id)


def note_ending(error: BaseException, what: str, records: Any, rows: int) -> None:
    """Note the number of rows and the restored model on an exception; attach the records.

    A StopIteration of the user's code, which Python lays to a generator of the sweep, is named.
    """
    cause = error.__cause__
    if isinstance(cause, StopIteration) and str(error) == "generator raised StopIteration":
        error.args = (ended_in_words(cause, "step"),)
    attach(
        error,
        f"{what} ended after {steps_in_words(rows)}; the model is as it was before, and the rows "
        "are in this error's attribute `records`",
        records=records,
    )


def attach(error: BaseException, note: str, **attributes: Any) -> None:
    """Add a note (once) and attributes to an exception, as far as its class allows it."""
    # An exception class may refuse attributes; that must not hide the exception itself.
    with contextlib.suppress(Exception):
        for name, value in attributes.items():
            setattr(error, name, value)
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)


def comes_of_thread(error: BaseException) -> bool:
    """Return whether an exception was probably caused by the thread in which it was raised.

    That is so if the exception, or one that led to it, names a thread or an event loop; concerns a
    `threading.local` or a context variable without a value; is about a missing value in user code
    that reads one of these; or was raised in user code that asks for the current thread.
    """
    return any(_names_thread(one) or _reads_thread_state(one) for one in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, those that led to it, and the members of exception groups."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        more = [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            more += one.exceptions
        waiting += [each for each in more if each is not None]


def _names_thread(error: BaseException) -> bool:
    about = getattr(error, "obj", None), *error.args
    if any(isinstance(each, BOUND) for each in about):
        return True
    kind = type(error)
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a broken message is shown elsewhere
        text = ""
    return library_of(kind) == "greenlet" or WORDS.search(text) is not None


def _reads_thread_state(error: BaseException) -> bool:
    frame, at = None, error.__traceback__
    while at is not None:
        if not _in_library(at.tb_frame):
            frame = at.tb_frame
        at = at.tb_next
    if frame is None:
        return False
    asked = {threading.main_thread, *(THREAD_QUERIES if isinstance(error, AssertionError) else ())}
    return any(
        (isinstance(value, BOUND) and isinstance(error, MISSED))
        or any(value is question for question in asked)
        for value in _values(frame)
    )


def _in_library(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return file.startswith((*LIBRARIES, "<frozen"))


def _values(frame: FrameType) -> Iterator[Any]:
    """Yield the variables that a frame's code names, and their attributes that it names."""
    names = frame.f_code.co_names
    known = [*frame.f_locals.values()]
    known += [frame.f_globals[name] for name in names if name in frame.f_globals]
    for value in known:
        yield value
        # vars() calls neither a property nor a `__getattr__`.
        with contextlib.suppress(Exception):
            held = vars(value)
            yield from (held[name] for name in names if name in held)
