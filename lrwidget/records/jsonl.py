"""Records as JSON Lines, in strict JSON.

The first line is `{"format": "lrwidget-records", "version": 1, "meta": {...}, "stop_reason": ...}`.
Each further line is a row, `{"lr": 1e-06, "loss": 2.3}`, with the further columns that were
measured in it, and with `"sweep": 1` and so on in the repeats after the first. The first line of a
log is written before the stop reason is known, so a log ends with a line
`{"stop_reason": "finished", "meta": {...}}`. If trials follow the sweep, there is such a line with
`"refining": true` before them, and the last one has their result.
"""

import json
import math
import os
import uuid
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from lrwidget.records.table import RecordsTable, StopReason
from lrwidget.text.articles import a_kind
from lrwidget.validation import file_path

R = TypeVar("R", bound=RecordsTable)

FORMAT = "lrwidget-records"
VERSION = 1


def write(path: str | os.PathLike[str], records: RecordsTable) -> None:
    """Write `records` to `path` atomically."""
    path = file_path("path", path)
    temporary = path.with_name(f"{path.name}.part")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(_head(records))
            file.writelines(_rows(records, 0))
        temporary.replace(path)
    except OSError as error:
        if error.filename == str(temporary):
            error.filename = str(path)  # what the user gave
        raise
    finally:
        temporary.unlink(missing_ok=True)


class Log:
    """A file to which the rows of a running sweep are appended and flushed.

    Args:
        path: path of the file; an existing file is overwritten.
        records: the table that the sweep fills.
    """

    def __init__(self, path: str | os.PathLike[str], records: RecordsTable) -> None:
        self._file = file_path("log", path).open("wb")
        self._records = records
        self._head: str | None = None
        # Bytes and rows that were certainly written; set together, after each write.
        self._done = (0, 0)

    def update(self) -> None:
        """Write the rows that are new since the last call; the first call writes the meta."""
        if self._head is None:
            # Two sweeps may have the same meta; by the id a follower tells them apart.
            self._head = _head(self._records, id=uuid.uuid4().hex)
        size, count = self._done
        rows = list(_rows(self._records, count))
        new = "".join(rows if size else [self._head, *rows]).encode()
        # An interrupt may have ended the last call after the write and before `_done` was set.
        self._file.write(new[self._file.tell() - size :])
        self._file.flush()
        self._done = size + len(new), count + len(rows)

    def sweep_ended(self) -> None:
        """Write why the sweep ended, before trials of which only the result is written."""
        self.update()
        self._file.write(self._end(refining=True))
        self._file.flush()
        self._done = self._file.tell(), self._done[1]

    def _end(self, **more: bool) -> bytes:
        end = {"stop_reason": _reason(self._records), "meta": self._records.meta, **more}
        return _line(end).encode()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write the remaining rows and the stop reason, and close the file."""
        with self._file:
            self.update()
            self._file.write(self._end())


def read(path: str | os.PathLike[str], make: type[R]) -> R:
    """Read records from `path` into a new object of the class `make`.

    A log may end in the middle of a line, where the process that wrote it was ended; the rows
    before it are read.

    Raises:
        ValueError: a line does not follow the format; the message gives its number.
    """
    records = make()
    path = file_path("path", path)
    with path.open(encoding="utf-8", errors="replace") as file:  # the line says what is wrong
        parser = Parser(records, str(path))
        for line in file:
            try:
                parser.feed(line)
            except ValueError:
                torn = not line.endswith("\n") and parser.line > 1
                if not torn or parser.ended:
                    raise
    if not parser.line:
        raise ValueError(f"{path}: the file is empty")
    return records


class Parser:
    """Parses the lines of a file into records, one by one.

    Args:
        records: an empty table, which gets the rows.
        name: name of the file, for error messages.

    Attributes:
        line: number of lines that were parsed.
        refining: whether trials follow the sweep, of which the log has no result yet.
    """

    def __init__(self, records: RecordsTable, name: str) -> None:
        self.line: int = 0
        self.refining: bool = False
        self._records = records
        self._name = name

    @property
    def ended(self) -> bool:
        """Whether nothing more is to come."""
        return self._records.stop_reason is not None and not self.refining

    def feed(self, line: str) -> None:
        """Parse the next complete line.

        Raises:
            ValueError: the line does not follow the format.
        """
        self.line += 1
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:  # also of a number of too many digits
            raise self._wrong(f"is not JSON ({error})") from error
        if not isinstance(value, dict):
            raise self._wrong("is not a JSON object")
        if self.line == 1:
            self._head(value)
        elif "format" in value:
            raise self._wrong("is the head of another file; expected the rows of one")
        elif "stop_reason" in value:
            self._end(value)
        else:
            self._row(value, line)

    def _head(self, head: dict[str, Any]) -> None:
        if head.get("format") != FORMAT:
            raise self._wrong("is not the head of a file of LRRecords.save")
        if head.get("version") != VERSION:
            raise self._wrong(
                f"has format version {head.get('version')!r}; expected {VERSION}: "
                "read it with a newer lrwidget"
            )
        self._end(head)

    def _end(self, value: dict[str, Any]) -> None:
        reason = value.get("stop_reason")
        try:
            self._records.meta.update(value["meta"])
            self._records.stop_reason = None if reason is None else StopReason(reason)
            self.refining = value.get("refining") is True
        except (KeyError, TypeError, ValueError) as error:
            raise self._wrong(f"has no proper meta and stop_reason ({error})") from error

    def _row(self, row: dict[str, Any], line: str) -> None:
        try:
            values = {name: float(value) for name, value in row.items()}
            lr, loss = values.pop("lr"), values.pop("loss")
            sweep = values.pop("sweep", 0.0)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise self._wrong(
                f'is {line.strip()!r}; expected a row such as {{"lr": 1e-06, "loss": 2.3}}'
            ) from error
        if sweep >= len(self._records.sweep_starts):
            self._records.begin_sweep()
        self._records.append(lr, loss, values)

    def _wrong(self, what: str) -> ValueError:
        return ValueError(f"{self._name}: line {self.line} {what}")


def _head(records: RecordsTable, **more: str) -> str:
    head = {
        "format": FORMAT,
        "version": VERSION,
        "stop_reason": _reason(records),
        "meta": records.meta,
        **more,
    }
    return _line(head)


def _line(value: dict[str, Any]) -> str:
    """Return a line with meta.

    Raises:
        TypeError: a value in the meta is none of JSON.
    """
    try:
        return json.dumps(value, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        if (found := _not_json("meta", value["meta"])) is None:
            raise
        place, what = found
        raise TypeError(
            f"{place} is {what!r:.80}, {a_kind(what)}, which JSON cannot hold; expected "
            "text, a finite number, True, False, None, or a list or dict of these: put it as text, "
            "str(value), or as a number, value.item(), and save again"
        ) from error


def _not_json(place: str, value: Any) -> tuple[str, Any] | None:
    """Return the place of the first value within `value` that JSON cannot hold, and the value."""
    inside: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, (str, int, float, bool, type(None))):
                return f"a key of {place}", key
            inside.append((f"{place}[{key!r}]", item))
    elif isinstance(value, (list, tuple)):
        inside += [(f"{place}[{number}]", item) for number, item in enumerate(value)]
    for part in inside:
        if (found := _not_json(*part)) is not None:
            return found
    if inside:
        return None
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return place, value
    return None


def _reason(records: RecordsTable) -> str | None:
    return None if records.stop_reason is None else records.stop_reason.value


def _rows(records: RecordsTable, offset: int) -> Iterator[str]:
    starts = records.sweep_starts
    for number, (lr, loss, extra) in enumerate(records.numbered(offset), start=offset):
        row: dict[str, Any] = {"lr": number_or_word(lr), "loss": number_or_word(loss)}
        row |= {name: number_or_word(value) for name, value in extra.items()}
        sweep = sum(start <= number for start in starts) - 1
        if sweep:
            row["sweep"] = sweep
        yield json.dumps(row, allow_nan=False) + "\n"


def number_or_word(value: float) -> float | str:
    """Return a number as JSON has it: NaN and infinity as words, which float() reads back."""
    return value if math.isfinite(value) else str(value)
