"""What objects of any kind hold, as far as it is data: a typed look, one level at a time.

Objects that are no data are not looked into: modules of Python, classes, files, threads, loggers,
data sets, and what libraries keep for themselves.

No code of the objects is run: they are told by their own types, since `isinstance` asks a proxy for
the class of what it stands for, and items are those of the built-in container.
"""

import collections
import dis
import enum
import functools
import random
import sys
import types
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

# What cannot change, or is nobody's state.
ATOMS = frozenset(
    {
        *(type(None), bool, int, float, complex, str, bytes, range, slice, type(...), property),
        *(types.ModuleType, types.BuiltinFunctionType, types.CodeType, types.MappingProxyType),
        *(type, torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format),
    }
)

# An instance of these, or of a class derived from one, works by itself: a thread, a file, a queue.
_AT_WORK = frozenset(
    {
        *("_io", "_queue", "_socket", "_thread", "asyncio", "concurrent", "ctypes", "io"),
        *("logging", "mmap", "multiprocessing", "queue", "selectors", "socket", "sqlite3"),
        *("ssl", "subprocess", "tempfile", "threading"),
    }
)
# Of those, what an object may well hold and yet be data.
_HARMLESS = frozenset({"lock", "RLock", "Logger", "LoggerAdapter", "RootLogger", "local"})
# Packages whose objects are no part of a model: they show, log, schedule or store.
_NOT_DATA = frozenset(
    {
        *("IPython", "bqplot", "comet_ml", "dask", "datasets", "h5py", "ipykernel"),
        *("ipywidgets", "lightning", "lightning_fabric", "lrwidget", "matplotlib", "mlflow"),
        *("neptune", "pandas", "polars", "pyarrow", "pytest", "_pytest", "pytorch_lightning"),
        *("ray", "tensorboard", "tensorboardX", "tqdm", "traitlets", "wandb"),
    }
)
_OF_TORCH = ("torch.nn.", "torch.optim.", "torch.amp.")
_OF_PYTHON = frozenset(
    {
        ("argparse", "Namespace"),
        ("collections", "ChainMap"),
        ("collections", "UserDict"),
        ("collections", "UserList"),
        ("types", "SimpleNamespace"),
    }
)
_MADE_BY_A_CLASS_STATEMENT = 1 << 9  # Py_TPFLAGS_HEAPTYPE


def is_plain(kind: type) -> bool:
    """Whether objects of this type are data that is held in their attributes."""
    module, root = _module_of(kind)
    if (module, kind.__qualname__) in _OF_PYTHON:
        return True
    if not kind.__flags__ & _MADE_BY_A_CLASS_STATEMENT or issubclass(kind, _NEVER_PLAIN):
        return False
    if root == "torch":
        return module.startswith(_OF_TORCH)
    if root in sys.stdlib_module_names or root in _NOT_DATA:
        return False
    return not any(works_by_itself(base) for base in kind.__mro__) and not is_shared(kind)


def is_shared(kind: type) -> bool:
    """Whether a deep copy of an instance is that instance itself: it belongs to no copy."""
    method = getattr(kind, "__deepcopy__", None)
    code = getattr(method, "__code__", None)
    return code is not None and code.co_code == _itself.__code__.co_code


def _itself(self: Any, memo: Any) -> Any:  # noqa: ARG001 - as `__deepcopy__` is called
    return self


def modules_of_class(kind: type) -> Iterator[nn.Module]:
    """The modules that a class holds for all its objects; other attributes of classes stay."""
    for base in kind.__mro__:
        yield from (held for held in vars(base).values() if isinstance(held, nn.Module))


def works_by_itself(kind: type) -> bool:
    """Whether instances are threads, files, sockets, queues and the like."""
    module, root = _module_of(kind)
    if root in _AT_WORK:
        return kind.__name__ not in _HARMLESS
    return module.startswith("torch.utils.data")


def _module_of(kind: type) -> tuple[str, str]:
    module: Any = kind.__module__  # some classes make a property of it
    module = module if isinstance(module, str) else ""
    return module, module.partition(".")[0]


def is_a(value: Any, kinds: Any) -> bool:
    """As `isinstance`, but of the object itself where it is a proxy, which may lead nowhere."""
    return issubclass(type(value), kinds)


def attributes(value: Any) -> dict[str, Any] | None:
    """The `__dict__` of an object, itself; None where it has none, or works by itself."""
    found = own_attributes(value)
    if found is None or any(works_by_itself(type(item)) for item in dict.values(found)):
        return None
    return found


def own_attributes(value: Any) -> dict[str, Any] | None:
    """The `__dict__` of an object, itself; None where it has none."""
    try:
        found = object.__getattribute__(value, "__dict__")
    except Exception:  # noqa: BLE001 - a class may make a property of it
        return None
    return found if is_a(found, dict) else None


def items(value: Any, most: int | None = None) -> list[Any]:
    """What a container holds, the values of a dict; nothing for any other object.

    Args:
        value: anything.
        most: nothing either of what holds more items.
    """
    for kind in _CONTAINERS:
        if is_a(value, kind):
            if most is not None and kind.__len__(value) > most:
                return []
            return list(dict.values(value) if kind is dict else kind.__iter__(value))
    return []


_CONTAINERS: tuple[Any, ...] = (dict, list, tuple, set, frozenset, collections.deque)
_TRAINED = (nn.Module, nn.Parameter)
# A longer container is data, such as a training set: its items are not looked into.
MOST_NESTED = 1000


def slots(kind: type) -> list[Any]:
    """The descriptors of the `__slots__` of a class and of its bases."""
    return [
        member
        for base in kind.__mro__
        if "__slots__" in vars(base)
        for member in vars(base).values()
        if type(member) is types.MemberDescriptorType
    ]


_NEVER_PLAIN = (type, BaseException, enum.Enum, weakref.ref, np.generic, nn.Module, torch.Tensor)


def held_by(function: types.FunctionType) -> Iterator[Any]:
    """What a function can use beside its arguments: closure, defaults, and globals that it names.

    The globals of functions of torch and of Python are theirs.
    """
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    scope = function.__globals__
    # Not by `__module__`, which functools.wraps copies from what is wrapped.
    if is_from_a_library(scope.get("__name__")):
        return
    for name in names(function.__code__):
        if name in scope:
            yield scope[name]
            yield from _named_in(scope[name], function.__code__.co_names)


def _named_in(space: Any, attributes: Iterable[str]) -> Iterator[Any]:
    """What a function names of a user's class or module: `Config.crit`, `losses.centre`."""
    if isinstance(space, type):
        if not is_from_a_library(space.__module__):
            yield from modules_of_class(space)
    elif isinstance(space, types.ModuleType) and not is_from_a_library(space.__name__):
        for name in attributes:
            if name in vars(space):
                yield vars(space)[name]


def is_from_a_library(module: Any) -> bool:
    """Whether a module, given by its name, is of torch or Python, which hold no state of users."""
    root = str(module).partition(".")[0]
    return root in ("torch", "numpy", "builtins") or root in sys.stdlib_module_names


@functools.lru_cache(maxsize=4096)
def names(code: types.CodeType) -> frozenset[str]:
    """The names of globals in a piece of code, with those of functions in it."""
    inner = [names(const) for const in code.co_consts if isinstance(const, types.CodeType)]
    # Not `co_names`, which has attributes too: `self.model` uses no global `model`.
    read = (i.argval for i in dis.get_instructions(code) if i.opname in _READS_A_GLOBAL)
    return frozenset(read).union(*inner)


_READS_A_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME")

# How far the references of functions are followed: a loss that calls a helper that uses the model.
_DEPTH = 4
# How many objects are looked at on the way.
_MOST = 20_000


def used_by(*values: Any, containers: bool = False) -> Iterator[Any]:
    """What functions, methods, partials or callable objects can use beside their arguments.

    Nearest first, each object once, and what is reached through these in turn; modules are not
    looked into.

    Args:
        values: what is called.
        containers: whether to look into lists, dicts, tuples and sets on the way.
    """
    seen: dict[int, Any] = {id(value): value for value in values}
    level = list(values)
    for _ in range(2 * _DEPTH):  # an object and its attributes are two
        nearest, level = level, []
        for outer in nearest:
            for item in _inside(outer, containers):
                if type(item) not in ATOMS and id(item) not in seen:
                    seen[id(item)] = item
                    level.append(item)
                    yield item
                if len(seen) > _MOST:
                    return


def is_state(value: Any) -> bool:
    """Whether what a function uses is state of a training, and not somebody's notes.

    State is a tensor, an array, a module, an optimizer, a generator, or an object that holds one
    of these near. Bare containers, and objects of numbers and text alone, are counters and
    records, which people read afterwards.
    """
    level, seen = [value], 0
    for _ in range(_NEAR):
        nearest, level = level, []
        for item in nearest:
            if is_a(item, _STATE):
                return True
            seen += 1
            if seen < _FEW and (item is not value or is_plain(type(item))):
                level += _inside(item, containers=True)
    return False


# How many levels and objects are looked at to see whether an object holds state.
_NEAR = 4
_FEW = 1000


def functions_in(values: Iterable[Any]) -> list[Any]:
    """The functions, methods and partials that are held in values, containers and plain objects.

    A deep copy holds the same functions, with all that they use.
    """
    seen: dict[int, Any] = {}
    found, level = [], list(values)
    for _ in range(_DEPTH):
        nearest, level = level, []
        for value in nearest:
            if type(value) in ATOMS or id(value) in seen:
                continue
            seen[id(value)] = value
            if is_a(value, FUNCTIONS):
                found.append(value)
            elif not is_shared(type(value)) and len(seen) < _MOST:
                level += _inside(value, containers=True)
    return found


GENERATORS = (
    *(torch.Generator, random.Random),
    *(np.random.Generator, np.random.RandomState, np.random.BitGenerator),
)
_STATE = (torch.Tensor, np.ndarray, nn.Module, torch.optim.Optimizer, *GENERATORS)
FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial)


def _inside(value: Any, containers: bool) -> Iterator[Any]:
    if is_a(value, types.FunctionType):
        yield from held_by(value)
    elif is_a(value, types.MethodType):
        yield value.__self__
        yield value.__func__
    elif is_a(value, functools.partial):
        yield value.func
        yield from value.args
        yield from value.keywords.values()
    elif is_a(value, _CONTAINERS):
        if containers:
            held = items(value)
            long = len(held) > MOST_NESTED
            yield from (item for item in held if is_a(item, _TRAINED)) if long else held
    elif is_a(value, weakref.ref):
        yield weakref.ref.__call__(value)
    elif is_plain(type(value)):
        yield from (attributes(value) or {}).values()
        yield from modules_of_class(type(value))
        for slot in slots(type(value)):
            try:
                yield slot.__get__(value)
            except AttributeError:
                continue
