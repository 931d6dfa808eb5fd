"""Batches and outputs such as a TensorDict, a mapping that is iterated over its samples."""

from collections.abc import Callable, ItemsView, Iterator, KeysView, MutableMapping, ValuesView
from itertools import cycle
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import TrainingTask
from tests.restore.endings import find

LOSS = nn.MSELoss()


class Rows(MutableMapping[str, torch.Tensor]):
    """Does what a TensorDict does, and refuses what it refuses."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, fields: dict[str, torch.Tensor], batch_size: tuple[int, ...]) -> None:
        self._fields = fields
        self._batch_size = batch_size

    @property
    def batch_size(self) -> torch.Size:
        return torch.Size(self._batch_size)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self._fields[key]
        return Rows({name: value[key] for name, value in self._fields.items()}, ())

    def __setitem__(self, key: str, value: torch.Tensor) -> None:
        self._fields[key] = value

    def __delitem__(self, key: str) -> None:
        del self._fields[key]

    def __iter__(self) -> Iterator[Any]:
        return iter([self[at] for at in range(len(self))])

    def __len__(self) -> int:
        return self._batch_size[0] if self._batch_size else 0

    def __bool__(self) -> bool:
        raise RuntimeError("Converting a tensordict to boolean value is not permitted.")

    def __contains__(self, key: object) -> bool:
        raise NotImplementedError("TensorDict does not support membership checks")

    def get(self, key: Any, default: Any = None) -> Any:
        if not isinstance(key, str):
            raise KeyError("Only NestedKeys are supported")
        return self._fields.get(key, default)

    def keys(self) -> KeysView[str]:
        return self._fields.keys()

    def values(self) -> ValuesView[torch.Tensor]:
        return self._fields.values()

    def items(self) -> ItemsView[str, torch.Tensor]:
        return self._fields.items()

    def to(self, device: Any) -> "Rows":
        return Rows({name: value.to(device) for name, value in self.items()}, self._batch_size)


X = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
BATCHES = [
    Rows({"x": X[at : at + 8], "target": X[at : at + 8].sum(1, keepdim=True)}, (8,))
    for at in range(0, 32, 8)
]


class Whole(nn.Module):
    """Takes a batch whole and adds its output to it, or takes names, as a TensorDictModule does."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 1)

    def forward(self, rows: Any, **_: Any) -> Any:
        return Rows({**dict(rows.items()), "out": self.net(rows["x"])}, (8,))


class Losses(nn.Module):
    """Returns terms of a loss, as the losses of torchrl do."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.net = nn.Linear(4, 1)
        self.names = names

    def forward(self, rows: Any = None) -> Any:
        loss = LOSS(self.net(rows["x"]), rows["target"])
        return Rows(dict.fromkeys(self.names, loss), ())


LINEAR: Callable[[], Any] = lambda: nn.Linear(4, 1)  # noqa: E731


@pytest.mark.parametrize(
    ("make", "loss_fn", "loss_of"),
    [
        (LINEAR, LOSS, lambda model, rows: LOSS(model(rows["x"]), rows["target"])),
        (
            Whole,
            lambda out, target: LOSS(out["out"], target),
            lambda model, rows: LOSS(model(rows)["out"], rows["target"]),
        ),
        (lambda: Losses("loss"), None, lambda model, rows: model(rows)["loss"]),
        (lambda: Losses("loss_a", "loss_b"), None, lambda model, rows: sum(model(rows).values())),
    ],
    ids=["fields", "whole", "loss", "terms"],
)
def test_it_is_swept_as_a_plain_loop_would(make: Any, loss_fn: Any, loss_of: Any) -> None:
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    records = find(TrainingTask(model, optimizer, loss_fn, BATCHES))
    losses = []
    for rows, lr in zip(cycle(BATCHES), records.lr, strict=False):
        optimizer.param_groups[0]["lr"] = float(lr)
        optimizer.zero_grad()
        loss = loss_of(model, rows)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert records.loss.tolist() == losses
    assert records.meta["different_samples"] == 32


def test_a_step_of_one_s_own_gets_it_as_it_is() -> None:
    model = nn.Linear(4, 1)
    task = TrainingTask(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        data=BATCHES,
        step=lambda rows: LOSS(model(rows["x"]), rows["target"]),
    )
    assert find(task).stop_reason == "finished"


def test_without_a_loss_in_it_there_is_an_error_in_words() -> None:
    model = Losses("objective", "other")
    task = TrainingTask(model, torch.optim.SGD(model.parameters(), lr=0.1), None, BATCHES)
    with pytest.raises(TypeError, match=r"must return its loss, but it returned a Rows"):
        find(task)


def test_given_as_all_data_it_is_refused_in_words() -> None:
    model = nn.Linear(4, 1)
    with pytest.raises(TypeError, match=r"a mapping of arrays may be all data or a batch"):
        TrainingTask(model, torch.optim.SGD(model.parameters(), lr=0.1), LOSS, BATCHES[0])
