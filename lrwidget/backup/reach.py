"""What an object holds, and what that holds in turn: everything whose state training may change."""

import collections
import functools
import sys
import types
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.data.dataloader import _BaseDataLoaderIter

from lrwidget.backup.rng import is_generator
from lrwidget.backup.walk import MOST_NESTED, is_a, is_shared, items, own_attributes, slots

# Objects of these packages, and of classes derived from theirs, are left alone: they are tables,
# pictures and files, which hold data, or things that live on beside the sweep and show it.
_LEFT_ALONE = frozenset(
    {
        *("IPython", "PIL", "asyncio", "concurrent", "ctypes", "dask", "enum", "h5py", "ipykernel"),
        *("ipywidgets", "lightning", "lmdb", "logging", "lrwidget", "matplotlib", "pandas"),
        *("multiprocessing", "pathlib", "polars", "pyarrow", "pytorch_lightning", "ray", "sqlite3"),
        *("subprocess", "threading", "tqdm", "traitlets", "wandb", "zarr", "zmq"),
    }
)
_AT_WORK = frozenset(
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
# Of the standard library's objects those that are plain containers are looked into.
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
_NOTES = frozenset((bytearray, collections.Counter, collections.deque, dict, list, set))
_SCALAR = (bool, int, float, complex, str, bytes, type(None), type, types.ModuleType)


def reached(
    subjects: Iterable[Any],
    *,
    leave: Collection[int] = (),
    as_data: int | None = None,
    functions: bool = True,
) -> list[Any]:
    """`subjects` and everything that they lead to, nearest first, each once.

    Followed are the items of containers, attributes (`__slots__` too), the objects that a function
    has in its closure and defaults, and the random generators among the globals that it, or a
    method of an object's class, names. Plain lists and dicts that only a function holds are notes
    that people want to read afterwards.

    Args:
        leave: ids of objects to leave out, with what is behind them.
        as_data: where the subjects are loaders and the like: how many objects to look at, at most.
            Then models and optimizers are left out, and arrays and tensors that are items of a
            sequence, since those are samples.
        functions: whether to follow what functions use.
    """
    subjects = list(subjects) if as_data is None else list(_behind_ours(subjects))
    # What somebody names is followed, whatever it is.
    named = set() if as_data is not None else set(map(id, subjects))
    found: dict[int, Any] = {}  # the objects too, so that no id is used again
    followed: dict[type, bool] = {}
    waiting = collections.deque(subjects)
    while waiting and (as_data is None or len(found) < as_data):
        value = waiting.popleft()
        kind = type(value)
        if kind not in followed:
            followed[kind] = _is_followed(kind)
            if followed[kind]:
                waiting.extend(_generators_named_by(kind))
        if id(value) in found or id(value) in leave:
            continue
        if not followed[kind] and id(value) not in named:
            continue
        if as_data is not None and _is_trained(value):
            continue
        found[id(value)] = value
        if functions or kind is not types.FunctionType:
            waiting.extend(_held_by(value, as_data is not None))
    return list(found.values())


def is_at_work(attributes: dict[str, Any]) -> bool:
    """Whether an object has a thread, a process or a queue, which go on beside the sweep."""
    return any(
        (base.__module__, base.__name__) in _AT_WORK
        for item in attributes.values()
        for base in type(item).__mro__
    )


def slot_values(value: Any, descriptors: Iterable[Any]) -> list[tuple[Any, Any]]:
    """The slots that are filled, with their values."""
    filled = []
    for slot in descriptors:
        try:
            filled.append((slot, slot.__get__(value)))
        except AttributeError:
            continue
    return filled


def _behind_ours(loaders: Iterable[Any]) -> Iterator[Any]:
    """Loaders, and of those that were made here what is in them: they keep what they learn."""
    for loader in loaders:
        if type(loader).__module__.startswith("lrwidget."):
            yield from vars(loader).values()
        else:
            yield loader


def _is_followed(kind: type) -> bool:
    if issubclass(kind, (*_SCALAR, _BaseDataLoaderIter)):
        return False
    roots = [base.__module__.partition(".")[0] for base in kind.__mro__]
    if kind.__module__.startswith("multiprocessing.sharedctypes"):
        return True
    if any(root in _LEFT_ALONE for root in roots):
        return issubclass(kind, nn.Module)  # a LightningModule; its Trainer is left alone
    # What a deep copy takes as it is belongs to no one part of a program.
    if is_shared(kind):
        return False
    # Files are put back to their position.
    return roots[0] not in sys.stdlib_module_names or roots[0] in _PLAIN or "_io" in roots


def _is_trained(value: Any) -> bool:
    if is_a(value, torch.optim.Optimizer):
        return True
    return is_a(value, nn.Module) and next(value.parameters(), None) is not None


def _held_by(value: Any, as_data: bool) -> Iterator[Any]:
    if is_a(value, torch.Tensor):
        return
    if is_a(value, types.MethodType):
        yield from (value.__self__, value.__func__)
    elif is_a(value, functools.partial):
        yield from (value.func, value.args, value.keywords)
    elif is_a(value, types.FunctionType):
        yield from (item for item in _used_by(value) if type(item) not in _NOTES)
    elif is_a(value, nn.Module):
        # A scripted module has them in no attribute.
        yield from value.parameters(recurse=False)
        yield from value.buffers(recurse=False)
    else:
        samples = as_data and not is_a(value, dict)
        held = items(value, MOST_NESTED)
        yield from (item for item in held if not (samples and _is_array(item)))
    attributes = own_attributes(value)
    if attributes is not None:
        # The iterator that a loader keeps for its workers is the user's epoch in progress.
        yield from [item for name, item in list(attributes.items()) if name != "_iterator"]
    for _, item in slot_values(value, slots(type(value))):
        yield item


def _is_array(value: Any) -> bool:
    return is_a(value, torch.Tensor) or hasattr(type(value), "__array__")


def _used_by(function: types.FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    yield from _generators_named_in(function)


def moves_on_its_own(value: Any) -> bool:
    """Whether this is no note but a part of training: a generator, an Accelerator that counts."""
    return is_generator(value) or type(value).__module__ == "accelerate.accelerator"


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
    """Random generators that are globals of the module where a class was written."""
    for base in kind.__mro__:
        module = base.__module__.partition(".")[0]
        if module in ("torch", "numpy") or module in sys.stdlib_module_names:
            continue
        for member in vars(base).values():
            function: Callable[..., Any] | Any = getattr(member, "__func__", member)
            if is_generator(member):
                yield member
            if isinstance(function, types.FunctionType):
                yield from _generators_named_in(function)
