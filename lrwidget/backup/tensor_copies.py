"""Copies of the values of tensors, which are restored into the same memory.

Each storage is copied once, so that tied weights, views, strides and any dtype are restored
exactly, at the addresses that fused and compiled code uses.
"""

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
    """Copies of the bytes of storages.

    Args:
        place: where the copies are kept: on the device of each tensor, in CPU memory, or in a
            temporary file.

    Attributes:
        nbytes: the size of the copies in bytes.
        file: the temporary file, or None.
    """

    def __init__(self, place: Place) -> None:
        self.nbytes: int = 0
        self.file: Any = None
        self._place = place
        if place == "disk":
            self.file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close(); has no name
        self._storages: dict[tuple[torch.device, int, int], PutBack] = {}
        self._pairs: list[tuple[Any, Any]] = []

    def changed(self) -> bool:
        """Return whether any copied bytes have changed; ignores copies in a file."""
        return any(
            storage.nbytes() != saved.nbytes()
            or not torch.equal(_bytes_of(storage).to(saved.device), _bytes_of(saved))
            for storage, saved in self._pairs
        )

    def put_back(self) -> list[PutBack]:
        """Return functions that restore the bytes."""
        return list(self._storages.values())

    def close(self) -> None:
        """Release the copies and close the file."""
        self._storages.clear()
        self._pairs.clear()
        if self.file is not None:
            self.file.close()

    def of(self, tensor: torch.Tensor) -> PutBack:
        """Copy the values of a tensor.

        Returns:
            A function that restores the tensor's view of its storage (address, dtype, shape,
            strides); the functions of `put_back` restore the values.

        Raises:
            ValueError: the tensor is a lazy parameter without values.
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
            self.nbytes += nbytes_of(saved)

            def put_back_sparse() -> None:
                if tensor.layout not in _COMPRESSED:
                    tensor.data = saved.clone()
                    return
                # Setting `data` does nothing to these, without a word.
                if tensor.shape != saved.shape or tensor._nnz() != saved._nnz():
                    tensor.resize_as_sparse_(saved)
                tensor.copy_(saved)

            return put_back_sparse
        self._keep(tensor.untyped_storage())
        data = tensor.detach()

        def put_back() -> None:
            if _geometry(tensor) != _geometry(data):
                tensor.data = data

        return put_back

    def _keep(self, storage: Any) -> None:
        # With the size, since storages of one array may begin at one address and end elsewhere.
        key = (storage.device, storage.data_ptr(), storage.nbytes())
        if not storage.nbytes():  # all have the same address
            self._storages[storage.device, storage._cdata, 0] = lambda: _sized(storage, 0)
            return
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


def put_values_back(tensor: torch.Tensor, kept: torch.Tensor) -> None:
    """Write the values of a copy into its tensor, if they differ; one of any plain layout."""
    if tensor.shape != kept.shape:
        tensor.resize_(kept.shape)
    if torch.equal(tensor, kept):
        return
    # Of an expanded tensor many places are one in memory, which is written once.
    once = tuple(slice(None) if step else slice(1) for step in tensor.stride())
    # An inference mode that is off turns gradients on.
    with torch.inference_mode(tensor.is_inference()), torch.no_grad():
        tensor[once].copy_(kept[once])


def set_gradient(tensor: torch.Tensor, gradient: torch.Tensor | None) -> None:
    """Set the gradient of a tensor, also one from before its values were replaced by others of
    another shape or type, which torch refuses to set."""
    try:
        tensor.grad = gradient
    except RuntimeError:
        if gradient is None:
            raise
        values = tensor.data
        try:
            tensor.data = gradient.detach()
            tensor.grad = gradient
        finally:
            tensor.data = values


def _sized(storage: Any, nbytes: int) -> Any:
    """Resize a storage to its original size, since tensors may have been resized in place."""
    if storage.nbytes() != nbytes:
        storage.resize_(nbytes)
    return storage


def _bytes_of(storage: Any) -> torch.Tensor:
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)


def _geometry(tensor: torch.Tensor) -> tuple[Any, ...]:
    if tensor.is_nested:  # it has neither shape nor strides
        return tensor.data_ptr(), tensor.dtype
    return tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()


def is_leaf(tensor: torch.Tensor) -> bool:
    """Return whether a tensor has no graph; one of several views of a weight that has changed
    since, as `weight.chunk(3)` gives them, has one and raises when it is asked."""
    try:
        return tensor.is_leaf
    except RuntimeError:
        return False


def nbytes_of(tensor: torch.Tensor) -> int:
    """Return the size of the values of a tensor in bytes, also of a sparse one, which has no
    `nbytes`."""
    if tensor.layout is torch.strided:
        return tensor.nbytes
    if tensor.layout is torch.sparse_coo:
        return tensor._values().nbytes
    # That of the others is the size that they would have if they were dense.
    return tensor.values().nbytes if tensor.layout in _COMPRESSED else tensor.nbytes


_COMPRESSED = (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)
