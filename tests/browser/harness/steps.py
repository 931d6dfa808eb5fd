"""Copied beside each test's notebook: gates that only the test opens.

A gate is a file with a number: how often it may be passed. Thereby a test holds a sweep at an
exact step and a cell busy for exactly as long as it wants, with no time in it.
"""

from __future__ import annotations

import time
from pathlib import Path


class Gate:
    """Lets `pass_through()` return as often as the number in the file says."""

    def __init__(self, name: str) -> None:
        self._file = Path(name)
        self._passed = 0
        self._allowed = 0

    def pass_through(self) -> None:
        """Return at once while there is allowance, otherwise as soon as there is more."""
        while self._passed >= self._allowed:
            text = self._file.read_text() if self._file.exists() else ""
            self._allowed = int(text or 0)
            if self._passed >= self._allowed:
                time.sleep(0.005)
        self._passed += 1
