"""What a model or a loss function can be called with, as far as its signature says it."""

import contextlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn


@dataclass(frozen=True, slots=True)
class Takes:
    """The parameters of a function; by default of one whose signature cannot be read: all fits.

    Attributes:
        required: names of those that it cannot be called without.
        least, most: how many arguments it takes by position; `most` is None where it takes any.
        names: of all that can be given by keyword; None where any name can.
    """

    required: tuple[str, ...] = ()
    least: int = 0
    most: int | None = None
    names: frozenset[str] | None = None

    def fits(self, count: int) -> bool:
        """Whether it can be called with so many arguments by position."""
        return count >= self.least and (self.most is None or count <= self.most)

    def fits_names(self, names: Iterable[str]) -> bool:
        """Whether it can be called with these arguments by keyword."""
        given = frozenset(names)
        accepted = self.names is None or given <= self.names
        return accepted and given.issuperset(self.required)


_UNKNOWN = Takes()

# Reading a signature takes as long as a small layer, and every batch asks. By function, and weakly:
# a bound method is a new object each time, and nothing here may keep a model alive.
_known: "WeakKeyDictionary[Any, Takes]" = WeakKeyDictionary()

# What wraps a model and passes on whatever it is called with, and the name of the model in it.
_WRAPPERS = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "FullyShardedDataParallel": "module",
    "OptimizedModule": "_orig_mod",
}


def takes(called: Any) -> Takes:
    """What a model (as its `forward`) or a function takes."""
    if isinstance(called, nn.Module):
        while (name := _WRAPPERS.get(type(called).__name__)) is not None:
            called = getattr(called, name)
    function = getattr(called, "forward", called)
    key = getattr(function, "__func__", function)
    try:
        return _known[key]
    except (KeyError, TypeError):  # not asked before; cannot be hashed or referred to weakly
        pass
    found = _read(function)
    with contextlib.suppress(TypeError):
        _known[key] = found
    return found


def _read(function: Callable[..., Any]) -> Takes:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return _UNKNOWN
    kinds = {p.kind for p in parameters}
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    ordered = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in parameters if p.default is p.empty and p.kind not in variable]
    named = [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return Takes(
        required=tuple(p.name for p in needed),
        least=sum(p in ordered for p in needed),
        most=None if inspect.Parameter.VAR_POSITIONAL in kinds else len(ordered),
        names=None if inspect.Parameter.VAR_KEYWORD in kinds else frozenset(named),
    )
