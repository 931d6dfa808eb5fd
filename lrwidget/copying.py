"""A second model and optimizer to sweep, so that the user's own are never touched."""

import copy
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from lrwidget.optimizers import is_complete, with_inner
from lrwidget.task import TrainingTask

# How far a function's references are followed: a loss that calls a helper that uses the model.
_DEPTH = 4


class NotCopied(Exception):  # noqa: N818 - a finding, not a fault
    """Why the task cannot be copied, in words; it is then swept in place."""


def copy_together(task: TrainingTask) -> dict[str, Any]:
    """Deep copies of what a sweep changes, with the references between them kept.

    Returns:
        The copies by name: model, optimizer, other_optimizers, loss_fn, scaler, metric.

    Raises:
        NotCopied: a copy cannot be had, or something outside the copy would still lead to the
            original model, so that a sweep of the copy would change it.
    """
    _refuse_what_leads_back(task)
    memo = _results_kept_on(task.model)
    parts = ("model", "optimizer", "other_optimizers", "loss_fn", "scaler", "metric")
    try:
        copies = {name: copy.deepcopy(getattr(task, name), memo) for name in parts}
        for optimizer in with_inner((task.optimizer, *task.other_optimizers)):
            _complete(memo[id(optimizer)], optimizer, memo)
        for parameter in task.model.parameters():
            # Marks that people set on parameters, such as `no_weight_decay`.
            vars(memo[id(parameter)]).update(copy.deepcopy(vars(parameter), memo))
    except KeyboardInterrupt:
        raise
    except Exception as error:  # any class may refuse to be copied, in any way
        raise NotCopied(f"it cannot be deep-copied ({type(error).__name__}: {error})") from error
    if _storages(copies["model"]) & _storages(task.model):
        raise NotCopied("its copy shares parameters with it")
    return copies


def _complete(made: torch.optim.Optimizer, original: torch.optim.Optimizer, memo: Any) -> None:
    """Give a copied optimizer the attributes that Optimizer.__getstate__ leaves out (LBFGS)."""
    for name, value in vars(original).items():
        # A scheduler hides the class's `step` behind one of its own, which leads to the original.
        if name not in vars(made) and name != "step":
            setattr(made, name, copy.deepcopy(value, memo))


def _results_kept_on(model: nn.Module) -> dict[int, Any]:
    """Copies, by id, of tensors with a graph that modules keep from their last forward pass.

    They cannot be deep-copied, and only their values can matter to the next pass.
    """
    return {
        id(value): value.detach().clone()
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, torch.Tensor) and not value.is_leaf
    }


def _compiled_modules() -> tuple[type, ...]:
    """What torch.compile returns. Its module is slow to import, and is there where it was used."""
    module = sys.modules.get("torch._dynamo.eval_frame")
    return () if module is None else (module.OptimizedModule,)


def _refuse_what_leads_back(task: TrainingTask) -> None:
    if task.step is not None:
        raise NotCopied("its own step holds on to it")
    if isinstance(task.model, (*_compiled_modules(), DistributedDataParallel)):
        raise NotCopied(f"a copy of a {type(task.model).__name__} would have to be prepared anew")
    modules = list(task.model.modules())
    if isinstance(task.loss_fn, nn.Module):
        modules += list(task.loss_fn.modules())
    for module in modules:
        if any(vars(module).get(name) for name in _HOOKS):
            raise NotCopied(f"{type(module).__name__} has hooks, which may hold on to it")
        if "FSDP" in type(module).__name__:
            raise NotCopied("its parameters are spread over processes")
        for parameter in module.parameters(recurse=False):
            if parameter._backward_hooks or parameter._post_accumulate_grad_hooks:
                raise NotCopied("a parameter has hooks, which a copy would lose")
    _refuse_shared_storage(task.model)
    for optimizer in (task.optimizer, *task.other_optimizers):
        if any(value for name, value in vars(optimizer).items() if name.endswith("_hooks")):
            raise NotCopied("the optimizer has hooks, which may hold on to it")
        if not is_complete(optimizer):
            raise NotCopied(f"{type(optimizer).__name__} was not made by torch.optim.Optimizer")
    known = {id(p) for module in modules for p in module.parameters(recurse=False)}
    groups = [g for o in (task.optimizer, *task.other_optimizers) for g in o.param_groups]
    if any(id(p) not in known for group in groups for p in group["params"]):
        raise NotCopied("the optimizer holds parameters that are not the model's")
    own = known | {id(m) for m in modules} | {id(task.optimizer)}
    functions = [task.loss_fn, task.metric]
    functions += [value for module in modules for value in vars(module).values()]
    for function in functions:
        if isinstance(function, nn.Module):
            continue
        if any(_leads_back(value, own) for value in _reached_by(function, _DEPTH)):
            name = getattr(function, "__qualname__", type(function).__name__)
            raise NotCopied(f"the function {name} uses the model or a tensor from outside")


_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)


def _refuse_shared_storage(model: nn.Module) -> None:
    """Two tensors over one storage stay two views of it only in the original."""
    seen: dict[int, int] = {}
    tensors = [*model.parameters(), *model.buffers()]
    for module in model.modules():
        tensors += [value for value in vars(module).values() if isinstance(value, torch.Tensor)]
    for tensor in tensors:
        for pointer in _pointers(tensor):
            if seen.setdefault(pointer, id(tensor)) != id(tensor):
                raise NotCopied("some of its tensors are views of one storage")


def _storages(model: nn.Module) -> set[int]:
    return {p for tensor in model.parameters() for p in _pointers(tensor)}


def _pointers(tensor: torch.Tensor) -> list[int]:
    if isinstance(tensor, (UninitializedParameter, UninitializedBuffer)):
        return []
    try:
        pointer = tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # sparse tensors have no storage of their own
        return []
    return [pointer] if pointer else []


def _leads_back(value: Any, own: set[int]) -> bool:
    if id(value) in own or isinstance(value, torch.optim.Optimizer):
        return True
    if isinstance(value, torch.Tensor):
        return value.requires_grad
    return isinstance(value, nn.Module) and any(id(m) in own for m in value.modules())


def _reached_by(value: Any, depth: int) -> Iterator[Any]:
    """What a function can use beside its arguments: closure, defaults and the globals it names."""
    if depth == 0 or isinstance(value, (nn.Module, torch.Tensor, np.ndarray, type)):
        return
    if isinstance(value, types.MethodType):
        yield value.__self__
        value = value.__func__
    partial = getattr(value, "func", None)
    if callable(partial) and hasattr(value, "keywords"):
        for item in (*value.args, *value.keywords.values(), partial):
            yield item
            yield from _reached_by(item, depth - 1)
        return
    if not isinstance(value, types.FunctionType) or value.__module__.split(".")[0] == "torch":
        return
    reached = [cell.cell_contents for cell in value.__closure__ or () if _is_full(cell)]
    reached += [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
    reached += [value.__globals__[n] for n in _names(value.__code__) if n in value.__globals__]
    for item in reached:
        if isinstance(item, types.ModuleType):
            continue
        yield item
        yield from _reached_by(item, depth - 1)


def _is_full(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - asking is the test
    except ValueError:
        return False
    return True


def _names(code: types.CodeType) -> set[str]:
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return set(code.co_names).union(*map(_names, inner)) if inner else set(code.co_names)
