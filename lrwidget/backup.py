"""Remember everything that training changes in a model and its optimizers; put it back bit for bit.

Weights and states are kept as copies of their storages, one for each, so that tied weights, views,
strides and any dtype come back exactly, at the addresses that fused and compiled code holds. The
memory is that of one copy of the weights, buffers and optimizer states.
"""

import os
import tempfile
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

Place = Literal["device", "cpu", "disk"]
PutBack = Callable[[], Any]


class Backup:
    """The state of some models and optimizers at one moment.

    Args:
        modules: models, and loss functions with parameters.
        optimizers: optimizers over them.
        others: further objects that training changes, such as a GradScaler.
        place: where the copies of tensors are kept: on their own device, in CPU memory, or in a
            temporary file.
    """

    def __init__(
        self,
        modules: list[nn.Module],
        optimizers: list[torch.optim.Optimizer],
        others: list[Any],
        place: Place,
    ) -> None:
        self._place = place
        self._file: Any = None
        if place == "disk":
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close(); has no name
        self._storages: dict[tuple[torch.device, int], PutBack] = {}
        self._seen: set[int] = set()
        self._put_back: list[PutBack] = []
        for module in modules:
            for part in module.modules():
                self._remember_module(part)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    self._remember_parameter(parameter)
            self._put_back.append(self._remember(vars(optimizer)))
        for other in others:
            self._put_back.append(self._remember(vars(other)))

    def restore(self) -> None:
        """Put everything back; may be called again, to begin once more from the same state."""
        with torch.no_grad():
            for put_back in self._put_back:
                put_back()
            for put_back in self._storages.values():
                put_back()

    def close(self) -> None:
        """Let go of the copies."""
        self._put_back.clear()
        self._storages.clear()
        if self._file is not None:
            self._file.close()

    def _remember_module(self, module: nn.Module) -> None:
        training = module.training
        parameters, buffers = dict(module._parameters), dict(module._buffers)
        plain = {k: v for k, v in vars(module).items() if isinstance(v, (bool, int, float, str))}
        for tensor in (*parameters.values(), *buffers.values()):
            if tensor is not None:
                self._remember_parameter(tensor)

        def put_back() -> None:
            module._parameters.clear()
            module._parameters.update(parameters)
            module._buffers.clear()
            module._buffers.update(buffers)
            vars(module).update(plain)
            module.training = training

        self._put_back.append(put_back)

    def _remember_parameter(self, tensor: torch.Tensor) -> None:
        """A parameter or buffer: its values, its storage, its flags, its gradient."""
        if id(tensor) in self._seen:  # tied weights; the optimizer's parameters are the model's
            return
        self._seen.add(id(tensor))
        put_values_back = self._remember_tensor(tensor)
        if not tensor.is_leaf:
            self._put_back.append(put_values_back)
            return
        requires_grad, grad = tensor.requires_grad, tensor.grad
        # Set aside, not copied: the sweep makes gradients of its own.
        tensor.grad = None

        def put_back() -> None:
            put_values_back()
            tensor.requires_grad_(requires_grad)
            tensor.grad = grad

        self._put_back.append(put_back)

    def _remember(self, value: Any) -> PutBack:
        """Remember a container with all that is in it; gives what restores and returns it."""
        if isinstance(value, torch.Tensor):
            return self._remember_tensor(value)
        if isinstance(value, dict):
            entries = [(key, self._remember(item)) for key, item in value.items()]

            def put_back_dict() -> Any:
                kept = [(key, put_back()) for key, put_back in entries]
                value.clear()
                value.update(kept)
                return value

            return put_back_dict
        if isinstance(value, list):
            items = [self._remember(item) for item in value]

            def put_back_list() -> Any:
                value[:] = [put_back() for put_back in items]
                return value

            return put_back_list
        if isinstance(value, torch.optim.Optimizer):  # an optimizer inside an optimizer (SAM)
            inner = self._remember(vars(value))

            def put_back_optimizer() -> Any:
                inner()
                return value

            return put_back_optimizer
        if isinstance(value, (tuple, defaultdict)) and any(
            isinstance(item, torch.Tensor) for item in value
        ):
            for item in value:
                self._remember(item)
        return lambda: value

    def _remember_tensor(self, tensor: torch.Tensor) -> PutBack:
        if isinstance(tensor, (UninitializedParameter, UninitializedBuffer)):
            raise ValueError(
                "the model has lazy parameters without a shape yet; "
                "run it once on a batch before the sweep"
            )
        whole: Any = tensor
        if is_traceable_wrapper_subclass(whole):  # a DTensor, a quantized tensor
            names, _ = whole.__tensor_flatten__()
            inner = [self._remember_tensor(getattr(whole, name)) for name in names]

            def put_back_inner() -> torch.Tensor:
                for put_back in inner:
                    put_back()
                return tensor

            return put_back_inner
        if tensor.layout is not torch.strided:
            saved = tensor.detach().clone()

            def put_back_sparse() -> torch.Tensor:
                tensor.data = saved.clone()
                return tensor

            return put_back_sparse
        self._remember_storage(tensor.untyped_storage())
        data = tensor.detach()

        def put_back() -> torch.Tensor:
            moved = tensor.data_ptr() != data.data_ptr() or tensor.shape != data.shape
            if moved or tensor.stride() != data.stride():
                tensor.data = data
            return tensor

        return put_back

    def _remember_storage(self, storage: Any) -> None:
        key = (storage.device, storage.data_ptr())
        if not key[1] or key in self._storages:
            return
        if self._file is not None:
            self._storages[key] = self._to_file(storage)
            return
        stays = self._place == "device" or storage.device.type == "cpu"
        saved = storage.clone() if stays else storage.cpu()
        self._storages[key] = lambda: storage.copy_(saved)

    def _to_file(self, storage: Any) -> PutBack:
        file = self._file
        start = file.seek(0, os.SEEK_END)
        flat = torch.empty(0, dtype=torch.uint8).set_(storage.cpu())
        file.write(memoryview(flat.numpy()))  # type: ignore[arg-type]

        def put_back() -> Any:
            file.seek(start)
            saved = torch.empty(storage.nbytes(), dtype=torch.uint8)
            file.readinto(memoryview(saved.numpy()))  # type: ignore[arg-type]
            return storage.copy_(saved.untyped_storage())

        return put_back
