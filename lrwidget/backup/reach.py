"""Find all objects that a loader or another object refers to, whose state training may change."""

import collections
import functools
import sys
import types
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data.dataloader import _BaseDataLoaderIter

from lrwidget.backup.origin import library_of, module_of
from lrwidget.backup.rng import is_generator
from lrwidget.backup.walk import (
    CONTAINERS,
    MANY,
    MAX_ITEMS,
    closure_and_defaults,
    is_a,
    is_shared,
    items,
    own_attributes,
    slots,
)

# Objects of these packages, and of subclasses of their classes, are not followed: tables, images
# and files, which are data, and loggers, displays and processes, which must outlast the sweep.
_NOT_FOLLOWED = frozenset(
    {
        *("IPython", "PIL", "asyncio", "concurrent", "ctypes", "dask", "enum", "h5py", "ipykernel"),
        *("ipywidgets", "lightning", "lmdb", "logging", "lrwidget", "matplotlib", "pandas"),
        *("multiprocessing", "pathlib", "polars", "pyarrow", "pytorch_lightning", "ray", "sqlite3"),
        *("subprocess", "threading", "tqdm", "traitlets", "wandb", "zarr", "zmq"),
    }
)
_CLASSES_AT_WORK = frozenset(
    {
        ("_queue", "SimpleQueue"),
        ("concurrent.futures._base", "Executor"),
        ("multiprocessing.process", "BaseProcess"),
        ("multiprocessing.queues", "Queue"),
        ("multiprocessing.queues", "SimpleQueue"),
        ("queue", "Queue"),
        ("threading", "Thread"),
    }
)
# Modules of the standard library whose objects are plain containers, and are followed.
_PLAIN = frozenset(
    (
        "__main__",
        "argparse",
        "array",
        "builtins",
        "collections",
        "functools",
        "random",
        "tempfile",
        "types",
    )
)
# Containers that have no attributes.
BARE = frozenset((dict, frozenset, list, set, tuple))
_RESULT_TYPES = frozenset((bytearray, collections.Counter, collections.deque, dict, list, set))
_LEAD_NOWHERE = frozenset((torch.Tensor, np.ndarray, bool, int, float, complex, str, bytes))
_SCALAR = (bool, int, float, complex, str, bytes, type(None), type, types.ModuleType)


def reached(
    subjects: Iterable[Any],
    *,
    leave: Collection[int] = (),
    as_data: int | None = None,
    functions: bool = True,
    trained: bool = False,
) -> list[Any]:
    """Return `subjects` and all that they refer to, each once, nearest first and batches last.

    References are items of containers, attributes (with `__slots__`), the closure and defaults of
    a function, and the random generators among the globals that a function, or a method of an
    object's class, uses. Plain lists and dicts that only a function holds are left out: they are
    results that users read after a sweep.

    Args:
        subjects: the objects to begin with.
        leave: ids of objects to leave out, with what only they refer to.
        as_data: None, or, if the subjects are loaders, the maximum number of objects. Then models
            and optimizers are left out, and arrays and tensors in sequences, which are samples.
        functions: whether to follow the references of functions.
        trained: whether the models and optimizers that loaders refer to are returned too.
    """
    subjects = list(subjects) if as_data is None else list(_unwrapped(subjects))
    # Objects that the user names in `also=` are followed, whatever their type.
    named = set() if as_data is not None else set(map(id, subjects))
    found: dict[int, Any] = {}  # keeps the objects alive, so that no id is reused
    batches: dict[int, Any] = {}
    followed: dict[type, bool] = {}
    waiting, later = collections.deque(subjects), collections.deque[Any]()
    while (waiting or later) and (as_data is None or len(found) < as_data):
        value = (waiting or later).popleft()
        kind = type(value)
        if kind not in followed:
            followed[kind] = _is_followed(kind)
            if followed[kind]:
                waiting.extend(_generators_named_by(kind))
        if id(value) in found or id(value) in leave:
            continue
        if not followed[kind] and id(value) not in named:
            continue
        if as_data is not None and kind not in BARE and _is_trained(value):
            if trained:
                found[id(value)] = value
            continue
        found[id(value)] = value
        if not functions and kind is types.FunctionType:
            continue
        held = list(_held_by(value, as_data is not None))
        if as_data is not None and kind in BARE:
            # A list of batches has many, which hold nothing else: they need not be followed, and
            # take no place of what comes after them.
            here = {id(item): item for item in held if _is_batch(item)}
            held = [item for item in held if id(item) not in here]
            here = here if len(batches) < as_data else {}
            batches |= {key: item for key, item in here.items() if key not in leave}
        # Samples in a long list take no place either of what else a loader holds.
        (later if len(held) > MANY and is_a(value, CONTAINERS) else waiting).extend(held)
    return list((found | batches).values())


def is_at_work(attributes: dict[str, Any]) -> bool:
    """Return whether an object has a thread, a process or a queue, which runs during the sweep."""
    return any(
        (module_of(base), base.__name__) in _CLASSES_AT_WORK
        for item in list(attributes.values())  # another thread may set some
        for base in type(item).__mro__
    )


def slot_values(value: Any, descriptors: Iterable[Any]) -> list[tuple[Any, Any]]:
    """Return the slots that have values, as pairs of descriptor and value."""
    filled = []
    for slot in descriptors:
        try:
            filled.append((slot, slot.__get__(value)))
        except AttributeError:
            continue
    return filled


def _unwrapped(loaders: Iterable[Any]) -> Iterator[Any]:
    """Yield loaders; for our own wrappers their attributes, since the wrappers keep their state."""
    for loader in loaders:
        if library_of(type(loader)) == "lrwidget":
            yield from vars(loader).values()
        else:
            yield loader


def _is_followed(kind: type) -> bool:
    # The iterator that a DataLoader holds belongs to the user's epoch in progress.
    if issubclass(kind, (*_SCALAR, _BaseDataLoaderIter)):
        return False
    roots = [library_of(base) for base in kind.__mro__]
    if module_of(kind).startswith("multiprocessing.sharedctypes"):
        return True
    if any(root in _NOT_FOLLOWED for root in roots):
        # A LightningModule, but not its Trainer; Fabric's loaders count their epochs.
        return issubclass(kind, nn.Module) or kind.__name__ == "_FabricDataLoader"
    # An object that a deep copy shares is shared by the whole program.
    if is_shared(kind):
        return False
    # Files are followed, since their position is restored.
    return roots[0] not in sys.stdlib_module_names or roots[0] in _PLAIN or "_io" in roots


def _is_trained(value: Any) -> bool:
    if is_a(value, torch.optim.Optimizer):
        return True
    return is_a(value, nn.Module) and next(value.parameters(), None) is not None


def _held_by(value: Any, as_data: bool) -> Iterable[Any]:
    if type(value) not in BARE:
        return _held_by_object(value, as_data)
    held = items(value, MAX_ITEMS)  # at once, since of a list of batches there are many
    if not as_data or type(value) is dict:
        return held
    return [item for item in held if not hasattr(type(item), "__array__")]


def _held_by_object(value: Any, as_data: bool) -> Iterator[Any]:
    if is_a(value, torch.Tensor):
        return
    if is_a(value, types.MethodType):
        yield from (value.__self__, value.__func__)
    elif is_a(value, functools.partial):
        yield from (value.func, value.args, value.keywords)
    elif is_a(value, types.FunctionType):
        yield from (item for item in _used_by(value) if type(item) not in _RESULT_TYPES)
    elif is_a(value, nn.Module):
        # A scripted module does not have them as attributes.
        yield from value.parameters(recurse=False)
        yield from value.buffers(recurse=False)
    else:
        samples = as_data and not is_a(value, dict)
        held = items(value, MAX_ITEMS)
        yield from (item for item in held if not (samples and _is_array(item)))
    attributes = own_attributes(value)
    if attributes is not None:
        yield from list(attributes.values())
    for _, item in slot_values(value, slots(type(value))):
        yield item


def _is_batch(value: Any) -> bool:
    """Return whether it is a tuple or list of tensors, arrays, numbers and texts alone."""
    if type(value) not in (tuple, list):
        return False
    try:
        return _LEAD_NOWHERE.issuperset(map(type, value))
    except TypeError:  # a class of classes may refuse to be hashed
        return False


def _is_array(value: Any) -> bool:
    return hasattr(type(value), "__array__")  # tensors have it, too


def _used_by(function: types.FunctionType) -> Iterator[Any]:
    yield from closure_and_defaults(function)
    yield from _generators_named_in(function)


def moves_on_its_own(value: Any) -> bool:
    """Return whether `value` changes with each step: a generator or an Accelerator."""
    return is_generator(value) or module_of(type(value)) == "accelerate.accelerator"


def _generators_named_in(function: types.FunctionType) -> Iterator[Any]:
    for name in _names(function.__code__):
        value = function.__globals__.get(name)
        if moves_on_its_own(value):
            yield value


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _generators_named_by(kind: type) -> Iterator[Any]:
    """Yield the random generators that the methods of a class use as globals or attributes."""
    for base in kind.__mro__:
        module = library_of(base)
        if module in ("torch", "numpy") or module in sys.stdlib_module_names:
            continue
        for member in vars(base).values():
            function: Callable[..., Any] | Any = getattr(member, "__func__", member)
            if is_generator(member):
                yield member
            if isinstance(function, types.FunctionType):
                yield from _generators_named_in(function)
