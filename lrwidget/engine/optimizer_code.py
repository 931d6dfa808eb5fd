"""The Python source that constructs a swept optimizer, for the page's code snippets."""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from lrwidget.stream.protocol import OptimizerRecipe


def optimizer_code(meta: Mapping[str, Any]) -> OptimizerRecipe | None:
    """Return the source of a sweep's optimizer, from the records' meta.

    None if the optimizer is not one of torch's, or torch is not installed; also for a meta that no
    sweep has written.
    """
    defaults = _defaults(str(meta.get("optimizer_class")))
    settings = meta.get("optimizer_settings", {})
    if defaults is None or not isinstance(settings, Mapping):
        return None
    # JSON files have lists in place of tuples.
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()}
    changed = {
        name: value
        for name, value in values.items()
        if name in defaults and value != defaults[name]
    }
    return {
        "name": meta["optimizer_class"],
        "arguments": ", ".join(f"{name}={value!r}" for name, value in changed.items()),
        "momentum": next((key for key in ("momentum", "betas") if values.get(key)), None),
    }


@functools.cache
def _defaults(name: str) -> dict[str, Any] | None:
    """Return the arguments of one of torch's optimizers with their defaults; None for others."""
    module, _, name = name.rpartition(".")
    if module != "torch.optim":
        return None
    try:
        import torch
    except ModuleNotFoundError:  # a log may be followed where it is not installed
        return None
    optimizer = getattr(torch.optim, name, None)
    if not isinstance(optimizer, type):
        return None
    return {
        name: parameter.default
        for name, parameter in inspect.signature(optimizer).parameters.items()
    }
