"""Limits the rate of a widget's messages: all sending threads share one budget."""

import threading
import time

# 19 messages/s. With a burst of three and the traits' messages (one after half a second, and one at
# a change of state) the page gets at most 25 in any second, also in one that a whole run fits in.
INTERVAL = 1 / 19
# Seconds between updates of the step trait, for observers in Python.
NEWS_INTERVAL = 0.5
# Number of messages that may go out at once if they are urgent: a change of state, the last rows
# and the outcome, for which a cell may be waiting.
BURST = 3


class Budget:
    """Decides when the next message may be sent; all senders of a widget share one.

    It is a token bucket: each message takes a token, and one is added every INTERVAL. Tokens go to
    senders in the order of their requests, so that each sender gets its share. Only an urgent
    message may take one of the last tokens; the others wait until the bucket is full.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0.0
        self._news = 0.0

    def wait(self, *, urgent: bool) -> None:
        """Block until there is room for one message."""
        reserve = 0.0 if urgent else (BURST - 1) * INTERVAL
        with self._lock:
            now = time.monotonic()
            self._next = max(self._next + INTERVAL, now - (BURST - 1) * INTERVAL)
            pause = self._next + reserve - now
        if pause > 0:
            time.sleep(pause)

    def news_due(self) -> bool:
        """Return whether the step trait is due for an update, which then counts as done."""
        with self._lock:
            now = time.monotonic()
            if now - self._news < NEWS_INTERVAL:
                return False
            self._news = now
            return True
