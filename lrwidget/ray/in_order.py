"""Calls in the order in which they were made: with threads, an actor of Ray runs them in any."""

import threading
from collections.abc import Callable


class InOrder:
    """Runs calls by their numbers, in whichever order they arrive.

    Any thread may use it; a call runs on the thread that brings it or the last one missing before
    it, and never beside another one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Both guarded by the lock.
        self._waiting: dict[int, Callable[[], None]] = {}
        self._next = 0

    def run(self, number: int, call: Callable[[], None]) -> None:
        """Run a call as soon as all calls with smaller numbers have run; 0 is the first number."""
        with self._lock:
            self._waiting[number] = call
            while (due := self._waiting.pop(self._next, None)) is not None:
                self._next += 1
                due()
