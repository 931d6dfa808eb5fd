"""`(X, y)` of kinds that become tensors only after a change, or at once."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lrwidget.data.batches import as_loader

X = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
Y = np.arange(12) % 3
TABLE = pd.DataFrame(X, columns=["a", "b", "c"])
holes = TABLE.astype("Float64").copy()
holes.iloc[2, 1] = pd.NA
TEXTS = ["one", "two", "three"] * 4
rows = np.empty(12, dtype=object)
for at, row in enumerate(X):
    rows[at] = list(row[: 1 + at % 3])
GIVEN: dict[str, tuple[Any, ...]] = {
    "text labels": ((X, np.array(TEXTS)), r"data\[1\], the target, is an array of dtype <U5"),
    "categories": ((X, pd.Series(TEXTS, dtype="category")), r"return_inverse=True\)\[1\]"),
    "list of labels": ((X, TEXTS), r"data\[1\], the target.*return_inverse=True\)\[1\]"),
    "text column": ((TABLE.assign(c="x"), Y), r"data\[0\], an input.*'c' \(.*select_dtypes"),
    "missing in a table": ((holes, Y), r"with missing values.*to_numpy\(float, na_value=0\)"),
    "missing": ((X, pd.Series([1, None] * 6, dtype="Int64")), r"Int64 .*missing values.*fillna"),
    "dates": ((X, pd.Series(pd.date_range("2020", periods=12))), r"datetime64.*astype\('int64'\)"),
    "durations": ((np.ones((12, 3), "m8[s]"), Y), r"data\[0\], an input.*timedelta64"),
    "objects": ((X.astype(object), Y), r"dtype object and shape \(12, 3\).*astype\('float32'\)"),
    "ragged rows": ((rows, Y), r"that holds a list in each place.*np.stack.*list\(zip\(X, y\)\)"),
    "texts": ((np.array(TEXTS), Y), r"holds text.*encode it as numbers, or give samples"),
    "list of texts": ((TEXTS, Y), r"data\[0\].*list of 12 \(str.*list\(zip\(X, y\)\)"),
    "lists of texts and numbers": ((TEXTS, Y.tolist()), r"data\[0\].*list\(zip\(X, y\)\)"),
    "two targets": ((X, (Y, Y)), r"data\[1\], the target, is a tuple of 2.*\(X, y1, y2\)"),
    "one of three": ((X, np.array(TEXTS), Y), r"data\[1\], an input.*text"),
}


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_not_made_of_numbers_is_named_with_its_dtype_and_a_mend(name: str) -> None:
    data, words = GIVEN[name]
    with pytest.raises(TypeError, match=words):
        as_loader(data, 4, None)


def first(data: Any) -> list[torch.Tensor]:
    batches: Iterable[Any] = as_loader(data, 4, {"shuffle": False})
    return list(next(iter(batches)))


@pytest.mark.parametrize(
    "data",
    [
        (TABLE.astype("Float64"), Y),
        (TABLE.astype("Float32"), pd.Series(Y).astype("Int64")),
        (TABLE.assign(b=1).astype({"a": "Float64", "b": "Int32"}), pd.Series(Y)),
        (X.tolist(), Y.tolist()),
        (list(X), list(Y)),
        (list(X), Y),
        (list(torch.tensor(X)), torch.tensor(Y)),
    ],
)
def test_numbers_of_any_kind_become_tensors(data: Any) -> None:
    x, y = first(data)
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    assert torch.equal(x[:, 0], torch.tensor(X)[:4, 0])
    assert torch.equal(y, torch.tensor(Y)[:4])


def test_nullable_truth_values_stay_so() -> None:
    assert first((X, pd.DataFrame({"a": Y > 0}).astype("boolean")))[1].dtype == torch.bool


def test_complex_numbers_get_the_precision_of_floats() -> None:
    for dtype in ("complex64", "complex128"):
        x, _ = first((X.astype(dtype) * 1j, Y))
        assert x.dtype == torch.complex64
        assert torch.equal(x, torch.tensor(X[:4]) * 1j)


def test_several_inputs_are_not_stacked() -> None:
    two = [X[:2], X[:2] + 1]  # as many inputs as rows
    x1, x2, y = first((two, Y[:2]))
    assert torch.equal(x1, torch.tensor(X[:2]))
    assert torch.equal(x2, torch.tensor(X[:2] + 1))
    assert len(y) == 2
