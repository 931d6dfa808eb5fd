"""Ends background threads before the interpreter ends.

A thread that is within torch when the interpreter ends aborts the process, and a model that is
swept in place is not restored for what other exit handlers save.
"""

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable

# Seconds for the steps in hand and for restoring; a step that hangs must not keep the process.
LONGEST = 10.0

_threads: weakref.WeakKeyDictionary[threading.Thread, weakref.WeakMethod[Callable[[], object]]] = (
    weakref.WeakKeyDictionary()
)

if hasattr(os, "register_at_fork"):
    # A forked process has none of the threads, and may wait for ever for a lock that one held.
    os.register_at_fork(after_in_child=_threads.clear)


def end_at_exit(thread: threading.Thread, stop: Callable[[], object]) -> None:
    """When the interpreter ends, call the method `stop` and wait for the thread."""
    # Anew each time, so that it runs before handlers that were registered earlier.
    atexit.unregister(_end_all)
    atexit.register(_end_all)
    _threads[thread] = weakref.WeakMethod(stop)


def _end_all() -> None:
    deadline = time.monotonic() + LONGEST
    threads = list(_threads.items())
    for _, reference in threads:
        stop = reference()
        if stop is not None:
            with contextlib.suppress(Exception):  # the others are to be ended all the same
                stop()
    for thread, _ in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
