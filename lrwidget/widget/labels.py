"""Labels of runs: names for people, which show how a run differs from the plain one."""

import functools
import inspect
import sys
from collections.abc import Collection, Mapping
from pathlib import PurePath
from typing import Any

from lrwidget.stream.redact import redact_paths

# In characters: labels stand side by side in one line.
MAX_LENGTH = 80


def validate_label(label: Any) -> str:
    """A label on one line and without folders: it is saved with the notebook.

    Raises:
        TypeError: it is no text.
        ValueError: it is empty, or too long.
    """
    if not isinstance(label, str):
        raise TypeError(f"label is {label!r}, a {type(label).__name__}; expected text")
    text = redact_paths(" ".join(label.split()))
    if not text:
        raise ValueError(f"label is {label!r}; expected a name such as 'batch 128'")
    if len(text) > MAX_LENGTH:
        raise ValueError(f"label has {len(text)} characters; expected at most {MAX_LENGTH}")
    return text


def unique_label(label: str, taken: Collection[str]) -> str:
    """`label`, with a number after it where it is taken already: "batch 64 (2)"."""
    number, free = 1, label
    while free in taken:
        number += 1
        free = f"{label} ({number})"
    return free


def label_of(overrides: Mapping[str, Any]) -> str:
    """The options that differ from the plain run's: "batch_size=64, optimizer=AdamW"."""
    text = ", ".join(f"{name}={_brief(value)}" for name, value in overrides.items())
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1] + "…"


def _brief(value: Any) -> str:
    if _is_torch_optimizer(value):
        return _call(type(value).__name__, _unusual(value))
    if isinstance(value, functools.partial):
        return _call(_brief(value.func), value.keywords)
    if isinstance(value, float):
        return f"{value:g}"
    if value is None or isinstance(value, (bool, int)):
        return str(value)
    if isinstance(value, (str, PurePath)):
        return redact_paths(str(value))
    # No repr: that of a loader tells nothing, and that of a tensor may be long.
    return getattr(value, "__name__", type(value).__name__)


def _call(name: str, arguments: Mapping[str, Any]) -> str:
    inside = ", ".join(f"{key}={_brief(value)}" for key, value in arguments.items())
    return f"{name}({inside})" if inside else name


def _is_torch_optimizer(value: Any) -> bool:
    # torch is not loaded for this: whoever has an optimizer has loaded it.
    torch = sys.modules.get("torch.optim")
    return torch is not None and isinstance(value, torch.Optimizer)


def _unusual(optimizer: Any) -> dict[str, Any]:
    """The settings of its first group that are not the class's own, apart from the rate."""
    usual = inspect.signature(type(optimizer)).parameters
    return {
        name: value
        for name, value in optimizer.param_groups[0].items()
        if name in usual
        and name not in ("params", "lr")
        and isinstance(value, (bool, int, float, str))
        and value != usual[name].default
    }
