"""What is said to new users whose first batch fails."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrwidget import LRFinderWidget, TrainingTask, lr_find
from lrwidget.task.mends import mend, mend_in

x = torch.randn(20, 3)
classes = torch.arange(20) % 3
wide = TensorDataset(x.double(), torch.randn(20, 2).double())
CASES: dict[str, tuple[Any, ...]] = {
    "float64": (nn.Linear(3, 2), nn.MSELoss(), wide, RuntimeError, "give data=(X, y), a pair"),
    "classes as floats": (
        *(nn.Linear(3, 3), nn.CrossEntropyLoss(), TensorDataset(x, classes.float())),
        *(RuntimeError, "The targets are float32, but classes are integers: y.long()"),
    ),
    "too few outputs": (
        *(nn.Linear(3, 2), nn.functional.cross_entropy, (x, classes)),
        *(IndexError, "The targets go up to 2, and the model has 2 outputs"),
    ),
}


class ExactGP(nn.Linear):
    """A model that refuses all but its training data in their order, as GPyTorch's."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        if not torch.equal(rows, x):
            raise RuntimeError("You must train on the training inputs!")
        return super().forward(rows)


CASES["a part of the data for an exact GP"] = (
    *(ExactGP(3, 1), nn.MSELoss(), (x, x[:, :1]), RuntimeError),
    "all of its data at once, in their order: give them as one batch, data=[(train_x, train_y)]",
)


class OfWholeBatches(nn.Linear):
    """A model that takes the whole batch, as those of Composer."""

    def forward(self, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        rows, _ = batch
        return super().forward(rows)


CASES["a model of whole batches"] = (
    *(OfWholeBatches(3, 3), nn.CrossEntropyLoss(), (x, classes), ValueError),
    "called with the input alone. One that takes the whole batch needs a step of its own",
)
one_output = nn.Linear(3, 1)
CASES |= {
    "one sample for batch norm": (
        *(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), nn.CrossEntropyLoss()),
        *(DataLoader(TensorDataset(x, classes), 19), ValueError, "drop_last=True"),
    ),
    "images as bytes": (
        *(nn.Linear(3, 3), nn.CrossEntropyLoss(), TensorDataset((9 * x).byte(), classes)),
        *(RuntimeError, "The data is uint8, and the model float32: convert it, x.float(), for im"),
    ),
    "integers": (
        *(nn.Linear(3, 3), nn.CrossEntropyLoss(), TensorDataset((9 * x).long(), classes)),
        *(RuntimeError, "The data is int64, and the model float32: convert it, x.float()."),
    ),
    "half as wide": (
        *(nn.Linear(3, 3), nn.CrossEntropyLoss(), TensorDataset(x.half(), classes)),
        *(RuntimeError, "The data is float16, and the model float32"),
    ),
    "classes in columns": (
        *(nn.Linear(3, 3), nn.CrossEntropyLoss()),
        *(TensorDataset(x, nn.functional.one_hot(classes)), RuntimeError, "y.argmax(1), or prob"),
    ),
    "classes in a column": (
        *(nn.Linear(3, 3), nn.CrossEntropyLoss(), TensorDataset(x, classes[:, None])),
        *(RuntimeError, "The targets are (20, 1), but classes are one number each: y[:, 0]"),
    ),
    "classes as int32": (
        *(nn.Linear(3, 3), nn.CrossEntropyLoss(), TensorDataset(x, classes.int())),
        *(RuntimeError, "The targets are int32, but classes are int64: y.long()"),
    ),
    "classes from -1": (
        *(nn.Linear(3, 3), nn.CrossEntropyLoss(), TensorDataset(x, classes - 1)),
        *(IndexError, "The targets go down to -1, but classes count from 0"),
    ),
    "two classes as integers": (
        *(one_output, nn.BCEWithLogitsLoss(), TensorDataset(x, classes[:, None] % 2), RuntimeError),
        "The targets are int64, and this loss takes floats: y.float()",
    ),
    "two classes in a row": (
        *(one_output, nn.BCEWithLogitsLoss(), TensorDataset(x, classes % 2), ValueError),
        "The outputs are (20, 1) and the targets (20,): this loss takes them in one shape, y.view",
    ),
}

of_one = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
CASES |= {
    "batches of one sample for batch norm": (
        *(of_one, nn.CrossEntropyLoss(), DataLoader(TensorDataset(x, classes), 1), ValueError),
        "cannot train on a single value: use a batch_size above 1",
    ),
    "classes in words": (
        *(nn.Linear(3, 3), nn.CrossEntropyLoss()),
        *(DataLoader([(row, "cat") for row in x], 4), TypeError),  # type: ignore[arg-type]
        "The targets are text, such as 'cat': let the data set give each class its index",
    ),
}

CASES["a model in float64"] = (
    *(nn.Linear(3, 3).double(), nn.CrossEntropyLoss(), (x.numpy(), classes.numpy()), RuntimeError),
    "The data is float32, as arrays become here, and the model float64: give the data as tensors",
)

tokens = torch.arange(60).reshape(20, 3) % 7
CASES["classes last"] = (
    *(nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 7)), nn.CrossEntropyLoss(), (tokens, tokens)),
    *(RuntimeError, "must be the second dimension, loss_fn(output.movedim(-1, 1), target)"),
)


@pytest.mark.parametrize("name", CASES)
def test_what_to_change_is_a_note_and_stands_beside_the_message_in_the_widget(name: str) -> None:
    model, loss_fn, data, kind, words = CASES[name]
    with pytest.raises(kind) as caught:
        lr_find(model, torch.optim.SGD, loss_fn, data, progress=False)
    assert words in mend_in(caught.value)
    assert words in caught.value.__notes__[0]
    w = LRFinderWidget(model, torch.optim.SGD, loss_fn, data)
    w.start()
    with pytest.raises(kind):
        w.wait()
    assert words in (w.error or "")
    w.close()


def test_other_failures_get_no_such_note() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as caught:
        lr_find(nn.Linear(4, 2), torch.optim.SGD, nn.MSELoss(), (x, x), progress=False)
    assert mend_in(caught.value) == ""
    pair = [x, torch.rand(20, 2)]  # probabilities of classes, which cross-entropy takes
    assert mend(nn.Linear(3, 2), nn.CrossEntropyLoss(), pair, torch.rand(20, 2)) == ""
    assert mend(nn.Linear(3, 2).double(), nn.MSELoss(), [x.double(), x]) == ""
    assert mend(nn.Linear(3, 2), nn.MSELoss(), {"x": x.double()}) == ""
    assert mend(nn.Linear(3, 2), nn.MSELoss(), []) == ""
    assert mend(None, None, np.zeros(3)) == ""


@pytest.mark.parametrize("name", ["loss_fn", "step", "metric", "evaluate"])
def test_a_function_that_is_none_is_refused_with_what_it_is_called_with(name: str) -> None:
    given = {"loss_fn": nn.MSELoss(), "data": (x, x), name: "mse"}
    expected = rf"{name} is 'mse'; expected a function {name}\("
    with pytest.raises(TypeError, match=expected):
        TrainingTask(nn.Linear(3, 3), torch.optim.SGD, **given)
