"""Why a part of `(X, y)` cannot be made a tensor, and how to mend it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from lrwidget.data.structure import describe
from lrwidget.text.articles import a_kind

CLASSES = "where these are classes, give each its index: np.unique(y, return_inverse=True)[1]"
SAMPLES = "give samples, such as list(zip(X, y)), with batch_size=..., or a DataLoader"


def not_numbers(part: Any, place: int, count: int, name: str) -> TypeError:
    """Return the error for a part that is not made of numbers.

    Args:
        part: the part, an array, a table, a column or a list.
        place, count: its place among the parts, and their number.
        name: name of the argument that holds the parts.
    """
    role = "the target" if place == count - 1 else "an input"
    what, mend = _told(part, target=place == count - 1)
    return TypeError(f"{name}[{place}], {role}, is {what}, which is no tensor of numbers: {mend}")


def _told(part: Any, target: bool) -> tuple[str, str]:
    dtypes: Any = getattr(part, "dtypes", None)
    if isinstance(part, (tuple, list, range, Mapping)):
        what = describe(part)
        if isinstance(part, tuple):
            return what, "give each array a place of its own, (X, y1, y2), or " + SAMPLES
        first = part[0] if isinstance(part, list) and part else None
        text = isinstance(first, (str, bytes))
        return what, (f"{CLASSES}; otherwise {SAMPLES}" if text and target else SAMPLES)
    if hasattr(dtypes, "items"):  # a table: name the columns
        other = {column: dtype for column, dtype in dtypes.items() if _kind(dtype) not in "fiubc"}
        if other:
            shown = ", ".join(f"{column!r} ({dtype})" for column, dtype in list(other.items())[:4])
            more = ", …" if len(other) > 4 else ""
            what = f"{a_kind(part)} with columns of other kinds, {shown}{more}"
            return what, "encode them as numbers, or leave them out: X.select_dtypes('number')"
        what = f"{a_kind(part)} with missing values"
        return what, _MISSING
    dtype = getattr(part, "dtype", None)
    kind = _kind(dtype)
    shape = tuple(getattr(part, "shape", ()))
    what = f"{'an array' if isinstance(part, np.ndarray) else 'a ' + type(part).__name__} of dtype "
    what += f"{dtype} and shape {shape}"
    if kind in "fiub":
        return f"{what} with missing values", _MISSING
    if kind in "Mm":
        return what, "make numbers of the times, such as seconds: t.astype('int64') / 1e9"
    values = np.asarray(part).ravel()
    first = values[0] if len(values) else None
    if isinstance(first, (str, bytes)):
        return (
            f"{what} that holds text",
            CLASSES if target else f"encode it as numbers, or {SAMPLES}",
        )
    if isinstance(first, (bool, int, float, np.number)):
        return (
            f"{what} that holds objects",
            "convert them: x.astype('float32'), or 'int64' for classes",
        )
    if isinstance(first, (list, tuple, np.ndarray, torch.Tensor)):
        rows = "np.stack(list(X)) where its rows are of one length; otherwise "
        return f"{what} that holds {a_kind(first)} in each place", rows + SAMPLES
    return f"{what} that holds {a_kind(first)} in each place", SAMPLES


_MISSING = "fill them, or drop their rows: x.fillna(0), x.dropna(); or to_numpy(float, na_value=0)"


def _kind(dtype: Any) -> str:
    """Return the kind of a dtype of numpy or pandas, one letter; "O" for others."""
    kind = getattr(dtype, "kind", "O")
    return kind if isinstance(kind, str) and len(kind) == 1 else "O"
