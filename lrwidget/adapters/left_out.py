"""Which callbacks of the user's own change what is trained; a sweep leaves them out."""

import dis
import re
import warnings
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import nn

from lrwidget.backup.origin import root_of
from lrwidget.backup.walk import closure_and_defaults

# What is set to change a step: attributes of these names, those of a Learner, the batch's parts.
_SET = ("grad", "data")
_SET_ON_LEARNER = ("xb", "yb", "pred", "loss", "loss_grad")
_BATCH = "batch"


def changing(
    callbacks: Iterable[Any], events: Iterable[str], libraries: tuple[str, ...]
) -> list[str]:
    """Return the names of the callbacks that write to the batch or to gradients in some events.

    Args:
        callbacks: callbacks, or classes of some.
        events: methods that are called before the optimizer steps.
        libraries: packages whose functions do not count.
    """
    kinds = [one if isinstance(one, type) else type(one) for one in callbacks]
    return [kind.__name__ for kind in kinds if _changes(kind, events, (*libraries, "torch"))]


def warn_of_left_out(names: list[str], owner: str, stacklevel: int) -> None:
    """Warn that callbacks take no part in a sweep, if there are any."""
    if names:
        warnings.warn(
            f"{' and '.join(names)} of the {owner} takes no part in a sweep, as no callback of "
            "your own does, so the losses are not those of a fit with what it changes; for a "
            "sweep with it give a TrainingTask with a step that does the same",
            stacklevel=stacklevel + 1,
        )


def _changes(kind: type, events: Iterable[str], libraries: tuple[str, ...]) -> bool:
    """Return whether an event, or a function of the user's that it calls, writes to a tensor."""
    waiting = [getattr(kind, event, None) for event in events]
    seen = set()
    while waiting:
        function = waiting.pop()
        if not isinstance(function, FunctionType) or function in seen:
            continue
        seen.add(function)
        if root_of(function.__module__) in libraries:
            continue
        codes = list(_codes(function.__code__))
        if any(map(_writes, codes)):
            return True
        waiting += closure_and_defaults(function)
        for name in {name for code in codes for name in code.co_names}:
            waiting += [function.__globals__.get(name), getattr(kind, name, None)]
    return False


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function and of the functions within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _writes(code: CodeType) -> bool:
    """Return whether code changes a tensor in place, clips gradients, or sets a part of a batch."""
    return any(
        _is_in_place(name) or re.search("clip.*grad", name) for name in code.co_names
    ) or any(
        name in _SET or owner == _BATCH or (owner == "learn" and name in _SET_ON_LEARNER)
        for owner, name in _assignments(code)
    )


def _assignments(code: CodeType) -> Iterator[tuple[str, str]]:
    """Yield on what an attribute or item is set, and the attribute's name."""
    loaded, owner, before = ["", ""], "", ""
    for one in dis.get_instructions(code):
        if one.opname == "COPY":  # of the owner in `owner.name += value`
            owner = loaded[-(one.arg or 1)]
        elif one.opname in ("STORE_ATTR", "STORE_SUBSCR"):
            in_item = one.opname == "STORE_SUBSCR"
            owner = owner if before == "SWAP" else loaded[-2 if in_item else -1]
            yield owner, "" if in_item else one.argval
        else:
            loaded += one.argrepr.split(", ")  # an instruction may load two variables
        before = one.opname


def _is_in_place(name: str) -> bool:
    own = name.endswith("_") and not name.endswith("__")
    return own and any(hasattr(place, name) for place in (torch.Tensor, torch, nn.utils))
