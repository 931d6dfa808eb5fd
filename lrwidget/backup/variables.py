"""Restore what functions of the user's set besides tensors: counters, warm-ups, last values."""

import array
import collections
import contextlib
import contextvars
import dis
import functools
import gc
import operator
import types
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from lrwidget.backup import walk
from lrwidget.backup.interrupts import finish
from lrwidget.backup.objects import PutBack, entries, filled_slots, in_order
from lrwidget.backup.origin import is_from_a_library, is_users, module_of
from lrwidget.backup.rng import is_generator, remember_generator


class Variables:
    """Variables that functions declare `nonlocal` or `global`, and the places of what they use.

    Places are attributes of objects, functions, classes and modules, and the items of lists and
    dicts. They refer to the same objects afterwards. What was added to a list or dict is taken for
    notes, and stays, but for tensors that the functions read again, such as a memory; and so does
    what a Counter has counted. The values of tensors and arrays are left to `Backup`, and installed
    packages alone. Random generators among what is used are put back.

    Args:
        functions: the functions, methods, partials, callable objects and classes.
    """

    def __init__(self, functions: Iterable[Any]) -> None:
        given = list(functions)
        used = [*given, *walk.used_by(*given, containers=True)]
        read = _read_again(used)
        self._put_back: list[PutBack] = []
        for value in {id(value): value for value in used}.values():
            self._put_back += _places_of(value, id(value) in read)

    def restore(self) -> None:
        """Restore everything; may be called repeatedly."""
        finish(self._put_back)

    def close(self) -> None:
        """Release what was kept."""
        self._put_back.clear()


def _places_of(value: Any, read: bool) -> Iterator[PutBack]:
    kind = type(value)
    if walk.is_a(value, type):
        for base in value.__mro__:
            if not is_from_a_library(module_of(base)):
                yield functools.partial(_put_class_back, base, _data_of(base))
    elif kind is types.FunctionType:
        if _is_users(value):
            yield entries(dict, vars(value))
            yield from _variables_of(value)
    elif is_generator(value):
        if put_back := remember_generator(value):
            yield put_back
    elif kind is walk.CACHED:
        if is_users(value.__module__):
            yield from _cache_of(value)
    elif kind is contextvars.ContextVar:
        with contextlib.suppress(LookupError):  # not set yet
            yield functools.partial(_put_context_back, value, value.get())
    elif kind in _CONTAINERS:
        yield from _items_of(value, read)
    elif walk.is_plain(kind) and not walk.is_shared(kind) and _is_own(module_of(kind)):
        yield from _items_of(value, read)
        attributes = walk.own_attributes(value)
        if attributes is not None:
            yield functools.partial(put_attributes_back, attributes, walk.at_rest(attributes))
        if slots := walk.slots(kind):
            yield filled_slots(value, slots)


def _cache_of(function: Any) -> Iterator[PutBack]:
    """Forget results that the swept weights or other random numbers have made."""
    if function.cache_parameters()["maxsize"] is None:
        tables = (held for held in gc.get_referents(function) if type(held) is dict)
        for table in tables:
            if table is not vars(function):
                yield functools.partial(_put_results_back, table, dict(table))
    elif not function.cache_info().currsize:
        yield function.cache_clear


def _put_results_back(table: dict[Any, Any], kept: dict[Any, Any]) -> None:
    # There may be very many. They are only ever added, or all forgotten.
    while len(table) > len(kept):
        table.popitem()
    if len(table) < len(kept) or any(map(operator.is_not, table, kept)):
        table.clear()
        table.update(kept)


def _items_of(value: Any, read: bool) -> Iterator[PutBack]:
    # The methods of the base classes: those of a subclass may do more.
    base: Any = next((one for one in _BASES if walk.is_a(value, one)), None)
    if base is None or base.__len__(value) > _MOST_ITEMS:
        return
    if issubclass(base, dict):
        yield functools.partial(_put_keys_back, base, value, dict(base.items(value)))
    elif base is set:
        yield functools.partial(set.update, value, set(set.__iter__(value)))
    elif base in (bytearray, array.array):
        yield functools.partial(base.__setitem__, value, slice(base.__len__(value)), value[:])
    else:
        kept = tuple(base.__iter__(value))
        yield functools.partial(_put_items_back, base, value, kept, read)


def _read_again(used: Iterable[Any]) -> set[int]:
    """Return the ids of what functions use by name in other ways than to add to it."""
    functions = [value for value in used if type(value) is types.FunctionType and _is_users(value)]
    names = frozenset().union(*(_names_read(function.__code__) for function in functions))
    spaces = [walk.own_attributes(value) or {} for value in used if walk.is_plain(type(value))]
    spaces += [dict(vars(value)) for value in used if walk.is_a(value, type)]
    for function in functions:
        spaces.append(dict(zip(function.__code__.co_freevars, _cells(function), strict=True)))
        spaces.append(function.__globals__)
    return {id(space[name]) for space in spaces for name in names & space.keys()}


@functools.lru_cache(maxsize=4096)
def _names_read(code: types.CodeType) -> frozenset[str]:
    inner = [_names_read(const) for const in code.co_consts if isinstance(const, types.CodeType)]
    steps = list(dis.get_instructions(code))
    return frozenset(
        str(this.argval)
        for this, following in zip(steps, [*steps[1:], steps[-1]], strict=True)
        if this.opname in _LOADS
        and not (following.opname in _LOADS and following.argval in ("append", "extend"))
    ).union(*inner)


_LOADS = ("LOAD_DEREF", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_ATTR", "LOAD_METHOD")


def _variables_of(function: types.FunctionType) -> Iterator[PutBack]:
    code, scope = function.__code__, function.__globals__
    in_closure, in_module, attributes = _set_by(code)
    for name, cell, kept in zip(
        code.co_freevars, function.__closure__ or (), _cells(function), strict=True
    ):
        if name in in_closure:
            yield functools.partial(_put_cell_back, cell, kept)
    places = [(scope, name) for name in in_module]
    for space in walk.held_by(function) if attributes else ():
        if type(space) is types.ModuleType and is_users(space.__name__):
            places += [(vars(space), name) for name in attributes]
    for space, name in places:
        yield functools.partial(_put_global_back, space, name, space.get(name, _MISSING))


@functools.lru_cache(maxsize=4096)
def _set_by(code: types.CodeType) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Return the names of the closure's variables, globals and attributes that code sets."""
    closure, scope, attributes = set(), set(), set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("STORE_DEREF", "DELETE_DEREF"):
            closure.add(instruction.argval)
        elif instruction.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            scope.add(instruction.argval)
        elif instruction.opname in ("STORE_ATTR", "DELETE_ATTR"):
            attributes.add(instruction.argval)
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            of_closure, of_scope, of_objects = _set_by(inner)
            closure |= of_closure & set(inner.co_freevars)
            scope |= of_scope
            attributes |= of_objects
    return frozenset(closure & set(code.co_freevars)), frozenset(scope), frozenset(attributes)


def _is_own(module: Any) -> bool:
    """Return whether objects of a class of this module are the user's, or namespaces."""
    return module in ("types", "argparse", "_thread") or is_users(module)


def _is_users(function: types.FunctionType) -> bool:
    # Not `__module__`, which functools.wraps copies from the wrapped function.
    return is_users(function.__globals__.get("__name__"))


def _cells(function: types.FunctionType) -> list[Any]:
    return [_content(cell) for cell in function.__closure__ or ()]


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return _MISSING


def _put_cell_back(cell: types.CellType, kept: Any) -> None:
    if kept is not _MISSING:
        cell.cell_contents = kept
    elif _content(cell) is not _MISSING:
        del cell.cell_contents


def _put_context_back(variable: contextvars.ContextVar[Any], kept: Any) -> None:
    if variable.get() is not kept:
        variable.set(kept)


def _put_global_back(scope: dict[str, Any], name: str, kept: Any) -> None:
    if kept is _MISSING:
        scope.pop(name, None)
    else:
        scope[name] = kept


def _data_of(kind: type) -> dict[str, Any]:
    """Return the data in the attributes of a class, without methods and other descriptors."""
    return {
        name: value
        for name, value in walk.at_rest(dict(vars(kind))).items()
        if not name.startswith(("__", "_abc_")) and not hasattr(type(value), "__get__")
    }


def _put_class_back(kind: type, kept: dict[str, Any]) -> None:
    now = _data_of(kind)
    # The methods of `type`, since a metaclass may refuse, or do more.
    for name in now.keys() - kept.keys():
        type.__delattr__(kind, name)
    for name, value in kept.items():
        if now.get(name, _MISSING) is not value:
            type.__setattr__(kind, name, value)


def put_attributes_back(attributes: dict[str, Any], kept: dict[str, Any]) -> None:
    """Restore the attributes of an object that are at rest, and leave the others."""
    for name in walk.at_rest(attributes).keys() - kept.keys():
        attributes.pop(name, None)
    attributes.update(
        (name, value) for name, value in kept.items() if attributes.get(name, _MISSING) is not value
    )


def _put_items_back(base: Any, value: Any, kept: tuple[Any, ...], read: bool) -> None:
    added = list(base.__iter__(value))[len(kept) :]
    window = base is collections.deque and value.maxlen is not None
    notes = [] if window or (read and any(map(_has_tensors, added))) else added
    if base is list:
        list.__setitem__(value, slice(None), [*kept, *notes])
    else:
        base.clear(value)
        base.extend(value, [*kept, *notes])


def _has_tensors(value: Any) -> bool:
    return any(walk.is_a(item, _TENSORS) for item in (value, *walk.items(value, walk.MAX_ITEMS)))


def _put_keys_back(base: Any, value: Any, kept: dict[Any, Any]) -> None:
    # Averages and the like are made at the first step, and so are the instances of singletons.
    added = [(k, v) for k, v in list(base.items(value)) if k not in kept]
    for key in [k for k, v in added if k is type(v) or walk.is_state(v)]:
        base.pop(value, key, None)
    base.update(value, kept)
    order = list(base.keys(value))
    if not in_order(order[: len(kept)], kept):
        notes = {key: item for key, item in list(base.items(value)) if key not in kept}
        base.clear(value)
        base.update(value, {**kept, **notes})


_BASES = (list, collections.deque, collections.OrderedDict, dict, set, bytearray, array.array)
_CONTAINERS = (*_BASES, collections.defaultdict)
# The items of longer ones are data.
_MOST_ITEMS = 100_000
_TENSORS = (torch.Tensor, np.ndarray)
_MISSING: Any = object()
