"""Find the objects that the functions of a task use from outside, which a deep copy shares."""

import functools
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules import module as of_all_modules
from torch.optim import optimizer as of_all_optimizers

from lrwidget.backup import walk
from lrwidget.backup.objects import MAX_BYTES, ObjectState
from lrwidget.backup.reach import BARE, reached
from lrwidget.backup.rng import is_generator
from lrwidget.backup.tensor_copies import nbytes_of
from lrwidget.backup.variables import Variables
from lrwidget.restore.step_state import data_of_step, is_ours, used_by_step
from lrwidget.task.optimizers import with_inner
from lrwidget.task.task import TrainingTask
from lrwidget.text.lists import first_of


class Captured:
    """What the functions and loaders of a task use, each found once, when it is first asked for.

    Args:
        task: the task, which nobody trains meanwhile.
    """

    def __init__(self, task: TrainingTask) -> None:
        self.task: TrainingTask = task

    @functools.cached_property
    def outside(self) -> list[Any]:
        """What the functions of the task, its model and its optimizers use from outside.

        These are the objects in closures, defaults, partials, bound methods and used globals, and
        what those refer to, nearest first.
        """
        task = self.task
        modules, optimizers = _parts_of(task)
        classes = set(map(type, (*modules, *optimizers, task.loss_fn, task.metric)))
        data = set(map(id, self.data))
        used = walk.used_by(*self._held_functions, *classes, containers=True)
        found = [value for value in (*used, *used_by_step(task)) if id(value) not in data]
        return [*found, *averages_among(found, task.model)]

    @functools.cached_property
    def used_by_loaders(self) -> list[Any]:
        """What loaders, data sets, samplers and their functions refer to, nearest first."""
        return [*self._reached_by_loaders, *self._used_by_their_functions]

    @functools.cached_property
    def generators(self) -> list[Any]:
        """The random generators that loaders and functions use, also through other objects."""
        task = self.task
        functions = [task.step, task.loss_fn, task.metric, task.evaluate]
        used = walk.used_by(*(f for f in functions if f is not None), containers=True)
        return [value for value in (*self.used_by_loaders, *used) if is_generator(value)]

    @functools.cached_property
    def data(self) -> list[Any]:
        """The large arrays and tensors of the loaders and of the task's own step, which are data
        and are not copied.

        A method of the model may use them, too.
        """
        task = self.task
        own = {id(tensor) for tensor in (*task.model.parameters(), *task.model.buffers())}
        found: list[Any] = []
        for value in reached(task.loaders, as_data=walk.MAX_ITEMS, functions=False):
            found += [value, *walk.items(value, walk.MAX_ITEMS)]
        arrays = [value for value in found if type(value) not in BARE]
        large = [value for value in arrays if _is_large(value) and id(value) not in own]
        return [*large, *data_of_step(task)]

    @functools.cached_property
    def functions(self) -> list[Any]:
        """The functions and classes that a step of the task runs, as far as they may be the
        user's."""
        task = self.task
        own = [f for f in (task.step, task.evaluate, task.loss_fn, task.metric) if f is not None]
        others = [*self._held_functions, *_classes_of(task)]
        return [f for f in (*own, *others) if not isinstance(f, nn.Module) and not is_ours(f)]

    def variables(self) -> Variables:
        """Return the variables that functions of the task set, to put them back."""
        return Variables(self.functions)

    def variables_of_loaders(self) -> Variables:
        """Return the variables that functions of the loaders and their data sets set."""
        return Variables(_functions_among(self._reached_by_loaders))

    def arrays_of_loaders(self, leave: Collection[int]) -> ObjectState:
        """Return the small tensors and arrays that the functions of loaders use."""
        used = self._used_by_their_functions
        arrays = [value for value in used if walk.is_a(value, (torch.Tensor, np.ndarray))]
        return ObjectState(arrays, leave=leave, as_data=True)

    @functools.cached_property
    def _held_functions(self) -> list[Any]:
        return _held_functions(self.task)

    @functools.cached_property
    def _used_by_their_functions(self) -> list[Any]:
        functions = _functions_among(self._reached_by_loaders)
        return list(walk.used_by(*functions, containers=True))

    @functools.cached_property
    def _reached_by_loaders(self) -> list[Any]:
        return reached(self.task.loaders, as_data=walk.MAX_ITEMS, trained=True)


def averages_among(found: list[Any], model: nn.Module) -> Iterator[Any]:
    """Yield the items of containers that are so long only because the models have so many tensors:
    averages of the weights, or what is kept for each of them."""
    modules = [model, *(value for value in found if walk.is_a(value, nn.Module))]
    tensors = [t for module in modules for t in (*module.parameters(), *module.buffers())]
    own = {id(tensor): tensor for tensor in tensors}
    most = 2 * len(own)  # a state dict has tied weights by each name
    if most > walk.MAX_ITEMS:
        limit = 4 * sum(map(nbytes_of, own.values()))
        for value in found:
            held = walk.items(value, most)
            if len(held) > walk.MAX_ITEMS:
                held += [item for kept in held for item in walk.items(kept, walk.MANY)]
                kept_for_each = [item for item in held if type(item) is torch.Tensor]
                if kept_for_each and sum(map(nbytes_of, kept_for_each)) <= limit:
                    yield from filter(has_state, held)


def _parts_of(task: TrainingTask) -> tuple[list[nn.Module], list[Any]]:
    """Return the modules of model, loss and metric, and the optimizers with those they wrap."""
    modules = list(task.model.modules())
    for part in (task.loss_fn, task.metric):
        if isinstance(part, nn.Module):
            modules += part.modules()
    return modules, with_inner((task.optimizer, *task.other_optimizers))


def _held_functions(task: TrainingTask) -> list[Any]:
    """Return the loss, the metric, and the functions in attributes of modules and optimizers, with
    the classes of objects there, and the hooks."""
    modules, optimizers = _parts_of(task)
    held: list[Any] = [task.loss_fn, task.metric]
    for module in modules:
        held += [value for name, value in _attributes(module) if name not in _MODULE_TREE]
    for optimizer in optimizers:
        held += [value for name, value in _attributes(optimizer) if not _of_torch(name)]
    return [*walk.functions_in(held), *_hooks_of((*modules, *optimizers))]


def _attributes(part: Any) -> list[tuple[str, Any]]:
    """Return names and values in a list, since another thread may set attributes meanwhile."""
    return list(vars(part).items())


def _hooks_of(parts: Iterable[Any]) -> Iterator[Any]:
    """Yield the hooks of modules, of their parameters and of optimizers, and those that torch calls
    for all modules and optimizers, but for our own."""
    for part in (*parts, of_all_modules, of_all_optimizers):
        tables = [held for name, held in _attributes(part) if name.endswith("_hooks")]
        if isinstance(part, nn.Module):
            for parameter in part.parameters(recurse=False):
                tables += [parameter._backward_hooks, parameter._post_accumulate_grad_hooks]
        for hook in (hook for table in tables for hook in walk.items(table)):
            if not is_ours(hook):
                yield hook


def modules_beside(model: nn.Module, functions: Iterable[Any]) -> list[nn.Module]:
    """Return the modules that functions use beside the model: a decoder, a teacher, a dropout.

    Args:
        model: the model, whose own modules are left out.
        functions: what computes the loss; None and modules too.
    """
    given = [part for part in functions if part is not None]
    modules = [part for part in given if isinstance(part, nn.Module)]
    parts = [part for module in modules for part in module.modules()]
    held = [
        value for part in parts for name, value in _attributes(part) if name not in _MODULE_TREE
    ]
    called = [part for part in given if not isinstance(part, nn.Module)]
    called += [*set(map(type, parts)), *walk.functions_in(held)]
    used = [*modules, *walk.used_by(*called, containers=True)]
    own = set(map(id, model.modules()))
    return [value for value in used if walk.is_a(value, nn.Module) and id(value) not in own]


def _functions_among(found: list[Any]) -> list[Any]:
    """Return the functions that loaders and data sets use, and the classes."""
    functions = [value for value in found if walk.is_a(value, walk.FUNCTIONS)]
    return [*functions, *{type(value) for value in found}]


def _classes_of(task: TrainingTask) -> set[type]:
    """Return the classes of what a step runs: modules, loss, metric, optimizers, step's object."""
    functions = (task.loss_fn, task.metric, task.step, task.evaluate)
    owners = [getattr(function, "__self__", function) for function in functions]
    modules = [part for part in (task.model, *owners) if isinstance(part, nn.Module)]
    parts = [part for module in modules for part in module.modules()]
    optimizers = with_inner((task.optimizer, *task.other_optimizers))
    return {type(part) for part in (*parts, *owners, *optimizers)}


def _is_large(value: Any) -> bool:
    if walk.is_a(value, torch.Tensor):
        return bool(nbytes_of(value) > MAX_BYTES and not value.requires_grad)
    return walk.is_a(value, np.ndarray) and bool(value.nbytes > MAX_BYTES)


def has_state(value: Any) -> bool:
    """Return whether a backup includes an object of `outside`: no functions, no results."""
    return not walk.is_a(value, walk.FUNCTIONS) and walk.is_state(value)


_MODULE_TREE = frozenset({"_parameters", "_buffers", "_modules"})


def _of_torch(name: str) -> bool:
    """Return whether an optimizer's attribute is its state, its hooks or a scheduler's counter."""
    return name in ("state", "param_groups", "defaults", "step") or name.endswith("_hooks")


def not_swept(task: TrainingTask) -> str:
    """Return a warning about trainable parameters of the loss that no optimizer has, or ''."""
    own = {id(p) for module in (task.model, *task.teachers) for p in module.parameters()}
    for optimizer in (task.optimizer, *task.other_optimizers):
        own |= {id(p) for group in optimizer.param_groups for p in group["params"]}
    loss = task.loss_fn
    # Not through methods that the loss may not call.
    used = walk.used_by(loss, containers=True, classes=False)
    modules = [part for part in (loss, *used) if walk.is_a(part, nn.Module)]
    names: dict[int, str] = {}
    for name, parameter in chain.from_iterable(map(_trainable_parameters, modules)):
        if id(parameter) not in own:
            names.setdefault(id(parameter), name)
    if not names:
        return ""
    return (
        f"the loss has trainable parameters that no optimizer holds "
        f"({first_of(list(names.values()), 3)}): they stay as they are during the sweep. Give them "
        "to the optimizer too if training does, or set their requires_grad to False, as those of a "
        "teacher"
    )


def _trainable_parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the trainable parameters of a module's parts in train mode, which no teacher is in."""
    for place, part in module.named_modules(prefix=type(module).__name__):
        if part.training:
            parameters = part.named_parameters(place, recurse=False)
            yield from ((name, one) for name, one in parameters if one.requires_grad)
