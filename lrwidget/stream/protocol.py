"""The messages between kernel and page, in both directions; `js/src/stream/protocol.ts` too.

`tests/vectors/wire.json` holds both files to the same messages, fields and names; `docs/wire.md`
says which fact travels by message, which by trait, and why.

To the page: a small JSON object and at most one buffer, little-endian float64 pairs (lr, loss), 16
bytes a row. Every message says which run it belongs to and at which row it begins, so the page
notices what it missed and asks again, and what arrives twice does no harm. Each start of a sweep is
sent once, with the row that it begins at: traffic grows with the rows alone.

From the page: data that is checked before anything is done with it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, NotRequired, Protocol, TypedDict, TypeGuard, Unpack, cast

import numpy as np
from numpy.typing import NDArray

# To the page.


class Landmarks(TypedDict, total=False):
    """Rates that divide the curve: where the loss begins to fall, is lowest, and has exploded."""

    falls_at: float | None
    minimum: float | None
    explodes_at: float | None


class OptimizerRecipe(TypedDict):
    """One of torch's optimizers as Python source, beside parameters and rate."""

    name: str  # "torch.optim.Adam"
    arguments: str  # "weight_decay=0.01"
    momentum: str | None  # what a schedule can move: "momentum" or "betas"


class Detail(TypedDict):
    """The value of the trait `_detail`: what a run has to say beyond its numbers."""

    reason: str  # of the suggestion
    traceback: str | None
    stop_reason: str | None
    suggestions: dict[str, float | None]  # by rule
    landmarks: Landmarks
    confidence: str | None  # "high" or "low"
    spread: float | None  # standard deviation of the single sweeps' suggestions, in decades
    elapsed: float  # seconds, without pauses; 0 until the end
    span: list[float]  # the rates at the ends of the sweep
    optimizer: OptimizerRecipe | None
    notice: str  # what the last button came to, or what the run waits for
    elsewhere: str  # why there is nothing to train here; empty where there is
    extends: bool  # whether the sweep can be extended where it runs
    adds: int  # how many steps that adds to each sweep


class CheckDetail(TypedDict):
    """What a check has to say beyond its numbers; lists go by rate, in rising order."""

    lrs: list[float]
    final_losses: list[float | None]  # mean of the last fifth, or last on val_data
    stop_reasons: list[str | None]
    traceback: str | None
    notice: str


class Legend(TypedDict):
    """The value of the trait `_legend`: which runs there are."""

    active: int  # not among the runs before it is started
    runs: list[tuple[int, str, int]]  # number, label, style
    parallel: bool  # whether several may be under way at once


class _Stream(TypedDict):
    """What all messages with rows have."""

    type: str
    run: int
    offset: int  # of the first row in the buffer
    starts: list[int]  # where sweeps begin, from the offset to the end of the buffer
    state: str  # a `lrwidget.engine.runner.RunState`
    step: int
    steps: int
    elapsed: float
    error: str | None
    suggestion: float | None


class RowsMessage(_Stream):
    """Rows of a run and how it stands: "rows" while it runs, "sync" as the answer to "hello"."""

    lr: NotRequired[float | None]  # where the program moves the marker
    detail: NotRequired[Detail]  # where it changed
    model_id: NotRequired[str | None]  # of the widget's own model; with `detail`


class CheckMessage(_Stream):
    """Rows of a "check" and how it stands; each of its sweeps is the trial of one rate."""

    detail: NotRequired[CheckDetail]
    model_id: NotRequired[str | None]


class SavedRun(RowsMessage):
    """An element of the trait `_runs`: all of a run in one value."""

    data: bytes


class SavedCheck(CheckMessage):
    """The value of the trait `_check`: all of a check in one value."""

    data: bytes


class ExportedMessage(TypedDict):
    """The answer to "export"."""

    type: str
    ok: bool
    text: str  # what was written, or why nothing was


KernelMessage = RowsMessage | CheckMessage | ExportedMessage


class Extras(TypedDict, total=False):
    """What only some messages with rows have."""

    lr: float | None
    model_id: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """What there is to say about a run, apart from its rows.

    `elapsed` is in seconds, without pauses; `detail` is a `Detail` or a `CheckDetail`.
    """

    run: int
    state: str
    step: int
    steps: int
    elapsed: float
    error: str | None
    suggestion: float | None
    detail: Mapping[str, Any]


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
    **more: Unpack[Extras],
) -> tuple[RowsMessage | CheckMessage, list[bytes]]:
    """A message with the rows from `offset` on, and its buffers: none where there are no rows.

    Args:
        status: how the run stands.
        records: its table.
        offset: of the first row; None for a message about the status alone.
        kind: "rows", "sync" or "check".
        detail: whether to send `status.detail` too.
        more: what only some messages have.
    """
    if offset is None:
        offset, rows = status.step, np.empty((0, 2))
    else:
        rows = records.rows(offset)
    content: _Stream = {
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
    }
    extras = more | ({"detail": status.detail} if detail else {})
    message = cast("RowsMessage | CheckMessage", content | extras)
    return message, [encode(rows)] if len(rows) else []


def saved(status: Status, records: Rows, kind: str = "rows") -> dict[str, Any]:
    """A `SavedRun` or `SavedCheck`: all rows and all there is to say, as the state carries it."""
    content, buffers = rows_message(status, records, 0, kind=kind, detail=True)
    return {**content, "data": b"".join(buffers)}


def exported_message(ok: bool, text: str) -> ExportedMessage:
    """The answer to "export": whether it was done, and in words what was, or why not."""
    return {"type": "exported", "ok": ok, "text": text}


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


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_rate(value: object) -> TypeGuard[float]:
    # JSON writes 10.0 as 10.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_one_of(*names: str) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and value in names


def _checked(what: str, check: Callable[[object], bool], key: str | None = None) -> dict[str, Any]:
    """The metadata of a field: what it has to be, and its key in JSON where that is another."""
    return {"what": what, "check": check, "key": key}


@dataclass(frozen=True, slots=True)
class Hello:
    """A page has the model and asks for all there is."""


@dataclass(frozen=True, slots=True)
class Resync:
    """A page misses the rows of `run` from `start` on; of a sweep ("rows") or of a "check"."""

    run: int = field(metadata=_checked("a count", _is_count))
    start: int = field(metadata=_checked("a count", _is_count, "from"))
    kind: str = field(
        default="rows", metadata=_checked("rows or check", _is_one_of("rows", "check"), "of")
    )


@dataclass(frozen=True, slots=True)
class Command:
    """A button was pressed; `name` is one of COMMANDS."""

    name: str = field(metadata=_checked("a command", _is_one_of(*COMMANDS)))


@dataclass(frozen=True, slots=True)
class Pick:
    """The rate that is chosen already was picked by hand: from now on it is the user's."""

    lr: float = field(metadata=_checked("a finite number", _is_rate))


@dataclass(frozen=True, slots=True)
class Export:
    """The chosen rate is wanted in the variable `name`, which is not checked yet."""

    name: str = field(metadata=_checked("text", _is_text))


@dataclass(frozen=True, slots=True)
class RunCommand:
    """Something is to be done with one run; `action` is one of RUN_ACTIONS.

    `label` is its new one, which is not checked yet.
    """

    action: str = field(metadata=_checked("an action", _is_one_of(*RUN_ACTIONS)))
    run: int = field(metadata=_checked("a count", _is_count))
    label: str = field(default="", metadata=_checked("text", _is_text))


PageMessage = Hello | Resync | Command | Pick | Export | RunCommand

PAGE_MESSAGES: dict[str, type[PageMessage]] = {
    "hello": Hello,
    "resync": Resync,
    "command": Command,
    "run": RunCommand,
    "pick": Pick,
    "export": Export,
}


def keys_of(message: type[PageMessage]) -> dict[str, str]:
    """The key in JSON of each field of a message of the page."""
    return {part.name: part.metadata["key"] or part.name for part in fields(message)}


def parse(content: object) -> PageMessage:
    """The message in `content`, the JSON of a custom message.

    Raises:
        ValueError: it is none; says why.
    """
    if not isinstance(content, dict):
        raise ValueError(f"expected an object, not {brief(content)}")
    name = content.get("type")
    message = PAGE_MESSAGES.get(name) if isinstance(name, str) else None
    if message is None:
        raise ValueError(f"no message of the page looks like {brief(content)}")
    keys = keys_of(message)
    values: dict[str, Any] = {}
    for part in fields(message):
        key = keys[part.name]
        if key not in content and part.default is not MISSING:
            continue
        value = values[part.name] = content.get(key)
        if not part.metadata["check"](value):
            raise ValueError(
                f"no message of the page looks like {brief(content)}: "
                f"its {key!r} is not {part.metadata['what']}"
            )
    return message(**values)


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
