"""Follow the log of a sweep in another process (`lr_find(..., log=path)`)."""

import contextlib
import copy
import json
import os
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Never

from lrwidget.engine.runner import Work
from lrwidget.records.jsonl import Parser
from lrwidget.records.records import LRRecords
from lrwidget.records.table import StopReason
from lrwidget.sources.base import NONE, Overrides, RecordsRunner, RemoteSource
from lrwidget.task.options import SweepOptions
from lrwidget.validation import file_path

# Seconds between two reads of the file.
POLL = 0.05

# Minutes without a row after which a notice is shown.
SILENCE = 2
MINUTE = 60.0

# The options in the log that a follower uses.
OPTIONS = ("start_lr", "end_lr", "steps", "repeats")


class LogSource(RemoteSource):
    """The source of a widget that follows the log of `lr_find(..., log=path)`.

    Args:
        path: path of the log, which may not exist yet.
    """

    parallel = False  # a log holds one sweep
    where = "in the process that writes the log"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = file_path("path", path)
        if self.path.is_dir():
            raise ValueError(
                f"path is {str(path)!r}, a folder; expected the file that lr_find(..., log=path) "
                "writes"
            )
        self.options: SweepOptions = SweepOptions()

    def runner(self, label: str, overrides: Overrides = NONE) -> "LogRunner":
        """Return a runner that follows the file from its beginning."""
        if overrides:
            raise TypeError(
                f"start() was given {', '.join(overrides)}, and this widget follows "
                f"{self.path.name}: give them to the lr_find() that writes it"
            )
        return LogRunner(self.path, LRRecords({"label": label}))

    def checker(self, lrs: Sequence[float], steps: int, overrides: Overrides = NONE) -> Never:  # noqa: ARG002
        """Raise RuntimeError: this process has no model to train."""
        raise RuntimeError(
            f"this widget follows {self.path.name}, and has no model to train; call "
            "check_lrs(task, lrs) where the sweep runs"
        )


class LogRunner(RecordsRunner):
    """Follows one sweep in a log, in its own thread.

    The file may not exist yet or be unreadable for a while; an incomplete last line is read once it
    is complete. A file that is moved away is followed until another takes its place. A file that
    shrinks, changes its beginning or is replaced holds a new sweep: this run then ends as stopped,
    and its `replacement`, which is not started, follows the new sweep. If the first line holds an
    id, a copy of the file with the same first line is still the same sweep, since tools such as
    rsync replace the file at each transfer; a copy that is shorter than before is ignored.

    Args:
        path: path of the log.
        records: the table that gets the rows; by default a new one.
    """

    notice: str
    elsewhere = "the sweep runs in another process, of which this is the log"

    def __init__(self, path: str | os.PathLike[str], records: LRRecords | None = None) -> None:
        self.path: Path = Path(path)
        self._reader = _Reader(self.path)
        self._lines: Sequence[str] = ()
        self._heard = time.monotonic()
        super().__init__(Work(self._follow), LRRecords() if records is None else records, steps=0)
        self._parser = Parser(self.records, str(self.path))

    @property
    def span(self) -> tuple[float, float]:
        """The ends of the range of rates; the default ones until the log is read."""
        options = self._options()
        return options.start_lr, options.end_lr

    def _follow(self) -> Generator[None, None, StopReason]:
        self.records.under_way = True
        try:
            with contextlib.closing(self._reader):
                return (yield from self._read())
        finally:
            self.records.under_way = False

    def _read(self) -> Generator[None, None, StopReason]:
        if not self._lines:  # a replaced runner may have read lines of this sweep
            _, self._lines = self._reader.read()
        while True:
            for line in self._lines:
                self._parser.feed(line)
                self._heard = time.monotonic()
            self._update_notice()
            if self._parser.ended and self.records.stop_reason is not None:
                return self.records.stop_reason
            yield
            time.sleep(POLL)
            anew, self._lines = self._reader.read()
            if anew and self._parser.line:
                self._replace()
                return StopReason.STOPPED

    def _replace(self) -> None:
        replacement = LogRunner(self.path)
        replacement._reader, replacement._lines = self._reader.at_this_place(), self._lines
        self.records.stop_reason = StopReason.STOPPED
        self.notice = f"{self.path.name} was begun anew: that is another run."
        self.replacement: RecordsRunner | None = replacement

    def _update_notice(self) -> None:
        if self._parser.line:
            options = self._options()
            self.steps: int = max(options.steps * options.repeats, len(self.records))
        silent = (time.monotonic() - self._heard) / MINUTE
        if self._reader.trouble:
            self.notice = (
                f"{self.path.name} cannot be read now ({self._reader.trouble}); it is tried again."
            )
        elif self._parser.refining:
            self.notice = (
                "The sweep has ended. Its rate is refined in short trials, of which "
                f"{self.path.name} will have the result. Stop ends the following."
            )
        elif self._parser.line and silent >= SILENCE:
            self.notice = (
                f"No row has come to {self.path.name} for {silent:.0f} minutes: the sweep takes "
                "long over a step, is paused, or its process has ended. Stop ends the following."
            )
        elif self._parser.line:
            self.notice = ""
        else:
            there = "it is empty so far" if self._reader.there else "there is no such file yet"
            self.notice = f"Waiting for {self.path.name}: {there}."

    def _options(self) -> SweepOptions:
        known: Any = self.records.meta.get("options")
        if not isinstance(known, dict):
            return SweepOptions()
        try:
            return SweepOptions(**{name: known[name] for name in OPTIONS if name in known})
        except (TypeError, ValueError):
            return SweepOptions()


class _Reader:
    """Reads the complete lines of a file that may grow, shrink, be replaced or be missing.

    Attributes:
        there: whether the file existed at the last read.
        trouble: why the last read failed, as text; empty if it did not.
    """

    def __init__(self, path: Path) -> None:
        self.there = False
        self.trouble = ""
        self._path = path
        self._identity: tuple[int, int] | None = None
        self._held: BinaryIO | None = None  # the file of the last read, still open
        self._offset = 0
        self._torn = b""
        self._head = b""

    def read(self) -> tuple[bool, list[str]]:
        """Return whether the file was replaced since the last read, and the new complete lines."""
        self.there, self.trouble = True, ""
        try:
            with contextlib.ExitStack() as stack:
                file = stack.enter_context(self._path.open("rb"))
                status = os.fstat(file.fileno())
                identity = (status.st_dev, status.st_ino)
                if identity != self._identity:
                    rest = self._new_lines()
                    # An empty file is no other sweep yet, and the old one may still be written to.
                    if rest or (self._held is not None and not status.st_size):
                        return False, rest
                begin = file.read(len(self._head))
                same = begin == self._head and status.st_size >= self._offset
                if not _has_id(self._head):
                    same = same and identity == self._identity
                elif not same and self._head.startswith(begin):
                    return False, []  # a shorter copy of the same log
                stack.pop_all()
        except FileNotFoundError:
            self.there = False
            return False, self._new_lines()
        except OSError as error:  # a network mount may recover
            self.trouble = _why(error)
            return False, []
        if not same:
            self._offset, self._torn, self._head = 0, b"", b""
        self._identity = identity
        self.close()
        self._held = file
        return not same, self._new_lines()

    def _new_lines(self) -> list[str]:
        """Return the new complete lines of the open file, which may have been moved away."""
        self.trouble = ""
        if self._held is None:
            return []
        try:
            self._held.seek(self._offset)
            new = self._held.read()
        except OSError as error:
            self.trouble = _why(error)
            return []
        self._offset += len(new)
        *whole, self._torn = (self._torn + new).split(b"\n")
        if whole and not self._head:
            self._head = whole[0]
        return [line.decode(errors="replace") for line in whole]

    def at_this_place(self) -> "_Reader":
        """Return a reader that continues at the present offset."""
        other = copy.copy(self)
        other._held = None
        return other

    def close(self) -> None:
        """Close the file; a later read opens it again."""
        if self._held is not None:
            self._held.close()
            self._held = None


def _has_id(head: bytes) -> bool:
    """Return whether the first line of a log holds an id of its sweep."""
    try:
        value = json.loads(head)
    except ValueError:
        return False
    return isinstance(value, dict) and "id" in value


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__
