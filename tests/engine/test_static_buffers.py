"""Loaders that give each batch in the same buffers are swept and refined as any other."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from lrwidget import TrainingTask, lr_find, refine
from lrwidget.data.copies import copied
from lrwidget.data.passed_over import KeptPlaces, Rest, Skipping, keeper
from tests.tasks import blobs, network

X, Y = blobs().tensors
LOSS = nn.CrossEntropyLoss()
OPTIONS: dict[str, Any] = {"start_lr": 1e-3, "end_lr": 1.0, "steps": 10, "progress": False}


class Buffers:
    """A loader with one buffer for the inputs and one for the targets."""

    def __init__(self, form: Callable[[Any, Any], Any], *, reuse: bool = True) -> None:
        self.form, self.reuse = form, reuse
        self.x, self.y = torch.zeros(16, 8), torch.zeros(16, dtype=torch.long)

    def __len__(self) -> int:
        return 16

    def __iter__(self) -> Iterator[Any]:
        for i in range(0, 256, 16):
            x, y = (self.x, self.y) if self.reuse else (self.x.clone(), self.y.clone())
            x.copy_(X[i : i + 16])
            y.copy_(Y[i : i + 16])
            yield self.form(x, y)


class Stream(IterableDataset[Any]):
    def __init__(self, loader: Buffers) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[Any]:
        return iter(self.loader)


def pair(x: Any, y: Any) -> Any:
    return x, y


def in_list(x: Any, y: Any) -> Any:
    return [x, y]


def by_name(x: Any, y: Any) -> Any:
    return {"x": x, "y": y}


def in_arrays(x: Any, y: Any) -> Any:
    return x.numpy(), y.numpy()


def step_on(model: nn.Module) -> Callable[[Any], torch.Tensor]:
    def step(batch: Any) -> torch.Tensor:
        x, y = batch.values() if isinstance(batch, dict) else batch
        return LOSS(model(torch.as_tensor(x)), torch.as_tensor(y))

    return step


def as_it_is(loader: Buffers) -> Any:
    return loader


def in_a_loader(loader: Buffers) -> Any:
    return DataLoader(Stream(loader), batch_size=None)


FORMS = pytest.mark.parametrize("form", [pair, in_list, by_name, in_arrays])
GIVEN = pytest.mark.parametrize("given", [as_it_is, in_a_loader])


def task(data: Any, **options: Any) -> TrainingTask:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    step = step_on(model)
    return TrainingTask(model, optimizer, data=data, step=step, evaluate=step, **options)


@FORMS
@GIVEN
def test_micro_batches_are_different_ones(form: Any, given: Any) -> None:
    def losses(*, reuse: bool) -> list[float]:
        data = given(Buffers(form, reuse=reuse))
        return list(lr_find(task(data, accumulate=4), **OPTIONS).loss)

    assert losses(reuse=True) == losses(reuse=False)


@FORMS
@GIVEN
def test_validation_batches_are_different_ones(form: Any, given: Any) -> None:
    def losses(*, reuse: bool) -> list[float]:
        val_data = given(Buffers(form, reuse=reuse))
        data = Buffers(form, reuse=False)
        return list(lr_find(task(data, val_data=val_data), **OPTIONS).frame.val_loss.dropna())

    assert losses(reuse=True) == losses(reuse=False)


@pytest.mark.parametrize("held_out", [None, [1, 5, 9], "data", "val_data"])
@GIVEN
def test_trials_are_judged_by_different_batches(held_out: Any, given: Any) -> None:
    def losses(*, reuse: bool) -> list[float]:
        def data() -> Any:
            return given(Buffers(pair, reuse=reuse))

        own = {"val_data": data()} if held_out == "val_data" else {}
        wanted = data() if held_out == "data" else None if own else held_out
        torch.manual_seed(0)
        result = refine(task(data(), **own), budget=330, held_out=wanted)
        return [result.untrained, *result.summary.held_out_loss]

    assert losses(reuse=True) == losses(reuse=False)


def test_what_makes_new_batches_is_not_copied() -> None:
    as_given = keeper([(X, Y)])
    assert as_given((X, Y))[0] is X
    fresh = DataLoader(blobs(), batch_size=32)
    assert keeper(((X, Y),)) is keeper(fresh) is as_given
    assert keeper(Skipping(fresh, 2)) is as_given
    with_workers = DataLoader(blobs(), num_workers=1, collate_fn=list)
    assert keeper(with_workers) is as_given

    class Own(DataLoader[Any]):
        pass

    kept = KeptPlaces(None, None, frozenset(), 1)  # type: ignore[arg-type]
    unknown = [
        DataLoader(blobs(), collate_fn=list),
        DataLoader(blobs(), batch_size=None),
        Own(blobs()),
        Buffers(pair),
        Rest(Skipping(Buffers(pair), 1), kept),
    ]
    assert all(keeper(loader) is copied for loader in unknown)


def test_a_batch_that_is_not_kept_is_not_copied() -> None:
    loader = Buffers(pair)
    seen: list[int] = []
    model = network()
    own = step_on(model)

    def step(batch: Any) -> torch.Tensor:
        seen.append(batch[0].data_ptr())
        return own(batch)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    lr_find(TrainingTask(model, optimizer, data=loader, step=step), **OPTIONS)
    assert set(seen) == {loader.x.data_ptr()}
    seen.clear()
    lr_find(TrainingTask(model, optimizer, data=loader, step=step, accumulate=2), **OPTIONS)
    assert [place == loader.x.data_ptr() for place in seen] == [False, True] * 10
