"""Labels of runs, which show the options that differ from the constructor's."""

import functools
import inspect
import sys
from collections.abc import Collection, Mapping
from pathlib import PurePath
from typing import Any

from lrwidget.stream.redact import redact_paths
from lrwidget.text.articles import a_kind

# In characters: the legend shows all labels in one line.
MAX_LENGTH = 80


def validate_label(label: Any) -> str:
    """Return the label on one line and without folders, since the notebook saves it.

    Raises:
        TypeError: the label is not text.
        ValueError: the label is empty, or too long.
    """
    if not isinstance(label, str):
        raise TypeError(f"label is {label!r}, {a_kind(label)}; expected text")
    text = redact_paths(" ".join(label.split()))
    if not text:
        raise ValueError(f"label is {label!r}; expected a name such as 'batch 128'")
    if len(text) > MAX_LENGTH:
        raise ValueError(f"label has {len(text)} characters; expected at most {MAX_LENGTH}")
    return text


def unique_label(label: str, taken: Collection[str]) -> str:
    """Return `label`, with a number after it if it is taken: "batch 64 (2)"."""
    number, free = 1, label
    while free in taken:
        number += 1
        free = f"{label} ({number})"
    return free


def label_of(overrides: Mapping[str, Any]) -> str:
    """Return the overridden options as text: "batch_size=64, optimizer=AdamW"."""
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
    # Not the repr: a loader's has no useful information, and a tensor's may be long.
    return getattr(value, "__name__", type(value).__name__)


def _call(name: str, arguments: Mapping[str, Any]) -> str:
    inside = ", ".join(f"{key}={_brief(value)}" for key, value in arguments.items())
    return f"{name}({inside})" if inside else name


def _is_torch_optimizer(value: Any) -> bool:
    # Does not import torch: if there is an optimizer, torch is already loaded.
    torch = sys.modules.get("torch.optim")
    return torch is not None and isinstance(value, torch.Optimizer)


def _unusual(optimizer: Any) -> dict[str, Any]:
    """Return the first group's settings, except the rate, that differ from the defaults."""
    usual = inspect.signature(type(optimizer)).parameters
    return {
        name: value
        for name, value in optimizer.param_groups[0].items()
        if name in usual
        and name not in ("params", "lr")
        and isinstance(value, (bool, int, float, str))
        and value != usual[name].default
    }
