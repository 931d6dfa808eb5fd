"""Remember everything that training changes in a model and its optimizers; put it back bit for bit.

Weights and states are kept as copies of their storages, one for each, so that tied weights, views,
strides and any dtype come back exactly, at the addresses that fused and compiled code holds. The
memory is that of one copy of the weights, buffers and optimizer states.
"""

import collections
import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

Place = Literal["device", "cpu", "disk"]
PutBack = Callable[[], object]


class Backup:
    """The state of some models and optimizers at one moment; making it changes nothing.

    Args:
        subjects: models, loss functions with parameters, optimizers over them, and further objects
            that training changes, such as a GradScaler. Each is remembered with all that is in it:
            tensors with their gradients and flags, plain attributes, lists and dicts.
        place: where the copies of tensors are kept: on their own device, in CPU memory, or in a
            temporary file.

    Attributes:
        nbytes: bytes of the copies.
    """

    def __init__(self, subjects: Iterable[Any], place: Place) -> None:
        self.nbytes = 0
        self._place = place
        self._file: Any = None
        if place == "disk":
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close(); has no name
        self._storages: dict[tuple[torch.device, int], PutBack] = {}
        # By id, with the objects themselves, so that no id is used again.
        self._seen: dict[int, Any] = {}
        self._put_back: list[PutBack] = []
        try:
            for subject in subjects:
                self._remember(subject)
                self._remember(vars(subject))
        except BaseException:
            self.close()
            raise

    def set_gradients_aside(self) -> None:
        """Take the gradients off the tensors; `restore` puts the same objects back."""
        for value in self._seen.values():
            if isinstance(value, torch.Tensor) and value.is_leaf:
                value.grad = None

    def restore(self) -> None:
        """Put everything back; may be called again, also when it was broken off in the middle."""
        with torch.no_grad():
            for put_back in self._put_back:
                put_back()
            for put_back in self._storages.values():
                put_back()

    def close(self) -> None:
        """Let go of the copies."""
        self._put_back.clear()
        self._storages.clear()
        self._seen.clear()
        if self._file is not None:
            self._file.close()

    def _remember(self, value: Any) -> None:
        remember = _MUTABLE.get(type(value))
        if remember is None:
            if isinstance(value, torch.Tensor):
                remember = Backup._remember_tensor
            elif isinstance(value, (nn.Module, torch.optim.Optimizer)):
                remember = Backup._remember_attributes
            elif isinstance(value, tuple):
                remember = Backup._remember_items
            else:
                return
        if id(value) not in self._seen:  # tied weights; the optimizer's parameters are the model's
            self._seen[id(value)] = value
            remember(self, value)

    def _remember_attributes(self, value: Any) -> None:
        self._remember(vars(value))

    def _remember_items(self, value: Iterable[Any]) -> None:
        for item in value:
            self._remember(item)

    def _remember_dict(self, value: dict[Any, Any]) -> None:
        kept = dict(value)
        self._remember_items(kept.values())

        def put_back() -> None:
            # Never empty in between: another thread may be using the model.
            for key in [key for key in value if key not in kept]:
                del value[key]
            for key, item in kept.items():
                if key not in value or value[key] is not item:
                    value[key] = item
            if list(value) != list(kept):
                value.clear()
                value.update(kept)

        self._put_back.append(put_back)

    def _remember_list(self, value: list[Any] | collections.deque[Any]) -> None:
        kept = list(value)
        self._remember_items(kept)

        def put_back() -> None:
            if isinstance(value, list):
                value[:] = kept
            else:
                value.clear()
                value.extend(kept)

        self._put_back.append(put_back)

    def _remember_set(self, value: set[Any]) -> None:
        kept = set(value)

        def put_back() -> None:
            value.intersection_update(kept)
            value.update(kept)

        self._put_back.append(put_back)

    def _remember_generator(self, value: torch.Generator) -> None:
        kept = value.get_state()
        self._put_back.append(lambda: value.set_state(kept))

    def _remember_tensor(self, tensor: torch.Tensor) -> None:
        """Its values, its storage, its flags, its gradient."""
        put_values_back = self._values_of(tensor)
        if not tensor.is_leaf:
            self._put_back.append(put_values_back)
            return
        requires_grad, grad = tensor.requires_grad, tensor.grad

        def put_back() -> None:
            if not tensor.is_leaf:  # a buffer that was updated in place with a graph
                tensor.detach_()
            put_values_back()
            if tensor.requires_grad is not requires_grad:
                tensor.requires_grad_(requires_grad)
            # The gradient was set aside, not copied: the sweep made gradients of its own.
            if tensor.grad is not grad:
                tensor.grad = grad

        self._put_back.append(put_back)

    def _values_of(self, tensor: torch.Tensor) -> PutBack:
        if isinstance(tensor, (UninitializedParameter, UninitializedBuffer)):
            raise ValueError(
                "the model has lazy parameters without a shape yet; "
                "run it once on a batch before the sweep"
            )
        whole: Any = tensor
        if is_traceable_wrapper_subclass(whole):  # a DTensor, a quantized tensor
            names, _ = whole.__tensor_flatten__()
            # A DTensor names its device mesh among them.
            parts = [getattr(whole, name) for name in names]
            inner = [self._values_of(part) for part in parts if isinstance(part, torch.Tensor)]
            return lambda: [put_back() for put_back in inner]
        if tensor.layout is not torch.strided:
            saved = tensor.detach().clone()
            self.nbytes += _sparse_bytes(saved)

            def put_back_sparse() -> None:
                tensor.data = saved.clone()

            return put_back_sparse
        self._remember_storage(tensor.untyped_storage())
        data = tensor.detach()

        def put_back() -> None:
            if _geometry(tensor) != _geometry(data):
                tensor.data = data

        return put_back

    def _remember_storage(self, storage: Any) -> None:
        key = (storage.device, storage.data_ptr())
        if not key[1] or key in self._storages:
            return
        self.nbytes += storage.nbytes()
        if self._file is not None:
            self._storages[key] = self._to_file(storage)
            return
        stays = self._place == "device" or storage.device.type == "cpu"
        saved = storage.clone() if stays else storage.cpu()
        self._storages[key] = lambda: storage.copy_(saved)

    def _to_file(self, storage: Any) -> PutBack:
        file = self._file
        start = file.seek(0, os.SEEK_END)
        # The device by name, since the user may have set another default.
        flat = torch.empty(0, dtype=torch.uint8, device="cpu").set_(storage.cpu())
        file.write(memoryview(flat.numpy()))  # type: ignore[arg-type]

        def put_back() -> Any:
            file.seek(start)
            saved = torch.empty(storage.nbytes(), dtype=torch.uint8, device="cpu")
            file.readinto(memoryview(saved.numpy()))  # type: ignore[arg-type]
            return storage.copy_(saved.untyped_storage())

        return put_back


def _geometry(tensor: torch.Tensor) -> tuple[Any, ...]:
    return tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()


def _sparse_bytes(tensor: torch.Tensor) -> int:
    with contextlib.suppress(RuntimeError, NotImplementedError):
        return tensor.values().nbytes
    return tensor._values().nbytes


# Exact types: subclasses may refuse to be changed in ways that their bases allow.
_MUTABLE: dict[type, Callable[[Backup, Any], None]] = {
    dict: Backup._remember_dict,
    collections.OrderedDict: Backup._remember_dict,
    collections.defaultdict: Backup._remember_dict,
    collections.Counter: Backup._remember_dict,
    list: Backup._remember_list,
    collections.deque: Backup._remember_list,
    set: Backup._remember_set,
    torch.Generator: Backup._remember_generator,
}
