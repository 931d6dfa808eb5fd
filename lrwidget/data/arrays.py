"""Make a data set of data in arrays, `(X, y)`."""

from typing import Any

import numpy as np
import torch
from torch.utils.data import TensorDataset


def arrays_as_data_set(data: Any, name: str, own_step: bool) -> TensorDataset | None:
    """Return a data set of the rows of arrays, if `data` is a tuple or list of two or more arrays.

    Returns None otherwise. Tensors of one shape and dtype are a list of batches, except as a tuple
    of two without a custom step.

    Args:
        data: the data given by the user; arrays are tensors and whatever numpy reads as numbers.
        name: name of the argument that it was given as.
        own_step: whether the batches go to a custom step.

    Raises:
        ValueError: the arrays have different numbers of rows.
    """
    if not isinstance(data, (tuple, list)) or len(data) < 2 or hasattr(data, "batch_sizes"):
        return None
    if not any(isinstance(part, torch.Tensor) or _is_array(part) for part in data):
        return None
    if isinstance(data, tuple) and len(data) == 2 and isinstance(data[0], (tuple, list)):
        data = (*data[0], data[1])  # several inputs, ((X1, X2), y)
    parts = [part if isinstance(part, torch.Tensor) else _numbers(part) for part in data]
    shapes = [None if part is None else tuple(part.shape) for part in parts]
    if not all(shapes):
        return None
    alike = len({(shape[1:], str(part.dtype)) for shape, part in zip(shapes, parts, strict=True)})  # type: ignore[index, union-attr]
    pair = isinstance(data, tuple) and len(data) == 2 and not own_step
    arrays = any(_is_array(part) for part in data)
    if alike == 1 and not pair and not arrays:
        return None
    rows = [shape[0] for shape in shapes]  # type: ignore[index]
    if len(set(rows)) > 1:
        if alike == 1:
            return None
        counts = ", ".join(map(str, rows))
        raise ValueError(
            f"{name} is a {type(data).__name__} of arrays with {counts} rows; expected as many of "
            "each: (X, y) with one row a sample, a DataLoader, or a list of batches"
        )
    if rows[0] == 0:
        return None
    return TensorDataset(*map(_as_tensor, parts))


def _is_array(part: Any) -> bool:
    """Return whether `part` is a numpy array, or a table or column with `to_numpy`."""
    return isinstance(part, np.ndarray) or callable(getattr(part, "to_numpy", None))


def _numbers(part: Any) -> "np.ndarray[Any, Any] | None":
    if not (_is_array(part) or (isinstance(part, (list, range)) and _holds_numbers(part))):
        return None
    array = np.asarray(part)
    return array if array.dtype.kind in "fiub" else None


def _holds_numbers(part: Any) -> bool:
    return len(part) > 0 and isinstance(part[0], (bool, int, float))


def _as_tensor(part: Any) -> torch.Tensor:
    """Return an array as a tensor with a dtype that models and losses expect.

    Floats get torch's default dtype, as models have; integers become int64, as class labels need.
    Images in uint8 and tensors keep their dtype: users scale images themselves.
    """
    if isinstance(part, torch.Tensor):
        return part
    if part.dtype.kind == "f":
        return _made_of(part, np.float64 if _double() else np.float32)
    if part.dtype.kind == "b" or (part.dtype == np.uint8 and part.ndim > 1):
        return _made_of(part, part.dtype)
    return _made_of(part, np.int64)


def _made_of(array: Any, dtype: Any) -> torch.Tensor:
    """Return a tensor of this dtype; it shares the memory of a writable array of that dtype."""
    return torch.from_numpy(np.require(array, dtype, ["C", "W"]))


def _double() -> bool:
    return torch.get_default_dtype() is torch.float64
