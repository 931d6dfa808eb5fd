"""Make a data set of data in arrays, `(X, y)`."""

from typing import Any

import numpy as np
import torch
from torch.utils.data import TensorDataset

from lrwidget.backup.walk import types_among
from lrwidget.data.not_numbers import not_numbers
from lrwidget.text.articles import a_kind


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
        TypeError: a part beside an array is not made of numbers.
    """
    if not isinstance(data, (tuple, list)) or len(data) < 2 or hasattr(data, "batch_sizes"):
        return None
    if isinstance(data, tuple) and len(data) == 2 and not own_step:
        data = (_stacked(data[0], data[1]), data[1])
        if _are_texts(*data):
            raise not_numbers(data[0], 0, 2, name)
    # A list of batches has many parts of one type.
    kinds = types_among(data)
    if not any(issubclass(kind, torch.Tensor) or _is_kind_of_array(kind) for kind in kinds):
        return None
    if isinstance(data, tuple) and len(data) == 2 and _holds_arrays(data[0]):
        data = (*data[0], data[1])  # several inputs, ((X1, X2), y)
    parts = [part if isinstance(part, torch.Tensor) else _numbers(part) for part in data]
    if not own_step and any(map(_is_array, data)):
        for place, part in enumerate(parts):
            if part is None:
                raise not_numbers(data[place], place, len(data), name)
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
            f"{name} is {a_kind(data)} of arrays with {counts} rows; expected as many of "
            "each: (X, y) with one row a sample, a DataLoader, or a list of batches"
        )
    if rows[0] == 0:
        return None
    return TensorDataset(*map(_as_tensor, parts))


def _is_array(part: Any) -> bool:
    """Return whether `part` is a numpy array, or a table or column with `to_numpy`."""
    return _is_kind_of_array(type(part))


def _is_kind_of_array(kind: type) -> bool:
    return issubclass(kind, np.ndarray) or callable(getattr(kind, "to_numpy", None))


def _holds_arrays(part: Any) -> bool:
    """Return whether a list or tuple holds arrays or tensors, or lists of numbers."""
    return isinstance(part, (tuple, list)) and not any(isinstance(v, str) for v in part[:1])


def _stacked(inputs: Any, target: Any) -> Any:
    """Return a list with the numbers of each sample as one array; other inputs unchanged."""
    rows = len(target) if hasattr(target, "__len__") and getattr(target, "ndim", 1) != 0 else 0
    if type(inputs) is not list or len(inputs) != rows or not rows:
        return inputs
    if not (_is_array(target) or isinstance(target, torch.Tensor) or _holds_numbers(target)):
        return inputs
    kinds = {(type(v), tuple(np.shape(v)) if _plain(v) else None) for v in inputs}
    kind, shape = next(iter(kinds))
    if len(kinds) > 1 or shape is None or shape[:1] == (rows,):  # several inputs of as many rows
        return inputs
    if issubclass(kind, torch.Tensor):
        return torch.stack(inputs)
    array = np.array(inputs)
    return array if array.dtype.kind in "fiubc" else inputs


def _are_texts(inputs: Any, target: Any) -> bool:
    """Return whether it is a list of texts, with a number for each in a list."""
    lists = type(inputs) is list and type(target) is list and len(inputs) == len(target) > 2
    return lists and isinstance(inputs[0], str) and _holds_numbers(target)


def _plain(value: Any) -> bool:
    """Return whether it is a tensor, an array or a list of numbers, possibly nested."""
    if isinstance(value, list):
        return bool(value) and all(_plain(v) or _is_number(v) for v in value)
    return isinstance(value, (torch.Tensor, np.ndarray))


def _numbers(part: Any) -> "np.ndarray[Any, Any] | None":
    if not (_is_array(part) or (isinstance(part, (list, range)) and _holds_numbers(part))):
        return None
    if _is_nullable(part):
        if np.asarray(part.isna()).any():
            return None
        array = part.to_numpy(dtype=_common_dtype(part))
    else:
        array = np.asarray(part)
    return array if array.dtype.kind in "fiubc" else None


def _is_nullable(part: Any) -> bool:
    """Return whether it is a table or column of numbers with pandas' nullable ones among them."""
    dtypes = _dtypes(part)
    numbers = all(getattr(dtype, "kind", "O") in tuple("fiub") for dtype in dtypes)
    return numbers and not all(isinstance(dtype, np.dtype) for dtype in dtypes)


def _common_dtype(part: Any) -> Any:
    kinds = {dtype.kind for dtype in _dtypes(part)}
    return np.float64 if "f" in kinds else np.bool_ if kinds == {"b"} else np.int64


def _dtypes(part: Any) -> list[Any]:
    if not hasattr(part, "isna"):
        return []
    dtypes: Any = getattr(part, "dtypes", None)
    return [*dtypes] if hasattr(dtypes, "items") else [dtypes]  # of a table or of a column


def _holds_numbers(part: Any) -> bool:
    return len(part) > 0 and _is_number(part[0])


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float, np.number, np.bool_))


def _as_tensor(part: Any) -> torch.Tensor:
    """Return an array as a tensor with a dtype that models and losses expect.

    Floats get torch's default dtype, as models have; integers become int64, as class labels need.
    Images in uint8 and tensors keep their dtype: users scale images themselves.
    """
    if isinstance(part, torch.Tensor):
        return part
    if part.dtype.kind == "f":
        return _made_of(part, np.float64 if _double() else np.float32)
    if part.dtype.kind == "c":
        return _made_of(part, np.complex128 if _double() else np.complex64)
    if part.dtype.kind == "b" or (part.dtype == np.uint8 and part.ndim > 1):
        return _made_of(part, part.dtype)
    return _made_of(part, np.int64)


def _made_of(array: Any, dtype: Any) -> torch.Tensor:
    """Return a tensor of this dtype; it shares the memory of a writable array of that dtype."""
    return torch.from_numpy(np.require(array, dtype, ["C", "W"]))


def _double() -> bool:
    return torch.get_default_dtype() is torch.float64
