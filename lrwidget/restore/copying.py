"""Deep-copy model and optimizer for a sweep, so that the user's own stay untouched."""

import copy
import operator
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lrwidget.backup.origin import is_from_a_library, module_of
from lrwidget.backup.tensor_copies import is_leaf
from lrwidget.backup.walk import (
    is_a,
    is_plain,
    is_view_of_more,
    own_attributes,
)
from lrwidget.restore.captured import Captured
from lrwidget.restore.copy_checks import (
    NotCopied,
    Shared,
    keys_of,
    pointers,
    refuse_other_copies,
    shared_by,
)
from lrwidget.task.optimizers import is_complete, with_inner, zeroes_as_usual
from lrwidget.task.task import TrainingTask
from lrwidget.text.articles import a_kind


def copy_together(captured: Captured) -> tuple[dict[str, Any], Shared]:
    """Deep-copy what a sweep changes, with the references between the copies.

    Args:
        captured: the task to copy, and what it uses.

    Returns:
        The copies by name (model, optimizer, other_optimizers, loss_fn, scaler, metric), and what
        others use too.

    Raises:
        NotCopied: a part cannot be copied, or the copy would still refer to the original model, so
            that a sweep of the copy would change it.
    """
    task, outside = captured.task, captured.outside
    _refuse_what_leads_back(task, outside)
    memo = _results_kept_on(task.model)
    parts = ("model", "optimizer", "other_optimizers", "loss_fn", "scaler", "metric")
    try:
        copies = {name: copy.deepcopy(getattr(task, name), memo) for name in parts}
        for optimizer in with_inner((task.optimizer, *task.other_optimizers)):
            _complete(memo[id(optimizer)], optimizer, memo)
        for parameter in task.model.parameters():
            # Attributes that users set on parameters, such as `no_weight_decay`.
            vars(memo[id(parameter)]).update(copy.deepcopy(vars(parameter), memo))
    except KeyboardInterrupt:
        raise
    except Exception as error:  # a class may raise any error when it is copied
        first, *_ = str(error).splitlines() or [""]  # torch may list all its kernels
        raise NotCopied(f"it cannot be deep-copied ({type(error).__name__}: {first})") from error
    _refuse_false_copies(task, copies, memo)
    refuse_other_copies(memo)
    return copies, shared_by(outside, captured.used_by_loaders, memo)


def _refuse_false_copies(task: TrainingTask, copies: dict[str, Any], memo: dict[int, Any]) -> None:
    """Raise NotCopied if a class with its own `__deepcopy__` made a copy that is not complete."""
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
    """Copy the attributes that `Optimizer.__getstate__` leaves out, such as those of LBFGS, and
    drop settings that the original has not."""
    for name, value in vars(original).items():
        # A scheduler sets an attribute `step`, which refers to the original optimizer.
        if name not in vars(made) and name != "step":
            setattr(made, name, copy.deepcopy(value, memo))
    # One that torch adds, `differentiable`, where a class has a `__setstate__` of its own.
    defaults = getattr(made, "defaults", {})
    for name in defaults.keys() - getattr(original, "defaults", defaults).keys():
        del defaults[name]


def _results_kept_on(model: nn.Module) -> dict[int, Any]:
    """Return copies, by id, of non-leaf tensors that modules keep from their last forward pass.

    Non-leaf tensors cannot be deep-copied, and the next pass can only use their values.
    """
    return {
        id(value): value.detach().clone()
        for module in model.modules()
        for value in list(vars(module).values())
        if is_a(value, torch.Tensor) and not is_leaf(value)
    }


def _compiled_modules() -> tuple[type, ...]:
    """Return the class of compiled modules, if torch.compile was used; it is slow to import."""
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
    optimizers = (task.optimizer, *task.other_optimizers)
    # Torch's own zero_grad removes the views, in training too.
    _refuse_modules(modules, views_stay=not all(map(zeroes_as_usual, optimizers)))
    _refuse_shared_storage(task.model)
    _refuse_optimizers(optimizers)
    known = {id(p) for module in modules for p in module.parameters(recurse=False)}
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    if any(id(p) not in known for group in groups for p in group["params"]):
        raise NotCopied("the optimizer holds parameters that are not the model's")
    own = known | {id(m) for m in modules} | {id(task.optimizer)}
    for value in outside:
        if _leads_back(value, own):
            name = getattr(value, "__qualname__", type(value).__name__)
            raise NotCopied(f"a function uses the model, or {name}, from outside")
    for value in (*outside, *_held_by_classes({type(module) for module in modules})):
        if _knows(value, own):
            raise NotCopied("a table outside has entries for parts of it, and none for a copy's")


def _refuse_modules(modules: Iterable[nn.Module], *, views_stay: bool) -> None:
    prepared = (*_compiled_modules(), DistributedDataParallel, torch.jit.ScriptModule)
    usual_holders = _holders_of_node(nn.Parameter(torch.zeros(1, device="cpu")))
    for module in modules:
        if isinstance(module, prepared):
            raise NotCopied(f"a copy of {a_kind(module)} would have to be prepared anew")
        if any(vars(module).get(name) for name in _HOOKS):
            raise NotCopied(f"{type(module).__name__} has hooks, which may hold on to it")
        if "FSDP" in type(module).__name__:
            raise NotCopied("its parameters are spread over processes")
        for parameter in module.parameters(recurse=False):
            hooks = parameter._backward_hooks or parameter._post_accumulate_grad_hooks
            # Nothing else shows the hooks of a node, which lasts as long as someone holds it.
            if hooks or _holders_of_node(parameter) > usual_holders:
                raise NotCopied("a parameter has hooks, which a copy would lose")
            if views_stay and is_view_of_more(parameter.grad):
                raise NotCopied(
                    "its gradients are views of one tensor, which those of a copy are not"
                )


def _refuse_optimizers(optimizers: Iterable[torch.optim.Optimizer]) -> None:
    for optimizer in optimizers:
        if any(value for name, value in vars(optimizer).items() if name.endswith("_hooks")):
            raise NotCopied("the optimizer has hooks, which may hold on to it")
        if not is_complete(optimizer):
            raise NotCopied(f"{type(optimizer).__name__} was not made by torch.optim.Optimizer")
    for optimizer in with_inner(optimizers):
        if name := _replaced_method(optimizer):
            raise NotCopied(f"the optimizer's {name} was replaced, and may hold on to it")


def _holders_of_node(parameter: torch.Tensor) -> int:
    """Return how many references there are to the node that accumulates the gradient of a
    parameter; 0 where it has none."""
    try:
        with torch.enable_grad():
            node: Any = parameter.view_as(parameter).grad_fn
            return 0 if node is None else sys.getrefcount(node.next_functions[0][0])
    except Exception:  # noqa: BLE001 - a lazy or sparse tensor, or a class that may raise any
        return 0


def _knows(table: Any, own: set[int]) -> bool:
    try:
        return any(key in own for key in keys_of(table))
    except Exception:  # noqa: BLE001 - a container's class may raise any error
        return False


def _held_by_classes(kinds: Iterable[type]) -> Iterator[Any]:
    """Yield the attributes of users' classes, and what descriptors and others among them hold."""
    for base in {base for kind in kinds for base in kind.__mro__}:
        if is_from_a_library(module_of(base)):
            continue
        for held in list(vars(base).values()):
            yield held
            if is_plain(type(held)):
                yield from list((own_attributes(held) or {}).values())


def _replaced_method(optimizer: torch.optim.Optimizer) -> str:
    """Return the name of a method that was replaced on the object itself; "" if none was.

    A scheduler replaces `step` by one that counts and calls the method of the class.
    """
    for name, value in vars(optimizer).items():
        own = getattr(type(optimizer), name, None)
        if not callable(own) or not callable(value):
            continue
        counts = hasattr(value, "_wrapped_by_lr_sched") or hasattr(value, "_with_counter")
        if not (counts and getattr(value, "__wrapped__", None) is own):
            return name
    return ""


_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)


def _refuse_shared_storage(model: nn.Module) -> None:
    """Raise NotCopied if tensors share a storage, since their copies would not."""
    seen: dict[int, int] = {}
    for tensor in _tensors_of(model):
        for pointer in pointers(tensor):
            if seen.setdefault(pointer, id(tensor)) != id(tensor):
                raise NotCopied("some of its tensors are views of one storage")


def _tensors_of(owner: Any) -> list[torch.Tensor]:
    """Return the tensors of a module, or of the state of an optimizer of any class."""
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
    return {p for owner in owners for tensor in _tensors_of(owner) for p in pointers(tensor)}


def _leads_back(value: Any, own: set[int]) -> bool:
    try:  # a proxy is examined as its target, which may no longer exist
        if id(value) in own or isinstance(value, torch.optim.Optimizer):
            return True
        if isinstance(value, torch.Tensor):
            return value.requires_grad
        return isinstance(value, nn.Module) and any(id(m) in own for m in value.modules())
    except Exception:  # noqa: BLE001 - its class may raise any error
        return False
