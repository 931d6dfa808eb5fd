"""A second model and optimizer to sweep, so that the user's own are never touched."""

import copy
import operator
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from lrwidget.backup.walk import is_a
from lrwidget.restore.captured import outside_of
from lrwidget.task.optimizers import is_complete, with_inner
from lrwidget.task.task import TrainingTask


class NotCopied(Exception):  # noqa: N818 - a finding, not a fault
    """Why the task cannot be copied, in words; it is then swept in place."""


def copy_together(task: TrainingTask, outside: Sequence[Any] | None = None) -> dict[str, Any]:
    """Deep copies of what a sweep changes, with the references between them kept.

    Args:
        task: what is trained.
        outside: what its functions use (`outside_of`), where the caller knows that already.

    Returns:
        The copies by name: model, optimizer, other_optimizers, loss_fn, scaler, metric.

    Raises:
        NotCopied: a copy cannot be had, or something outside the copy would still lead to the
            original model, so that a sweep of the copy would change it.
    """
    _refuse_what_leads_back(task, outside_of(task) if outside is None else outside)
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
    _refuse_false_copies(task, copies, memo)
    return copies


def _refuse_false_copies(task: TrainingTask, copies: dict[str, Any], memo: dict[int, Any]) -> None:
    """A class may have ideas of its own of what a copy is: part by part, it must be one of ours."""
    pairs = [(task.model, copies["model"])]
    if isinstance(task.loss_fn, nn.Module):
        pairs.append((task.loss_fn, copies["loss_fn"]))
    for original, copied in pairs:
        for parts in (nn.Module.modules, nn.Module.parameters, nn.Module.buffers):
            wanted = [memo.get(id(part)) for part in parts(original)]
            found = list(parts(copied))
            if len(wanted) != len(found) or any(map(operator.is_not, wanted, found)):
                raise NotCopied(f"a part of {type(original).__name__} makes copies of its own kind")
    known = {id(p) for _, copied in pairs for p in copied.parameters()}
    for optimizer in (copies["optimizer"], *copies["other_optimizers"]):
        if any(id(p) not in known for group in optimizer.param_groups for p in group["params"]):
            raise NotCopied(f"a copied {type(optimizer).__name__} does not train the copied model")
    optimizers = [task.optimizer, *task.other_optimizers]
    copied_optimizers = [copies["optimizer"], *copies["other_optimizers"]]
    optimizers, copied_optimizers = with_inner(optimizers), with_inner(copied_optimizers)
    if _storages(*(m for _, m in pairs), *copied_optimizers) & _storages(
        *(m for m, _ in pairs), *optimizers
    ):
        raise NotCopied("its copy shares tensors with it")


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
        if is_a(value, torch.Tensor) and not value.is_leaf
    }


def _compiled_modules() -> tuple[type, ...]:
    """What torch.compile returns. Its module is slow to import, and is there where it was used."""
    module = sys.modules.get("torch._dynamo.eval_frame")
    return () if module is None else (module.OptimizedModule,)


def _refuse_what_leads_back(task: TrainingTask, outside: Sequence[Any]) -> None:
    if task.step is not None:
        raise NotCopied("its own step holds on to it")
    if task.evaluate is not None:
        raise NotCopied("its own evaluate holds on to it")
    modules = list(task.model.modules())
    if isinstance(task.loss_fn, nn.Module):
        modules += list(task.loss_fn.modules())
    prepared = (*_compiled_modules(), DistributedDataParallel, torch.jit.ScriptModule)
    for module in modules:
        if isinstance(module, prepared):
            raise NotCopied(f"a copy of a {type(module).__name__} would have to be prepared anew")
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
    for value in outside:
        if _leads_back(value, own):
            name = getattr(value, "__qualname__", type(value).__name__)
            raise NotCopied(f"a function uses the model, or {name}, from outside")


_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)


def _refuse_shared_storage(model: nn.Module) -> None:
    """Two tensors over one storage stay two views of it only in the original."""
    seen: dict[int, int] = {}
    for tensor in _tensors_of(model):
        for pointer in _pointers(tensor):
            if seen.setdefault(pointer, id(tensor)) != id(tensor):
                raise NotCopied("some of its tensors are views of one storage")


def _tensors_of(owner: Any) -> list[torch.Tensor]:
    """Those of a module, or of the state of an optimizer, which need not be of torch's class."""
    if not isinstance(owner, nn.Module):
        states = getattr(owner, "state", {}).values()
        values = [value for state in states for value in _values(state)]
        return [value for value in values if isinstance(value, torch.Tensor)]
    tensors = [*owner.parameters(), *owner.buffers()]
    for module in owner.modules():
        tensors += [value for value in vars(module).values() if is_a(value, torch.Tensor)]
    return tensors


def _values(state: Any) -> Iterable[Any]:
    return state.values() if isinstance(state, dict) else ()


def _storages(*owners: Any) -> set[int]:
    return {p for owner in owners for tensor in _tensors_of(owner) for p in _pointers(tensor)}


def _pointers(tensor: torch.Tensor) -> list[int]:
    if isinstance(tensor, (UninitializedParameter, UninitializedBuffer)):
        return []
    try:
        pointer = tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # sparse tensors have no storage of their own
        return []
    return [pointer] if pointer else []


def _leads_back(value: Any, own: set[int]) -> bool:
    try:  # a proxy stands for another object here, and may lead nowhere
        if id(value) in own or isinstance(value, torch.optim.Optimizer):
            return True
        if isinstance(value, torch.Tensor):
            return value.requires_grad
        return isinstance(value, nn.Module) and any(id(m) in own for m in value.modules())
    except Exception:  # noqa: BLE001 - whatever its class says
        return False
