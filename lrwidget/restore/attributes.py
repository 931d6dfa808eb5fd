"""Put back what a framework changes around a sweep and the engine's own backup does not know of.

A framework sets attributes on modules (its trainer, running metrics, lists of outputs), moves and
casts parameters before the first step, and draws random numbers while it prepares. All of that
happens before the engine takes its backup, so it is remembered and put back here.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lrwidget.backup.interrupts import uninterrupted
from lrwidget.backup.rng import remember_generators
from lrwidget.task.rates import configured_rate

PutBack = Callable[[], Any]

# A longer container is data, such as a training set: its items are not looked into.
MAX_ITEMS = 1000


@contextmanager
def put_back_after(
    modules: Iterable[nn.Module | None],
    objects: Iterable[Any] = (),
    generators: Iterable[torch.Generator] = (),
) -> Iterator[None]:
    """Put modules, other objects and the random generators back when the block ends.

    The values of tensors are the engine's to restore, in the storage that they have during a sweep.

    Args:
        modules: whole trees: their attributes, with what is in plain lists, dicts and sets, and of
            their parameters the storage, the gradients and `requires_grad`.
        objects: their attributes, likewise.
        generators: a loader's own, beside the global ones.
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
    """Undo what a scheduler has made of the rates, so that param groups have their real ratios.

    A warm-up leaves every group at 0, a finished decay too. The ladder goes by the configured rates
    anyway; this is for optimizers that keep the rate they have.
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
    """Put back the very `state` and `param_groups` of an optimizer.

    Accelerate loads an optimizer's own state into it, which makes new dicts around the same
    tensors. The tensors' values are the engine's to restore.
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
    """What puts an object's attributes back, with what is in plain containers."""
    put_back = _remember(vars(thing), set())
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
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad

    return put_back


def _moved(parameter: nn.Parameter, data: torch.Tensor) -> bool:
    now = parameter.data
    if now.device != data.device or now.dtype != data.dtype:
        return True
    try:
        return now.data_ptr() != data.data_ptr()
    except RuntimeError:  # a tensor without a storage of its own: lazy, sparse, wrapped
        return False


def _remember(value: Any, known: set[int]) -> PutBack | None:
    """What refills a plain container; None for anything else."""
    if id(value) in known or not (isinstance(value, dict) or type(value) in (list, deque, set)):
        return None
    known.add(id(value))
    nested: list[PutBack] = []
    if len(value) <= MAX_ITEMS:
        inner = value.values() if isinstance(value, dict) else value
        nested = [found for item in inner if (found := _remember(item, known)) is not None]
    content = dict(value) if isinstance(value, dict) else list(value)

    def put_back() -> None:
        _refill(value, content)
        for restore in nested:
            restore()

    return put_back


def _refill(container: Any, content: Any) -> None:
    if isinstance(container, dict):
        if list(container) != list(content):
            container.clear()
        container.update(content)
        return
    container.clear()
    if isinstance(container, set):
        container.update(content)
    else:
        container.extend(content)
