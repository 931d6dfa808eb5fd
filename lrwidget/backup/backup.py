"""Back up everything that training changes in a model and its optimizers; restore it bit for bit.

Each storage of weights and states is copied once, so that tied weights, views, strides and any
dtype are restored exactly, at the addresses that fused and compiled code uses. The copies need the
memory of the weights, buffers and optimizer states.

Other objects are traversed: containers, plain objects, numpy arrays, random generators, attributes
of tensors, and the variables that functions use. Lists, dicts and numbers that only a function or
the object of a hook holds are left to `Variables`.
"""

import collections
import functools
import types
from array import array
from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from lrwidget.backup import walk
from lrwidget.backup.array_contents import contents_of_array, is_memory_mapped
from lrwidget.backup.interrupts import finish
from lrwidget.backup.objects import MAX_BYTES, in_order
from lrwidget.backup.origin import module_of
from lrwidget.backup.reach import is_at_work
from lrwidget.backup.rng import remember_generator
from lrwidget.backup.tensor_copies import Copies, Place, PutBack, is_leaf, set_gradient
from lrwidget.backup.variables import put_attributes_back

# The number of objects to traverse, nearest first, besides modules and tensors. Beyond it the
# objects are data that a model refers to, not its state.
MAX_OBJECTS = 200_000


class Backup:
    """A copy of the state of models and optimizers; making it changes nothing.

    Args:
        subjects: models, loss functions, optimizers, and further objects that training changes,
            such as a GradScaler. Each is backed up with everything in it: tensors with their
            gradients and flags, attributes, containers, arrays, generators.
        place: where the copies of tensors are kept: on the device of each, in CPU memory, or in a
            temporary file.
        without: ids of tensors whose values are not copied, only their gradients and attributes.
        leave: objects to leave out, together with what only they refer to.
    """

    def __init__(
        self,
        subjects: Iterable[Any],
        place: Place,
        *,
        without: Collection[int] = (),
        leave: Iterable[Any] = (),
    ) -> None:
        self._of_arrays = 0
        self._without = without
        self._left = {id(value): value for value in leave}
        # The objects are kept alive, so that no id is reused.
        self._seen: dict[int, Any] = {}
        self._put_back: list[PutBack] = []
        self._methods: dict[type, BackupMethod | None] = {}
        self._queue: collections.deque[tuple[BackupMethod, Any]] = collections.deque()
        # Created last, so that an interrupt before leaves no file open.
        self._copies = Copies(place)
        self._file = self._copies.file
        try:
            for subject in subjects:
                self._remember_subject(subject)
            self._walk()
        except BaseException:
            self.close()
            raise

    @property
    def nbytes(self) -> int:
        """The size of the copies in bytes."""
        return self._copies.nbytes + self._of_arrays

    def set_gradients_aside(self) -> None:
        """Set the gradients of all leaf tensors to None; `restore` puts the same objects back.

        Views of a flat buffer stay, with zeros, since the optimizer may read the buffer.
        """
        for tensor in filter(is_leaf, self.tensors()):
            if tensor.grad is not None and id(tensor.grad) in self._seen:
                tensor.grad.zero_()
            else:
                tensor.grad = None

    def tensors(self) -> list[torch.Tensor]:
        """Return the tensors that are backed up."""
        return [value for value in self._seen.values() if walk.is_a(value, torch.Tensor)]

    def changed(self) -> bool:
        """Return whether the values of any copied tensor have changed."""
        return self._copies.changed()

    def restore(self) -> None:
        """Restore everything; may be called repeatedly, also after an interrupted call.

        Raises:
            Exception: the last error of a class that refused to have an attribute set, after
                everything else is restored.
        """
        with torch.no_grad():
            finish((*self._put_back, *self._copies.put_back()))

    def close(self) -> None:
        """Release the copies."""
        self._put_back.clear()
        self._seen.clear()
        self._queue.clear()
        self._copies.close()

    def _remember_subject(self, subject: Any) -> None:
        self._remember(subject)
        if id(subject) not in self._seen and hasattr(subject, "__dict__"):
            self._remember(vars(subject))

    def _walk(self) -> None:
        while self._queue:
            method, value = self._queue.popleft()
            method(self, value)

    def _remember(self, value: Any) -> None:
        kind = type(value)
        if kind in walk.ATOMS or id(value) in self._seen or id(value) in self._left:
            return  # such as tied weights, and parameters in an optimizer
        if kind not in self._methods:
            self._methods[kind] = _method_for(kind)
        method = self._methods[kind]
        if method is None:
            return
        if len(self._seen) > MAX_OBJECTS and not walk.is_a(value, _OF_TORCH):
            return
        self._seen[id(value)] = value
        self._queue.append((method, value))

    def _remember_items(self, value: Iterable[Any]) -> None:
        for item in value:
            self._remember(item)

    def _remember_object(self, value: Any) -> None:
        attributes = walk.own_attributes(value)
        if attributes is not None and not (is_at_work(attributes) or _has_loaders(attributes)):
            self._remember_attributes(attributes)
        for slot in walk.slots(type(value)):
            self._remember_slot(slot, value)

    def _remember_attributes(self, attributes: dict[str, Any]) -> None:
        kept = walk.at_rest(attributes)
        if len(kept) == len(attributes):
            self._remember(attributes)
            return
        self._remember_items(kept.values())
        self._put_back.append(functools.partial(put_attributes_back, attributes, kept))

    def _remember_slot(self, slot: Any, value: Any) -> None:
        kept = _slot_value(slot, value)
        self._remember(kept)

        def put_back() -> None:
            if _slot_value(slot, value) is kept:
                return
            if kept is _MISSING:
                slot.__delete__(value)
            else:
                slot.__set__(value, kept)

        self._put_back.append(put_back)

    def _remember_with_hooks(self, value: Any) -> None:
        """Back up a module or an optimizer."""
        for name, held in list(vars(value).items()):
            if name.endswith("_hooks") and isinstance(held, dict):
                self._remember_hooks(held)
        self._remember(vars(value))

    def _remember_hooks(self, hooks: dict[Any, Any]) -> None:
        if id(hooks) in self._seen:
            return
        self._seen[id(hooks)] = hooks
        self._keep_items(hooks)
        for hook in hooks.values():
            self._remember_items(item for item in walk.used_by(hook) if walk.is_a(item, _STATE))

    def _remember_module(self, module: nn.Module) -> None:
        self._remember_with_hooks(module)
        if isinstance(module, torch.jit.ScriptModule):
            self._remember_scripted(module)

    def _remember_scripted(self, module: torch.jit.ScriptModule) -> None:
        """Back up the state that a scripted module has outside of Python."""
        self._remember_items(module.parameters())
        self._remember_items(module.buffers())
        self._remember_items(module.children())
        inner: Any = vars(module).get("_c")
        described: Any = vars(module).get("_concrete_type")
        for name in described.get_attributes() if described is not None else ():
            kept = inner.getattr(name)
            self._remember(kept)
            self._put_back.append(functools.partial(inner.setattr, name, kept))

    def _remember_dict(self, value: dict[Any, Any]) -> None:
        self._keep_items(value)
        self._remember_items(dict.values(value))
        self._remember_subclass_attributes(value)

    def _keep_items(self, value: dict[Any, Any]) -> None:
        # Use the methods of the base class: those of a subclass may have side effects.
        base: Any = collections.OrderedDict
        base = base if isinstance(value, base) else dict
        held = dict(base.items(value))

        def put_back() -> None:
            kept = and_of_reducer(held, value)
            # The dict is never emptied: another thread may be using the model.
            for key in [key for key in base.keys(value) if key not in kept]:
                base.__delitem__(value, key)
            for key, item in kept.items():
                if dict.get(value, key, _MISSING) is not item:
                    base.__setitem__(value, key, item)
            if not in_order(base.keys(value), kept):
                base.clear(value)
                base.update(value, kept)

        self._put_back.append(put_back)

    def _remember_list(self, value: list[Any] | collections.deque[Any]) -> None:
        kept = walk.items(value)
        self._remember_items(kept)

        def put_back() -> None:
            if isinstance(value, list):
                list.__setitem__(value, slice(None), kept)
            else:
                collections.deque.clear(value)
                collections.deque.extend(value, kept)

        self._put_back.append(put_back)
        self._remember_subclass_attributes(value)

    def _remember_set(self, value: set[Any]) -> None:
        kept = set(walk.items(value))
        self._remember_items(kept)

        def put_back() -> None:
            set.intersection_update(value, kept)
            set.update(value, kept)

        self._put_back.append(put_back)
        self._remember_subclass_attributes(value)

    def _remember_subclass_attributes(self, value: Any) -> None:
        """Back up the attributes of an instance of a container subclass."""
        if hasattr(value, "__dict__"):
            self._remember_object(value)

    def _remember_bytes(self, value: Any) -> None:
        kept = value[:]

        def put_back() -> None:
            value[:] = kept

        self._put_back.append(put_back)

    def _remember_array(self, value: np.ndarray[Any, Any]) -> None:
        is_data = value.nbytes > MAX_BYTES and is_memory_mapped(value)
        if is_data or not value.flags.writeable:
            return
        plain = value.view(np.ndarray)
        self._of_arrays += plain.nbytes
        if value.dtype.hasobject and not value.dtype.names:
            self._remember_items(plain.copy().flat)
        self._put_back.append(contents_of_array(plain))
        self._remember_subclass_attributes(value)

    def _remember_partial(self, value: functools.partial[Any]) -> None:
        self._remember_items((value.func, *value.args))
        self._remember(value.keywords)

    def _remember_method(self, value: types.MethodType) -> None:
        self._remember(value.__self__)
        self._remember(value.__func__)

    def _remember_function(self, value: types.FunctionType) -> None:
        self._remember_items(
            item for item in walk.held_by(value) if type(item) not in _RESULT_TYPES
        )

    def _remember_generator(self, value: Any) -> None:
        if put_back := remember_generator(value):
            self._put_back.append(put_back)

    def _remember_tensor(self, tensor: torch.Tensor) -> None:
        """Back up the values, storage, flags, gradient, hooks and attributes of a tensor."""
        put_values_back = (
            _restore_nothing if id(tensor) in self._without else self._copies.of(tensor)
        )
        self._remember(vars(tensor))
        hooks = [
            (name, getattr(tensor, name))
            for name in ("_backward_hooks", "_post_accumulate_grad_hooks")
        ]
        for _, held in hooks:
            if held is not None:
                self._remember_hooks(held)
        if not is_leaf(tensor):
            self._put_back.append(put_values_back)
            return
        requires_grad, grad = tensor.requires_grad, tensor.grad
        if walk.is_view_of_more(grad):
            self._remember(grad)

        def put_back() -> None:
            if not is_leaf(tensor):  # an in-place update gave a buffer a graph
                tensor.detach_()
            put_values_back()
            if tensor.requires_grad is not requires_grad:
                tensor.requires_grad_(requires_grad)
            # `set_gradients_aside` removed it from the tensor, or its values are backed up too.
            if tensor.grad is not grad:
                set_gradient(tensor, grad)
            for name, held in hooks:
                if held is None and getattr(tensor, name):
                    getattr(tensor, name).clear()

        self._put_back.append(put_back)


def _restore_nothing() -> None:
    """Do nothing; restores a tensor whose values are not copied."""


_MISSING: Any = object()


def and_of_reducer(kept: dict[Any, Any], now: dict[Any, Any]) -> dict[Any, Any]:
    """Return kept attributes, of a DistributedDataParallel with what its reducer now knows.

    The reducer cannot forget a static graph.
    """
    name = "_static_graph_delay_allreduce_enqueued"
    known = dict.get(now, name, _MISSING)
    return kept if known is _MISSING else {**kept, name: known}


def _has_loaders(attributes: dict[str, Any]) -> bool:
    """Return whether an object has a loader: a training loop, whose own lists its user reads."""
    held = list(attributes.values())  # another thread may set some
    return any(module_of(type(item)).startswith("torch.utils.data") for item in held)


def _slot_value(slot: Any, value: Any) -> Any:
    try:
        return slot.__get__(value)
    except AttributeError:
        return _MISSING


def _method_for(kind: type) -> "BackupMethod | None":
    """Return the method that backs up objects of a type; None if they are left unchanged."""
    for base, method in _METHODS:
        if issubclass(kind, base):
            return method
    return Backup._remember_object if walk.is_plain(kind) else None


BackupMethod = Callable[[Backup, Any], None]

_OF_TORCH = (torch.Tensor, nn.Module, torch.optim.Optimizer)
_STATE = (*_OF_TORCH, *walk.GENERATORS)
_RESULT_TYPES = frozenset(
    {dict, list, set, tuple, collections.deque, collections.defaultdict, bytearray}
)
_METHODS: tuple[tuple[type | tuple[type, ...], BackupMethod], ...] = (
    (torch.Tensor, Backup._remember_tensor),
    (nn.Module, Backup._remember_module),
    (torch.optim.Optimizer, Backup._remember_with_hooks),
    (dict, Backup._remember_dict),
    ((list, collections.deque), Backup._remember_list),
    (set, Backup._remember_set),
    ((tuple, frozenset), Backup._remember_items),
    ((bytearray, array), Backup._remember_bytes),
    (np.ndarray, Backup._remember_array),
    (functools.partial, Backup._remember_partial),
    (types.MethodType, Backup._remember_method),
    (types.FunctionType, Backup._remember_function),
    (walk.GENERATORS, Backup._remember_generator),
)
