"""What a step of the user's own changes besides the model: other networks, averages, memories."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from lrwidget.backup import walk
from lrwidget.backup.objects import MAX_BYTES
from lrwidget.task.task import TrainingTask


def used_by_step(task: TrainingTask) -> list[Any]:
    """Return what the task's own step and evaluation use, but for data and what must not change.

    Left out are tensors and arrays that are larger than the model and not trained, which are data.
    Of a larger module without trained parameters, such as a teacher, only the buffers are taken.
    Of an object that holds a model and an optimizer, which is a training loop, the parts are taken,
    but not its own counters and lists, which users read after a sweep.
    """
    # The steps of adapters are the project's own, and their frameworks' objects are not followed.
    functions = [f for f in (task.step, task.evaluate) if f is not None and not _is_ours(f)]
    if not functions:
        return []
    limit = max(MAX_BYTES, _size(task.model))
    return list(_kept(walk.used_by(*functions, containers=True), limit))


def _kept(values: Iterator[Any], limit: int) -> Iterator[Any]:
    for value in values:
        if walk.is_a(value, nn.Module):
            if _size(value) <= limit or any(p.requires_grad for p in value.parameters()):
                yield value
            else:
                yield from value.buffers()
        elif walk.is_a(value, torch.Tensor):
            if value.requires_grad or value.nbytes <= limit:
                yield value
        elif walk.is_a(value, np.ndarray):
            if value.nbytes <= limit:
                yield value
        elif not _is_a_loop(value):
            yield value


def _is_a_loop(value: Any) -> bool:
    held = list((walk.own_attributes(value) or {}).values())
    held += [item for kept in held for item in walk.items(kept, walk.MAX_ITEMS)]
    return all(any(walk.is_a(v, k) for v in held) for k in (nn.Module, torch.optim.Optimizer))


def _size(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


def _is_ours(function: Any) -> bool:
    owner = getattr(function, "__func__", getattr(function, "func", function))
    module = getattr(owner, "__module__", None) or type(owner).__module__
    return str(module).partition(".")[0] == "lrwidget"
