"""Records as JSON Lines: a first line of meta, then a row a line, with strict JSON throughout."""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from lrwidget.records import LRRecords

R = TypeVar("R", bound="LRRecords")

FORMAT = "lrwidget-records"
VERSION = 1


def write(path: str | os.PathLike[str], records: "LRRecords") -> None:
    """Write `records` to `path`, whole or not at all."""
    path = Path(path)
    temporary = path.with_name(f"{path.name}.part")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines(records))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def lines(records: "LRRecords") -> Iterator[str]:
    """The lines of a file: meta, then a row each."""
    reason = None if records.stop_reason is None else records.stop_reason.value
    head = {
        "format": FORMAT,
        "version": VERSION,
        "stop_reason": reason,
        "sweep_starts": records.sweep_starts,
        "meta": records.meta,
    }
    yield json.dumps(head, allow_nan=False)
    frame = records.frame.drop(columns="sweep", errors="ignore")
    columns = list(frame.columns)
    for values in frame.itertuples(index=False, name=None):
        row = {
            name: _plain(value)
            for name, value in zip(columns, values, strict=True)
            if name in ("lr", "loss") or not math.isnan(value)
        }
        yield json.dumps(row, allow_nan=False)


def read(path: str | os.PathLike[str], make: type[R]) -> R:
    """Read records from `path` into a new `make`.

    Raises:
        ValueError: a line is not what `write` writes; the message names it.
    """
    from lrwidget.records import StopReason

    with Path(path).open(encoding="utf-8") as file:
        head = _parsed(path, 1, file.readline())
        if head.get("format") != FORMAT:
            raise ValueError(
                f"{os.fspath(path)}: line 1 is not the head of a file of LRRecords.save"
            )
        if head.get("version") != VERSION:
            raise ValueError(
                f"{os.fspath(path)}: format version {head.get('version')!r}; expected {VERSION}: "
                "read it with a newer lrwidget"
            )
        records = make(head["meta"])
        for number, line in enumerate(file, start=2):
            row = _parsed(path, number, line)
            try:
                values = {name: float(value) for name, value in row.items()}
                records.append(values.pop("lr"), values.pop("loss"), values)
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{os.fspath(path)}: line {number} is {line.strip()!r}; "
                    'expected a row such as {"lr": 1e-06, "loss": 2.3}'
                ) from error
    records.sweep_starts = list(head["sweep_starts"])
    reason = head["stop_reason"]
    records.stop_reason = None if reason is None else StopReason(reason)
    return records


def _plain(value: float) -> float | str:
    # JSON has no NaN or infinity; float() reads these words back.
    return value if math.isfinite(value) else str(value)


def _parsed(path: Any, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{os.fspath(path)}: line {number} is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise ValueError(f"{os.fspath(path)}: line {number} is not a JSON object")
    return value
