"""Loaders that are copied, so that the user's is left alone."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrwidget import LRRecords, lr_find, refine
from lrwidget.data.private_copy import private_copy

SAMPLES = TensorDataset(torch.randn(64, 3), torch.randn(64, 1))


def swept(loader: Any) -> LRRecords:
    model = nn.Linear(3, 1)
    return lr_find(model, torch.optim.SGD, nn.MSELoss(), loader, steps=12, progress=False)


class Forever(DataLoader[Any]):
    """A loader that goes on for ever and ends its workers with itself, as that of ultralytics."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.iterator: Any = super().__iter__()

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        for _ in range(len(self)):
            batch = next(self.iterator, None)
            if batch is None:
                self.iterator = super().__iter__()
                batch = next(self.iterator)
            yield batch

    def __del__(self) -> None:
        for worker in getattr(self.iterator, "_workers", []):
            worker.terminate()


def test_workers_that_a_loader_ends_with_itself_live_on() -> None:
    loader = Forever(SAMPLES, batch_size=8, num_workers=1, persistent_workers=True)
    for _ in range(2):
        assert swept(loader).stop_reason == "finished"
        refine(
            nn.Linear(3, 1),
            swept(loader),
            optimizer=torch.optim.SGD,
            loss_fn=nn.MSELoss(),
            data=loader,
            budget=200,
            held_out=TensorDataset(torch.randn(16, 3), torch.randn(16, 1)),
        )
        assert all(worker.is_alive() for worker in loader.iterator._workers)
    assert len(list(loader)) == 8


def test_a_loader_may_pass_questions_on_to_another() -> None:
    class Passing(DataLoader[Any]):
        def __init__(self, loader: Any) -> None:
            self.loader = loader
            super().__init__(loader.dataset, batch_size=loader.batch_size)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.loader, name)

    assert swept(Passing(DataLoader(SAMPLES, batch_size=8))).stop_reason == "finished"


@pytest.mark.parametrize("own", [True, False])
def test_the_order_is_that_of_the_next_pass_where_workers_live_on(own: bool) -> None:
    loader = DataLoader(
        SAMPLES,
        batch_size=8,
        shuffle=True,
        num_workers=1,
        persistent_workers=True,
        generator=torch.Generator() if own else None,
    )
    list(loader)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    records = lr_find(model, optimizer, nn.MSELoss(), loader, steps=12, progress=False)
    losses: list[float] = []
    batches = itertools.chain(loader, loader)
    for lr, (x, y) in zip(records.lr, batches, strict=False):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert records.loss.tolist() == losses


def test_workers_are_seeded_as_their_loader_does_it_on_another_default_device() -> None:
    loader = DataLoader(SAMPLES, batch_size=8, num_workers=1, persistent_workers=True)
    list(loader)
    assert private_copy(loader).generator.device.type == "cpu"
    with torch.device("meta"):  # a seed that is drawn there needs a generator of that device
        assert private_copy(loader).generator is None
