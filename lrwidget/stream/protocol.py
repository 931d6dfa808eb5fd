"""The messages between kernel and page, in both directions; `js/src/stream/protocol.ts` too.

To the page: a small JSON object and at most one buffer, little-endian float64 pairs (lr, loss), 16
bytes a row. Every message says which run it belongs to and at which row it begins, so the page
notices what it missed and asks again, and what arrives twice does no harm. Where sweeps begin is
said with the rows that they begin at, once: traffic grows with the rows alone.

From the page: data that is checked before anything is done with it.
"""

import logging
import math
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

# To the page.

Message = tuple[dict[str, Any], list[bytes]]


@dataclass(frozen=True, slots=True)
class Status:
    """What there is to say about a run, apart from its rows.

    `elapsed` is in seconds, without pauses; `detail` is the value of the widget's `_detail`.
    """

    run: int
    state: str
    step: int
    steps: int
    elapsed: float
    error: str | None
    suggestion: float | None
    detail: dict[str, Any]


class Rows(Protocol):
    """The growing table of a run; all of it may be called from any thread."""

    def rows(self, offset: int = 0) -> NDArray[np.float64]:
        """A copy of the rows (n, 2) from `offset` on."""

    def __len__(self) -> int:
        """How many rows there are."""

    @property
    def sweep_starts(self) -> list[int]:
        """Where each repeat begins."""


def encode(rows: NDArray[np.float64]) -> bytes:
    """Rows (n, 2) as they go over the wire; a copy, since buffers are sent later."""
    return np.ascontiguousarray(rows, dtype="<f8").tobytes()


def rows_message(
    status: Status,
    records: Rows,
    offset: int | None,
    *,
    kind: str = "rows",
    detail: bool = False,
    **more: Any,
) -> Message:
    """A message with the rows from `offset` on; without a buffer where there are none.

    With an offset of None it is only about the status, and leaves the rows to the sender.
    """
    if offset is None:
        offset, rows = status.step, np.empty((0, 2))
    else:
        rows = records.rows(offset)
    content: dict[str, Any] = {
        "type": kind,
        "run": status.run,
        "offset": offset,
        "starts": _starts(records, offset, offset + len(rows)),
        "state": status.state,
        "step": max(status.step, offset + len(rows) if len(rows) else 0),
        "steps": status.steps,
        "elapsed": round(status.elapsed, 3),
        "error": status.error,
        "suggestion": status.suggestion,
        **more,
    }
    if detail:
        content["detail"] = status.detail
    return content, [encode(rows)] if len(rows) else []


def saved(status: Status, records: Rows, kind: str = "rows") -> dict[str, Any]:
    """All rows and all there is to say, in one value: as the widget's state carries it."""
    content, buffers = rows_message(status, records, 0, kind=kind, detail=True)
    return content | {"data": b"".join(buffers)}


def _starts(records: Rows, offset: int, end: int) -> list[int]:
    # The next repeat may have begun since the rows were copied.
    return [start for start in records.sweep_starts if offset <= start <= end]


def number_or_none(value: float | None) -> float | None:
    """A plain finite float, or None: JSON has no NaN."""
    if value is None or not math.isfinite(value):
        return None
    return float(value)


# From the page.

COMMANDS = frozenset({"start", "pause", "resume", "stop", "reset", "apply", "check", "extend"})
RUN_ACTIONS = frozenset({"activate", "rename", "remove"})


@dataclass(frozen=True, slots=True)
class Hello:
    """A page has the model and asks for all there is."""


@dataclass(frozen=True, slots=True)
class Resync:
    """A page misses the rows of `run` from `start` on; of a sweep ("rows") or of a "check"."""

    run: int
    start: int
    kind: str = "rows"


@dataclass(frozen=True, slots=True)
class Command:
    """A button was pressed; `name` is one of COMMANDS."""

    name: str


@dataclass(frozen=True, slots=True)
class Pick:
    """The rate that is chosen already was picked by hand: from now on it is the user's."""

    lr: float


@dataclass(frozen=True, slots=True)
class Export:
    """The chosen rate is wanted in the variable `name`, which is not checked yet."""

    name: str


@dataclass(frozen=True, slots=True)
class RunCommand:
    """Something is to be done with one run; `action` is one of RUN_ACTIONS.

    `label` is its new one, which is not checked yet.
    """

    action: str
    run: int
    label: str = ""


PageMessage = Hello | Resync | Command | Pick | Export | RunCommand


def parse(content: object) -> PageMessage:
    """The message in `content`, the JSON of a custom message.

    Raises:
        ValueError: it is none; says why.
    """
    if not isinstance(content, dict):
        raise ValueError(f"expected an object, not {brief(content)}")
    match content.get("type"):
        case "hello":
            return Hello()
        case "resync" if (kind := content.get("of", "rows")) in ("rows", "check"):
            return Resync(_count(content, "run"), _count(content, "from"), kind)
        case "command" if isinstance(name := content.get("name"), str) and name in COMMANDS:
            return Command(name)
        case "run" if isinstance(action := content.get("action"), str) and action in RUN_ACTIONS:
            label = content.get("label", "")
            if isinstance(label, str):
                return RunCommand(action, _count(content, "run"), label)
        case "pick" if _is_rate(lr := content.get("lr")):
            return Pick(lr)
        case "export" if isinstance(name := content.get("name"), str):
            return Export(name)
    raise ValueError(f"no message of the page looks like {brief(content)}")


def well_formed(message: object) -> bool:
    """Whether ipywidgets can read a comm message; it raises into the running cell where not."""
    match message:
        case {"content": {"data": {"method": "update", "state": dict(), **rest}}}:
            return not rest.get("buffer_paths")  # no trait that the page may set is binary
        case {"content": {"data": {"method": "request_state"}}}:
            return True
        case {"content": {"data": {"method": "custom"}}, "buffers": _}:
            return True
    return False


def brief(data: object) -> str:
    """Text that names `data` in a log line, however long or deep it is."""
    try:
        text = repr(data)
    except Exception as error:  # noqa: BLE001 - a log line must not fail on what it reports
        text = f"<{type(error).__name__} in repr>"
    return text if len(text) <= 120 else text[:120] + "…"


def _is_rate(value: object) -> TypeGuard[float]:
    # JSON writes 10.0 as 10.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value)


def _count(content: dict[Any, Any], key: str) -> int:
    value = content.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{key!r} of {brief(content)} is not a count")
    return value
