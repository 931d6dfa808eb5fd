"""Restore what a framework changes before a sweep, when the engine has no backup yet.

A framework sets attributes on modules (its trainer, running metrics, lists of outputs), moves and
casts parameters before the first step, and draws random numbers during its set-up.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lrwidget.backup.backup import and_of_reducer
from lrwidget.backup.interrupts import uninterrupted
from lrwidget.backup.objects import in_order
from lrwidget.backup.rng import remember_generators
from lrwidget.backup.tensor_copies import set_gradient
from lrwidget.task.rates import configured_rate

PutBack = Callable[[], Any]

# A longer container is data, such as a training set; its items are not read.
MAX_ITEMS = 1000


@contextmanager
def put_back_after(
    modules: Iterable[nn.Module | None],
    objects: Iterable[Any] = (),
    generators: Iterable[torch.Generator] = (),
) -> Iterator[None]:
    """Restore modules, other objects and the random generators when the block ends.

    The engine restores the values of tensors, in the storage that they have during a sweep.

    Args:
        modules: modules, with their submodules. Restored are their attributes, with the items of
            plain lists, dicts and sets, and the storage, gradient and `requires_grad` of their
            parameters.
        objects: objects whose attributes are restored in the same way.
        generators: the generators of a loader; the global ones are always restored.
    """
    restore = [remember_generators(generators)]
    seen: set[int] = set()
    try:
        for module in modules:
            for part in module.modules() if module is not None else ():
                if id(part) not in seen:
                    seen.add(id(part))
                    restore.append(_remember_module(part, seen))
        restore += [remember_attributes(thing) for thing in objects]
        yield
    finally:
        try:
            uninterrupted(restore)
        finally:
            uninterrupted(restore)


@contextmanager
def at_initial_rates(optimizers: Iterable[torch.optim.Optimizer]) -> Iterator[None]:
    """Set all param groups to their initial rates in the block, without a scheduler's changes.

    After a warm-up or a finished decay all rates may be 0, which hides the ratio of the groups. The
    ladder uses the configured rates anyway; this is for optimizers whose rate it does not set.
    """
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    held = [(group, group["lr"]) for group in groups if "initial_lr" in group]
    for group, _ in held:
        group["lr"] = configured_rate(group)
    try:
        yield
    finally:
        for group, lr in held:
            group["lr"] = lr


@contextmanager
def same_state_objects(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Restore the same `state` and `param_groups` objects of an optimizer.

    Accelerate loads an optimizer's state dict into the optimizer, which makes new dicts around the
    same tensors. The engine restores the values of the tensors.
    """
    state, groups = optimizer.state, optimizer.param_groups
    entries = {key: dict(entry) for key, entry in state.items()}
    rates = [dict(group) for group in groups]
    try:
        yield
    finally:
        optimizer.state, optimizer.param_groups = state, groups
        for key, entry in entries.items():
            _refill(state[key], entry)
        for group, held in zip(groups, rates, strict=True):
            _refill(group, held)


def remember_attributes(thing: Any) -> PutBack:
    """Return a function that restores the attributes of an object and plain containers in them."""
    put_back = _remember(getattr(thing, "__dict__", {}), set())  # a list has no attributes
    assert put_back is not None  # it is a dict
    return put_back


def _remember_module(module: nn.Module, seen: set[int]) -> PutBack:
    attributes = remember_attributes(module)
    parameters = [
        (parameter, parameter.data, parameter.grad, parameter.requires_grad)
        for parameter in module.parameters(recurse=False)
        if id(parameter) not in seen  # tied weights
    ]
    for parameter, *_ in parameters:
        seen.add(id(parameter))
        parameter.grad = None  # moving a module moves its gradients too

    def put_back() -> None:
        attributes()
        for parameter, data, grad, requires_grad in parameters:
            parameter.grad = None
            if _moved(parameter, data):
                parameter.data = data
            if parameter.requires_grad != requires_grad:  # a lazy parameter takes no call
                parameter.requires_grad_(requires_grad)
            set_gradient(parameter, grad)

    return put_back


def _moved(parameter: nn.Parameter, data: torch.Tensor) -> bool:
    now = parameter.data
    if now.device != data.device or now.dtype != data.dtype:
        return True
    try:
        return now.data_ptr() != data.data_ptr()
    except RuntimeError:  # a tensor without a storage: lazy, sparse, wrapped
        return False


def _remember(value: Any, known: set[int]) -> PutBack | None:
    """Return a function that restores a plain container; None for other objects."""
    if id(value) in known or not (isinstance(value, dict) or type(value) in (list, deque, set)):
        return None
    known.add(id(value))
    nested: list[PutBack] = []
    if len(value) <= MAX_ITEMS:
        inner = value.values() if isinstance(value, dict) else value
        nested = [put for item in inner if (put := _remember(item, known)) is not None]
    content = dict(value) if isinstance(value, dict) else list(value)

    def put_back() -> None:
        _refill(value, content)
        for restore in nested:
            restore()

    return put_back


def _refill(container: Any, content: Any) -> None:
    if isinstance(container, dict):
        content = and_of_reducer(content, container)
        if not in_order(container, content):
            container.clear()
        container.update(content)
        return
    container.clear()
    if isinstance(container, set):
        container.update(content)
    else:
        container.extend(content)
