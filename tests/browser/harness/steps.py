"""Gates that only the test opens; this file is copied to each test's notebook.

A gate is a file with a number: how often it may be passed. With it a test can hold a sweep at an
exact step, or keep a cell busy, without timing.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path


class Gate:
    """Its `pass_through()` returns as often as the number in the file allows."""

    def __init__(self, name: str) -> None:
        self._file = Path(name)
        self._allowed = 0
        # Other numbers of a loss are put back when a sweep or a trial ends.
        self._passed: Counter[str] = Counter()

    def pass_through(self) -> None:
        """Wait until the number in the file allows one more pass."""
        while self._passed.total() >= self._allowed:
            text = self._file.read_text() if self._file.exists() else ""
            self._allowed = int(text or 0)
            if self._passed.total() >= self._allowed:
                time.sleep(0.005)
        self._passed["times"] += 1
