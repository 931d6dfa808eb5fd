"""Copies of the values of tensors, to put them back into the same memory.

One copy for each storage, so that tied weights, views, strides and any dtype come back exactly, at
the addresses that fused and compiled code holds.
"""

import contextlib
import ctypes
import os
import tempfile
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

Place = Literal["device", "cpu", "disk"]
PutBack = Callable[[], object]


class Copies:
    """The bytes of some storages at one moment.

    Args:
        place: where they are kept: on the tensors' own device, in CPU memory, or in a temporary
            file.

    Attributes:
        nbytes: bytes of the copies.
        file: the temporary file, where there is one.
    """

    def __init__(self, place: Place) -> None:
        self.nbytes = 0
        self.file: Any = None
        self._place = place
        if place == "disk":
            self.file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close(); has no name
        self._storages: dict[tuple[torch.device, int], PutBack] = {}
        self._pairs: list[tuple[Any, Any]] = []

    def changed(self) -> bool:
        """Whether any of the bytes are others now; not to be asked of copies in a file."""
        return any(
            storage.nbytes() != saved.nbytes()
            or not torch.equal(_bytes_of(storage).to(saved.device), _bytes_of(saved))
            for storage, saved in self._pairs
        )

    def put_back(self) -> list[PutBack]:
        """What puts the bytes back."""
        return list(self._storages.values())

    def close(self) -> None:
        """Let go of the copies."""
        self._storages.clear()
        self._pairs.clear()
        if self.file is not None:
            self.file.close()

    def of(self, tensor: torch.Tensor) -> PutBack:
        """Keep the values of a tensor.

        Returns:
            What puts its own way to look at them back; `put_back` has what does so with the values.

        Raises:
            ValueError: it has no values yet.
        """
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
            inner = [self.of(part) for part in parts if isinstance(part, torch.Tensor)]
            return lambda: [put_back() for put_back in inner]
        if tensor.layout is not torch.strided:
            saved = tensor.detach().clone()
            self.nbytes += _sparse_bytes(saved)

            def put_back_sparse() -> None:
                tensor.data = saved.clone()

            return put_back_sparse
        self._keep(tensor.untyped_storage())
        data = tensor.detach()

        def put_back() -> None:
            if _geometry(tensor) != _geometry(data):
                tensor.data = data

        return put_back

    def _keep(self, storage: Any) -> None:
        key = (storage.device, storage.data_ptr())
        if not key[1] or key in self._storages:
            return
        self.nbytes += storage.nbytes()
        if self.file is not None:
            self._storages[key] = self._to_file(storage)
            return
        stays = self._place == "device" or storage.device.type == "cpu"
        saved = storage.clone() if stays else storage.cpu()
        self._pairs.append((storage, saved))
        self._storages[key] = lambda: _sized(storage, saved.nbytes()).copy_(saved)

    def _to_file(self, storage: Any) -> PutBack:
        file = self.file
        start = file.seek(0, os.SEEK_END)
        size, bytes_here = storage.nbytes(), storage.cpu()
        # Not by way of numpy, after which a storage cannot be resized any more.
        file.write((ctypes.c_ubyte * size).from_address(bytes_here.data_ptr()))

        def put_back() -> Any:
            file.seek(start)
            # The device by name, since the user may have set another default.
            saved = torch.empty(size, dtype=torch.uint8, device="cpu")
            file.readinto(memoryview(saved.numpy()))  # type: ignore[arg-type]
            return _sized(storage, size).copy_(saved.untyped_storage())

        return put_back


def _sized(storage: Any, nbytes: int) -> Any:
    """A storage in the size that it had: tensors may have been resized in place meanwhile."""
    if storage.nbytes() != nbytes:
        storage.resize_(nbytes)
    return storage


def _bytes_of(storage: Any) -> torch.Tensor:
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)


def _geometry(tensor: torch.Tensor) -> tuple[Any, ...]:
    return tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()


def _sparse_bytes(tensor: torch.Tensor) -> int:
    with contextlib.suppress(RuntimeError, NotImplementedError):
        return tensor.values().nbytes
    return tensor._values().nbytes
