"""The arguments that a model or a loss function accepts, read from its signature."""

import contextlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn


@dataclass(frozen=True, slots=True)
class Takes:
    """The arguments that a function accepts; by default any, for an unreadable signature.

    Attributes:
        required: names of the required parameters.
        least, most: least and most positional arguments; `most` is None if there is no limit.
        names: names accepted as keywords; None if any name is.
    """

    required: tuple[str, ...] = ()
    least: int = 0
    most: int | None = None
    names: frozenset[str] | None = None

    def fits(self, count: int) -> bool:
        """Return whether the function accepts `count` positional arguments."""
        return count >= self.least and (self.most is None or count <= self.most)

    def fits_names(self, names: Iterable[str]) -> bool:
        """Return whether the function can be called with these keyword arguments alone."""
        given = frozenset(names)
        accepted = self.names is None or given <= self.names
        return accepted and given.issuperset(self.required)


_UNKNOWN = Takes()

# A cache, since reading a signature takes as long as a small layer. The keys are functions (a bound
# method is a new object each time) and weak, so that the cache keeps no model alive.
_known: "WeakKeyDictionary[Any, Takes]" = WeakKeyDictionary()

# Wrappers that pass their arguments on to a model, and the attribute that holds it.
_WRAPPERS = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "FullyShardedDataParallel": "module",
    "OptimizedModule": "_orig_mod",
}


def takes(called: Any) -> Takes:
    """Return the arguments that a function, or the `forward` of a model, accepts."""
    if isinstance(called, nn.Module):
        while (name := _WRAPPERS.get(type(called).__name__)) is not None:
            called = getattr(called, name)
    function = getattr(called, "forward", called)
    key = getattr(function, "__func__", function)
    try:
        return _known[key]
    except (KeyError, TypeError):  # not cached; no hash or no weak reference
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
