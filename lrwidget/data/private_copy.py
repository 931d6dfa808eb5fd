"""Copies of loaders, which share all but the iteration with the user's."""

from typing import Any

import torch
from torch.utils.data import DataLoader


def private_copy(loader: Any) -> Any:
    """Copy a DataLoader, so that the user's keeps its running iteration and its workers."""
    if not isinstance(loader, DataLoader):
        return loader
    kind = type(loader)
    if hasattr(kind, "__del__"):  # which would end the workers of the user's
        kind = type(
            kind.__name__, (kind,), {"__del__": _end_nothing, "__module__": kind.__module__}
        )
    # Not by copy.copy, which asks a new object without attributes for some: a loader that passes
    # all questions on to another one never ends to look for that.
    made: Any = object.__new__(kind)
    vars(made).update(vars(loader), _iterator=None)
    if vars(loader).get("_iterator") is not None:
        # Workers that live on are seeded once. In the next pass over the user's no number is drawn
        # for that, which would change the order of the samples.
        drawn = loader.generator
        if drawn is None and torch.get_default_device().type == "cpu":
            drawn = torch.default_generator
        if drawn is not None:  # else it is that of the default device, where no order is drawn
            vars(made)["generator"] = torch.Generator(drawn.device).set_state(drawn.get_state())
    return made


def _end_nothing(copied: object) -> None:
    """Take the place of `__del__`."""
