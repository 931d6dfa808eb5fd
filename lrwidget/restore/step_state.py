"""What a step of the user's own changes besides the model: other networks, averages, memories."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from lrwidget.backup import walk
from lrwidget.backup.objects import MAX_BYTES
from lrwidget.backup.origin import root_of
from lrwidget.backup.tensor_copies import nbytes_of
from lrwidget.task.task import TrainingTask


def used_by_step(task: TrainingTask) -> list[Any]:
    """Return what the task's own step and evaluation use, but for `data_of_step`.

    Of an object that holds a model and an optimizer, which is a training loop, the parts are taken,
    but not its own lists, which users read after a sweep. Of a teacher that is left
    out the buffers are taken.
    """
    found: list[Any] = []
    for value, is_data in _used(task):
        if not is_data:
            found += [] if _is_a_loop(value) else [value]
        elif walk.is_a(value, nn.Module):
            found += value.buffers()
    return found


def data_of_step(task: TrainingTask) -> list[Any]:
    """Return the data that the task's own step and evaluation use, which is not copied.

    That is what is larger than the model and not trained: tensors and arrays, and modules such as a
    teacher.
    """
    return [value for value, is_data in _used(task) if is_data]


def _used(task: TrainingTask) -> Iterator[tuple[Any, bool]]:
    """Yield what the functions use, and whether it is data."""
    # The steps of adapters are the project's own, and their frameworks' objects are not followed.
    functions = [f for f in (task.step, task.evaluate) if f is not None and not is_ours(f)]
    if functions:
        limit = max(MAX_BYTES, _size(task.model))
        for value in walk.used_by(*functions, containers=True):
            yield value, _is_data(value, limit)


def _is_data(value: Any, limit: int) -> bool:
    if walk.is_a(value, nn.Module):
        trained = any(p.requires_grad for p in value.parameters())
        return not trained and _size(value) > limit
    if walk.is_a(value, torch.Tensor):
        return not value.requires_grad and nbytes_of(value) > limit
    return walk.is_a(value, np.ndarray) and value.nbytes > limit


def _is_a_loop(value: Any) -> bool:
    held = list((walk.own_attributes(value) or {}).values())
    held += [item for kept in held for item in walk.items(kept, walk.MAX_ITEMS)]
    return all(any(walk.is_a(v, k) for v in held) for k in (nn.Module, torch.optim.Optimizer))


def _size(module: nn.Module) -> int:
    return sum(nbytes_of(tensor) for tensor in (*module.parameters(), *module.buffers()))


def is_ours(function: Any) -> bool:
    """Return whether a function is one of this package, such as the step of an adapter."""
    owner = getattr(function, "__func__", getattr(function, "func", function))
    return root_of(getattr(owner, "__module__", None) or type(owner).__module__) == "lrwidget"
