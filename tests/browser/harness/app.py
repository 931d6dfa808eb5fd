"""Widgets in an app instead of a notebook."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.browser.harness.process import ServerProcess, free_port


class App(ServerProcess):
    """A running app; `home` is an empty directory for its source, and for the gates of steps.py.

    Args:
        source: of the app.
        command: a module and its arguments, where "APP" and "PORT" stand for what they say.
        python: the interpreter of the environment that it runs in.
    """

    def __init__(self, home: Path, source: str, *command: str, python: Path) -> None:
        self.home = home
        shutil.copy(Path(__file__).with_name("steps.py"), home)
        (home / "app.py").write_text(source)
        port = free_port()
        values = {"APP": "app.py", "PORT": str(port)}
        words = (values.get(word, word) for word in command)
        super().__init__(home, port, *words, python=python)

    def allow(self, gate: str, times: int) -> None:
        """Let a gate be passed so many times in all: see steps.py."""
        new = self.home / f"{gate}.new"
        new.write_text(str(times))
        new.replace(self.home / gate)
