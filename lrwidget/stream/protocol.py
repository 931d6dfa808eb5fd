"""The messages between kernel and page, as also defined in `js/src/stream/protocol.ts`.

Tests check both files against `tests/vectors/wire.json`. `docs/wire.md` explains which data are
sent by message, which by trait, and why.

A message to the page is a small JSON object and at most one buffer of little-endian float64 pairs
(lr, loss), 16 bytes per row. Every message has its run and the number of its first row, so that the
page can request missed rows and ignore duplicates. Each start of a sweep is sent once, with the
sweep's first row, so that traffic grows only with the rows.

Messages from the page are validated before they are used.
"""

import math
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, NotRequired, Protocol, TypedDict, TypeGuard, Unpack, cast

import numpy as np
from numpy.typing import NDArray

from lrwidget.stream.refinement import RefinementDetail

# To the page.


class Landmarks(TypedDict, total=False):
    """Rates at which the loss begins to fall, is lowest, and has exploded."""

    falls_at: float | None
    minimum: float | None
    explodes_at: float | None


class OptimizerRecipe(TypedDict):
    """One of torch's optimizers as Python source, without parameters and rate."""

    name: str  # "torch.optim.Adam"
    arguments: str  # "weight_decay=0.01"
    momentum: str | None  # argument that a schedule can change: "momentum" or "betas"


class Detail(TypedDict):
    """The value of the trait `_detail`: information on a run apart from its rows."""

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
    notice: str  # the result of the last button, or the reason why the run waits
    blocked: bool  # whether it was refused for the sweep of another widget, which "unblock" ends
    elsewhere: str  # why no model can be trained here; empty if one can
    extends: bool  # whether the runner can extend the sweep
    adds: int  # steps that an extension adds to each sweep
    budget: int  # steps that a refinement may take, those of the sweep included; 0: it cannot run


class CheckDetail(TypedDict):
    """Information on a check apart from its rows; lists are in ascending order of the rate."""

    lrs: list[float]
    final_losses: list[float | None]  # mean of the last fifth, or last on val_data
    stop_reasons: list[str | None]
    traceback: str | None
    notice: str


AnyDetail = Detail | CheckDetail | RefinementDetail


class Legend(TypedDict):
    """The value of the trait `_legend`: the list of runs."""

    active: int  # not in `runs` before it is started
    runs: list[tuple[int, str, int]]  # number, label, style
    parallel: bool  # whether several may be under way at once


class _Stream(TypedDict):
    """The fields of all messages with rows."""

    type: str
    run: int
    offset: int  # of the first row in the buffer
    starts: list[int]  # first rows of sweeps, from the offset to the end of the buffer
    state: str  # a `lrwidget.engine.runner.RunState`
    step: int
    steps: int
    elapsed: float
    error: str | None
    suggestion: float | None


class RowsMessage(_Stream):
    """Rows and status of a run: "rows" while it runs, "sync" as the answer to "hello"."""

    lr: NotRequired[float | None]  # only if the program moves the marker
    detail: NotRequired[Detail]  # only if it changed
    model_id: NotRequired[str | None]  # of the widget's own model; with `detail`


class CheckMessage(_Stream):
    """Rows and status of a "check"; each of its sweeps is the trial of one rate."""

    detail: NotRequired[CheckDetail]
    model_id: NotRequired[str | None]


class RefinementMessage(_Stream):
    """Rows and status of a "refinement"; the rate of a row tells its trial."""

    lr: NotRequired[float | None]  # only if the program moves the marker
    detail: NotRequired[RefinementDetail]
    model_id: NotRequired[str | None]


class SavedRun(RowsMessage):
    """An element of the trait `_runs`: status and all rows of a run."""

    data: bytes


class SavedCheck(CheckMessage):
    """The value of the trait `_check`: status and all rows of a check."""

    data: bytes


class SavedRefinement(RefinementMessage):
    """The value of the trait `_refinement`: status and all rows of a refinement."""

    data: bytes


class ExportedMessage(TypedDict):
    """The answer to "export"."""

    type: str
    ok: bool
    text: str  # the variable and value, or the error


StreamMessage = RowsMessage | CheckMessage | RefinementMessage
KernelMessage = StreamMessage | ExportedMessage


class Extras(TypedDict, total=False):
    """The optional fields of messages with rows."""

    lr: float | None
    model_id: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """The status of a run, apart from its rows; `elapsed` is in seconds, without pauses."""

    run: int
    state: str
    step: int
    steps: int
    elapsed: float
    error: str | None
    suggestion: float | None
    detail: AnyDetail


class Rows(Protocol):
    """The growing table of a run; safe to call from any thread."""

    def rows(self, offset: int = 0) -> NDArray[np.float64]:
        """Return a copy of the rows (n, 2) from `offset` on."""

    def __len__(self) -> int:
        """Return the number of rows."""

    @property
    def sweep_starts(self) -> list[int]:
        """The first row of each repeat."""


def encode(rows: NDArray[np.float64]) -> bytes:
    """Encode rows (n, 2) for the page; a copy, since buffers are sent later."""
    return np.ascontiguousarray(rows, dtype="<f8").tobytes()


def rows_message(
    status: Status,
    records: Rows,
    offset: int | None,
    *,
    kind: str = "rows",
    detail: bool = False,
    **more: Unpack[Extras],
) -> tuple[StreamMessage, list[bytes]]:
    """Return a message with the rows from `offset` on, and its buffers: none without rows.

    Args:
        status: status of the run.
        records: table of the run.
        offset: number of the first row; None to send the status alone.
        kind: "rows", "sync", "check" or "refinement".
        detail: whether to send `status.detail` too.
        more: optional fields.
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
    message = cast("StreamMessage", content | extras)
    return message, [encode(rows)] if len(rows) else []


def saved(status: Status, records: Rows, kind: str = "rows") -> dict[str, Any]:
    """Return status and all rows, as a `Saved...` of this kind, for the widget state."""
    content, buffers = rows_message(status, records, 0, kind=kind, detail=True)
    return {**content, "data": b"".join(buffers)}


def exported_message(ok: bool, text: str) -> ExportedMessage:
    """Return the answer to "export": whether it succeeded, and the result or error as text."""
    return {"type": "exported", "ok": ok, "text": text}


def _starts(records: Rows, offset: int, end: int) -> list[int]:
    # The next repeat may have begun since the rows were copied.
    return [start for start in records.sweep_starts if offset <= start <= end]


def number_or_none(value: float | None) -> float | None:
    """Return a plain float, or None if it is not finite: JSON has no NaN."""
    if value is None or not math.isfinite(value):
        return None
    return float(value)


# From the page.

COMMANDS = frozenset(
    {"start", "pause", "resume", "stop", "unblock", "reset", "apply", "check", "refine", "extend"}
)
STREAMS = ("rows", "check", "refinement")
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
    """Return a field's metadata: its description, its check, and its JSON key if it differs."""
    return {"what": what, "check": check, "key": key}


@dataclass(frozen=True, slots=True)
class Hello:
    """A page has loaded the model and asks for all rows."""


@dataclass(frozen=True, slots=True)
class Resync:
    """A page lacks the rows of `run` from `start` on; `kind` is one of STREAMS."""

    run: int = field(metadata=_checked("a count", _is_count))
    start: int = field(metadata=_checked("a count", _is_count, "from"))
    kind: str = field(
        default="rows", metadata=_checked("a kind of rows", _is_one_of(*STREAMS), "of")
    )


@dataclass(frozen=True, slots=True)
class Command:
    """A button was pressed; `name` is one of COMMANDS."""

    name: str = field(metadata=_checked("a command", _is_one_of(*COMMANDS)))


@dataclass(frozen=True, slots=True)
class Pick:
    """The user picked the current rate by hand, so that the program leaves it alone."""

    lr: float = field(metadata=_checked("a finite number", _is_rate))


@dataclass(frozen=True, slots=True)
class Export:
    """Export the chosen rate to the variable `name`, which is not validated yet."""

    name: str = field(metadata=_checked("text", _is_text))


@dataclass(frozen=True, slots=True)
class RunCommand:
    """Apply an action to one run; `action` is one of RUN_ACTIONS.

    `label` is the run's new label, which is not validated yet.
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
    """Return the JSON key of each field of a page's message."""
    return {part.name: part.metadata["key"] or part.name for part in fields(message)}


def parse(content: object) -> PageMessage:
    """Parse `content`, the JSON of a custom message.

    Raises:
        ValueError: the content is not a valid message.
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
    """Return whether ipywidgets can read a comm message; else it would raise in a cell."""
    match message:
        case {"content": {"data": {"method": "update", "state": dict(), **rest}}}:
            return not rest.get("buffer_paths")  # no trait that the page may set is binary
        case {"content": {"data": {"method": "request_state"}}}:
            return True
        case {"content": {"data": {"method": "custom"}}, "buffers": _}:
            return True
    return False


def brief(data: object) -> str:
    """Return a short text for `data` in a log line, however large it is."""
    try:
        text = repr(data)
    except Exception as error:  # noqa: BLE001 - a log line must not fail on what it reports
        text = f"<{type(error).__name__} in repr>"
    return text if len(text) <= 120 else text[:120] + "…"
