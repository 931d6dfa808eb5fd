"""Read what objects of any type hold, one level at a time, as far as it is data.

Not read are Python modules, classes, files, threads, loggers, data sets and the internal objects of
libraries.

No code of the objects runs: types are compared with `type`, since `isinstance` asks a proxy for the
class of its target, and items are read with the methods of the built-in containers.
"""

import collections
import dis
import enum
import functools
import gc
import random
import sys
import threading
import types
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from lrwidget.backup.origin import is_from_a_library, is_users, library_of, module_of

# Types whose objects are immutable, or are not the state of anything.
ATOMS = frozenset(
    {
        *(type(None), bool, int, float, complex, str, bytes, range, slice, type(...), property),
        *(types.ModuleType, types.BuiltinFunctionType, types.CodeType, types.MappingProxyType),
        *(type, torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format),
    }
)

# Modules whose classes, and their subclasses, are active: threads, files, sockets, queues.
_AT_WORK = frozenset(
    {
        *("_io", "_queue", "_socket", "_thread", "asyncio", "concurrent", "ctypes", "io"),
        *("logging", "mmap", "multiprocessing", "queue", "selectors", "socket", "sqlite3"),
        *("ssl", "subprocess", "tempfile", "threading"),
    }
)
# Exceptions: a data object may have these as attributes.
_ALLOWED = frozenset({"lock", "RLock", "Logger", "LoggerAdapter", "RootLogger", "_local"})
# Packages whose objects are not part of a model: they display, log, schedule or store.
_NOT_DATA = frozenset(
    {
        *("IPython", "bqplot", "comet_ml", "dask", "datasets", "h5py", "ipykernel"),
        *("ipywidgets", "lightning", "lightning_fabric", "lrwidget", "matplotlib", "mlflow"),
        *("neptune", "pandas", "polars", "pyarrow", "pytest", "_pytest", "pytorch_lightning"),
        *("ray", "tensorboard", "tensorboardX", "tqdm", "traitlets", "wandb"),
    }
)
_OF_TORCH: tuple[str, ...] = ("torch.amp.", "torch.distributed.algorithms.", "torch.nn.")
_OF_TORCH += ("torch.ao.pruning.", "torch.distributions.", "torch.optim.", "torch.quasirandom")
_OF_PYTHON = frozenset(
    {
        *("_thread._local", "argparse.Namespace", "collections.ChainMap", "collections.UserDict"),
        *("collections.UserList", "types.SimpleNamespace"),
    }
)
_MADE_BY_A_CLASS_STATEMENT = 1 << 9  # Py_TPFLAGS_HEAPTYPE


def is_plain(kind: type) -> bool:
    """Return whether objects of this type are data in their attributes."""
    module, root = module_of(kind), library_of(kind)
    if f"{module}.{kind.__qualname__}" in _OF_PYTHON:
        return True
    if not kind.__flags__ & _MADE_BY_A_CLASS_STATEMENT or issubclass(kind, _NEVER_PLAIN):
        return False
    if root == "torch":
        # Scalers are also in torch.cuda, torch.cpu and torch.distributed.
        return module.startswith(_OF_TORCH) or issubclass(kind, torch.amp.GradScaler)
    if root in sys.stdlib_module_names or root in _NOT_DATA:
        return False
    return not any(is_active_type(base) for base in kind.__mro__) and not is_shared(kind)


def is_shared(kind: type) -> bool:
    """Return whether `copy.deepcopy` of an instance returns the instance itself."""
    code = getattr(getattr(kind, "__deepcopy__", None), "__code__", None)
    return code is not None and code.co_code == _itself.__code__.co_code


def _itself(self: Any, memo: Any) -> Any:  # noqa: ARG001 - the signature of `__deepcopy__`
    return self


def state_of_class(kind: type) -> Iterator[Any]:
    """Yield what all objects of a class share of modules, tensors, arrays and generators."""
    for base in kind.__mro__:
        if is_from_a_library(module_of(base)):
            continue
        for held in list(vars(base).values()):
            yield from (value for value in (held, *items(held, MAX_ITEMS)) if is_a(value, _STATE))


def is_active_type(kind: type) -> bool:
    """Return whether instances are threads, files, sockets, queues and the like."""
    module, root = module_of(kind), library_of(kind)
    if root in _AT_WORK:
        return kind.__name__ not in _ALLOWED
    return module.startswith("torch.utils.data")


def is_a(value: Any, kinds: Any) -> bool:
    """Return `isinstance(value, kinds)` without asking a proxy for the class of its target."""
    return issubclass(type(value), kinds)


def is_view_of_more(tensor: torch.Tensor | None) -> bool:
    """Return whether a tensor shares its storage with others, as gradients in one flat buffer."""
    try:
        return tensor is not None and tensor.untyped_storage().nbytes() > tensor.nbytes
    except (RuntimeError, NotImplementedError):  # sparse tensors have no storage
        return False


def at_rest(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes but for loaders, files, threads and the like."""
    return {
        name: value
        for name, value in list(dict.items(attributes))  # another thread may set some
        if not is_active_type(type(value))
    }


def types_among(values: Iterable[Any]) -> list[type]:
    """Return the types of values, each once."""
    try:
        return list(set(map(type, values)))
    except TypeError:  # a class of classes may refuse to be hashed
        return list({id(kind): kind for kind in map(type, values)}.values())


def own_attributes(value: Any) -> dict[str, Any] | None:
    """Return the `__dict__` of an object, not a copy; None if it has none."""
    # Of a threading.local those of this thread, in which all of a sweep runs.
    kind: Any = threading.local if is_a(value, threading.local) else object
    try:
        found = kind.__getattribute__(value, "__dict__")
    except Exception:  # noqa: BLE001 - a class may make a property of it
        return None
    return found if is_a(found, dict) else None


def items(value: Any, most: int | None = None) -> list[Any]:
    """Return the items of a container, or the values of a dict; an empty list for other objects.

    Args:
        value: any object.
        most: return an empty list for a container with more items; None for no limit.
    """
    own = type(value)
    for kind in (own,) if own in CONTAINERS else CONTAINERS:
        if is_a(value, kind):
            if most is not None and kind.__len__(value) > most:
                return []
            return list(dict.values(value) if kind is dict else kind.__iter__(value))
    return []


CONTAINERS: tuple[Any, ...] = (dict, list, tuple, set, frozenset, collections.deque)
_TRAINED = (nn.Module, nn.Parameter)
# A longer container is data, such as a training set; its items are not read.
MAX_ITEMS = 1000
MANY = 30  # items, of which few are anything but samples


def slots(kind: type) -> list[Any]:
    """Return the descriptors of the `__slots__` of a class and its bases."""
    return [
        member
        for base in kind.__mro__
        if "__slots__" in vars(base)
        for member in vars(base).values()
        if type(member) is types.MemberDescriptorType
    ]


_NEVER_PLAIN = (type, BaseException, enum.Enum, weakref.ref, np.generic, nn.Module, torch.Tensor)


def closure_and_defaults(function: types.FunctionType) -> Iterator[Any]:
    """Yield the values in a function's closure, and the defaults of its arguments."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()


def held_by(function: types.FunctionType) -> Iterator[Any]:
    """Yield what a function uses besides its arguments: closure, defaults and globals.

    Globals of functions of torch, numpy and Python are left out.
    """
    yield from closure_and_defaults(function)
    scope = function.__globals__
    # Not `__module__`, which functools.wraps copies from the wrapped function.
    if is_from_a_library(scope.get("__name__")):
        return
    for name in names(function.__code__):
        if name in scope:
            yield scope[name]
            yield from _named_in(scope[name], function.__code__.co_names)


def _named_in(space: Any, attributes: Iterable[str]) -> Iterator[Any]:
    """Yield what a function reads from a user's class or module: `Config.crit`, `losses.centre`."""
    if isinstance(space, type):
        if not is_from_a_library(module_of(space)):
            yield from state_of_class(space)
    elif isinstance(space, types.ModuleType) and not is_from_a_library(space.__name__):
        for name in attributes:
            if name in vars(space):
                yield vars(space)[name]


@functools.lru_cache(maxsize=4096)
def names(code: types.CodeType) -> frozenset[str]:
    """Return the names of the globals that a code object and the functions in it read."""
    inner = [names(const) for const in code.co_consts if isinstance(const, types.CodeType)]
    # Not `co_names`, which includes attributes: `self.model` reads no global `model`.
    read = (i.argval for i in dis.get_instructions(code) if i.opname in _READS_A_GLOBAL)
    return frozenset(read).union(*inner)


_READS_A_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME")

# The depth to which references are followed: a loss calls a helper that uses the model.
_MAX_DEPTH = 4
# The maximum number of objects that are followed, and as many of samples.
_MAX_OBJECTS = 20_000


def used_by(*values: Any, containers: bool = False, classes: bool = True) -> Iterator[Any]:
    """Yield what functions, methods, partials, classes or objects use besides their arguments.

    References are followed, nearest first, and each object is yielded once. Modules are not
    followed, but for their classes.

    Args:
        values: the callables.
        containers: whether to follow the items of lists, dicts, tuples and sets.
        classes: whether to follow the user's classes of objects and of the parts of modules, with
            all methods, whether they are called or not.
    """
    seen: dict[int, Any] = {id(value): value for value in values}
    level = [(value, False) for value in values]
    # Of data there may be so much that nothing else would be found.
    left = {False: _MAX_OBJECTS, True: _MAX_OBJECTS}
    # An object and its attributes count as two levels, and so do its class and the methods.
    for _ in range(2 * _MAX_DEPTH + 2):
        nearest, level = [pair for pair in level if left[pair[1]] > 0], []
        for outer, in_data in nearest:
            held = [*_inside(outer, containers), *(_code_of(outer) if classes else ())]
            long = len(held) > MANY and is_a(outer, CONTAINERS)
            for item in held:
                if left[in_data] > 0 and id(item) not in seen and _is_followed(item):
                    is_data = in_data or (long and not is_a(item, torch.Tensor))
                    seen[id(item)], left[is_data] = item, left[is_data] - 1
                    level.append((item, is_data))
                    yield item


def is_state(value: Any) -> bool:
    """Return whether an object that a function uses is training state, not results or counters.

    State is a tensor, an array, a generator, an object of torch such as a scaler, an object with
    one of these within a few levels, or a dict with a tensor, such as averages by name. Other
    containers, and objects with only numbers and text, are records that users read after a sweep.
    """
    if is_a(value, dict):
        return any(is_a(item, torch.Tensor) for item in items(value, MAX_ITEMS))
    level, seen = [value], set[int]()
    for _ in range(_STATE_DEPTH if is_users(module_of(type(value))) else _WRAPPED_DEPTH):
        nearest, level = level, []
        for item in nearest:
            if is_a(item, _OBJECTS) or module_of(type(item)).startswith(_OF_TORCH):
                return True
            if id(item) in seen or len(seen) >= _STATE_OBJECTS:
                continue
            seen.add(id(item))
            if item is not value or is_plain(type(item)):
                level += _inside(item, containers=True)
    return False


# The maximum number of levels and objects that `is_state` examines. Of packages also wrappers of
# wrappers of an environment count; what the user's own count, `Variables` puts back.
_STATE_DEPTH = 4
_WRAPPED_DEPTH = 10
_STATE_OBJECTS = 1000


def functions_in(values: Iterable[Any]) -> list[Any]:
    """Return the functions, methods and partials in values, containers and plain objects, and the
    user's classes of those objects.

    A deep copy refers to the same functions and classes, and so to everything that they use.
    """
    seen: dict[int, Any] = {}
    found, level = [], list(values)
    for _ in range(_MAX_DEPTH):
        nearest, level = level, []
        for value in nearest:
            if type(value) in ATOMS or id(value) in seen:
                continue
            seen[id(value)] = value
            if is_a(value, FUNCTIONS):
                found.append(value)
            elif not is_shared(type(value)) and len(seen) < _MAX_OBJECTS:
                level += _inside(value, containers=True)
                if is_plain(type(value)) and _is_followed(type(value)):
                    found.append(type(value))
    return found


GENERATORS = (
    *(torch.Generator, random.Random),
    *(np.random.Generator, np.random.RandomState, np.random.BitGenerator),
    np.random.SeedSequence,
)
_STATE = (torch.Tensor, np.ndarray, nn.Module, torch.optim.Optimizer, *GENERATORS)
_OBJECTS = (*_STATE, torch.amp.GradScaler)
# A function in `functools.cache`.
CACHED = functools._lru_cache_wrapper
FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial, CACHED)


def _is_followed(value: Any) -> bool:
    return is_users(module_of(value)) if is_a(value, type) else type(value) not in ATOMS


def _code_of(value: Any) -> Iterator[Any]:
    """Yield the class of an object, or of the parts of a module; of a class also what it holds."""
    if is_a(value, type):
        yield from (type(value), *_members_of(value))
    elif is_a(value, nn.Module):
        yield from {type(part) for part in value.modules()}
    else:
        yield type(value)


def _members_of(kind: type) -> Iterator[Any]:
    """Yield the methods in the attributes of a class and its bases, and the data."""
    for base in kind.__mro__:
        if is_from_a_library(module_of(base)):
            continue
        for name, held in list(vars(base).items()):
            if is_a(held, (staticmethod, classmethod)):
                yield held.__func__
            elif is_a(held, property):
                yield from (held.fget, held.fset)
            elif is_a(held, functools.cached_property):
                yield held.func
            elif is_a(held, (types.FunctionType, CACHED)) or not name.startswith("__"):
                yield held


def _of(held: list[Any], kinds: tuple[type, ...]) -> list[Any]:
    """Return the items of some kinds; of millions of items the few types are compared."""
    found = [kind for kind in types_among(held) if issubclass(kind, kinds)]
    return [item for item in held if type(item) in found] if found else []


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
    elif is_a(value, CACHED):
        held = gc.get_referents(value)  # the function, and its results so far
        yield from held if len(held) <= MAX_ITEMS else _of(held, (*_TRAINED, *FUNCTIONS))
    elif is_a(value, CONTAINERS):
        if containers:
            held = items(value)
            yield from held if len(held) <= MAX_ITEMS else _of(held, _TRAINED)
    elif is_a(value, weakref.ref):
        yield weakref.ref.__call__(value)
    elif is_plain(type(value)):
        yield from list((own_attributes(value) or {}).values())
        yield from state_of_class(type(value))
        for slot in slots(type(value)):
            try:
                yield slot.__get__(value)
            except AttributeError:
                continue
