"""Follow a file of records that a sweep elsewhere is writing (`lr_find(..., log=path)`)."""

import os
import time
from collections.abc import Callable, Generator
from pathlib import Path

from lrwidget.jsonl import Parser
from lrwidget.records import LRRecords, StopReason
from lrwidget.runner import Runner

# Seconds between two looks at the file.
POLL = 0.05


class Follower(Runner[LRRecords]):
    """Follows a file in a thread of its own, as a sweep runs in one.

    The file may not exist yet; its last line may be torn, which is waited for. A file that gets
    shorter, begins otherwise than before, or is replaced by another one, is a new sweep: `records`
    is then a new table, and `restarts` counts it.

    Args:
        path: of the file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.restarts = 0
        self.records = LRRecords()
        super().__init__(None, lambda _: self._follow(), self.records, steps=0)

    def _follow(self) -> Generator[None, None, StopReason]:
        reader = _Reader(self.path)
        while True:
            for line in reader.new_lines(self._restart):
                reader.parser.feed(line)
            self._learn_the_steps()
            if self.records.stop_reason is not None:
                return self.records.stop_reason
            yield
            time.sleep(POLL)

    def _restart(self) -> LRRecords:
        """A fresh table, for the first file and for every one that takes its place."""
        if len(self.records) or self.records.meta:
            self.restarts += 1
            self.records = self.result = LRRecords()
        return self.records

    def _learn_the_steps(self) -> None:
        options = self.records.meta.get("options", {})
        self.steps = options.get("steps", 0) * options.get("repeats", 1)


class _Reader:
    """The whole lines of a file that grows, shrinks, comes and goes."""

    def __init__(self, path: Path) -> None:
        self.parser = Parser(LRRecords(), str(path))
        self._path = path
        self._identity: tuple[int, int] | None = None
        self._offset = 0
        self._torn = b""
        self._head = b""

    def new_lines(self, restart: Callable[[], LRRecords]) -> list[str]:
        """The lines that were completed since the last call."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return []
        with file:
            status = os.fstat(file.fileno())
            identity = (status.st_dev, status.st_ino)
            changed = identity != self._identity or status.st_size < self._offset
            if changed or file.read(len(self._head)) != self._head:
                self._identity, self._offset, self._torn, self._head = identity, 0, b"", b""
                self.parser = Parser(restart(), str(self._path))
            file.seek(self._offset)
            new = file.read()
        self._offset += len(new)
        *whole, self._torn = (self._torn + new).split(b"\n")
        if whole and not self._head:
            self._head = whole[0]
        return [line.decode() for line in whole]
