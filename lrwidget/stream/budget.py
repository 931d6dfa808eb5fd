"""How many messages a widget sends: the threads that send share one budget."""

import threading
import time

# 20 messages/s: with a burst of two and what the traits add (two updates/s, and one at a change of
# state) no second at the page has more than 25.
INTERVAL = 0.05
# How often the traits hear of new steps, for observers in Python.
NEWS_INTERVAL = 0.5
# What is urgent, a change of state or the last rows, may go out at once, so many at a time.
BURST = 2


class Budget:
    """Says when the next message may go; one for all senders of a widget.

    It is a bucket of tokens: each message takes one, and one comes back every INTERVAL. Who comes
    first is served first, so that of many senders each has its turn.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0.0
        self._news = 0.0

    def wait(self) -> None:
        """Block until there is room for one message."""
        with self._lock:
            now = time.monotonic()
            self._next = max(self._next + INTERVAL, now - (BURST - 1) * INTERVAL)
            pause = self._next - now
        if pause > 0:
            time.sleep(pause)

    def news_due(self) -> bool:
        """Whether it is time again to tell the traits of new steps; that then counts as done."""
        with self._lock:
            now = time.monotonic()
            if now - self._news < NEWS_INTERVAL:
                return False
            self._news = now
            return True
