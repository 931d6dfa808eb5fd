"""What the page may ask for, checked as data before anything is done with it."""

import logging
import math
from dataclasses import dataclass
from typing import Any, TypeGuard

logger = logging.getLogger(__name__)

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
