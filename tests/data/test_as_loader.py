"""`data` may hold samples, which are collated into batches, or batches, which are kept."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from lrwidget import TrainingTask, lr_find
from tests.givendata import (
    Indexed,
    IndexedBatches,
    Loader,
    Reiterable,
    Seeing,
    Stream,
    batches,
    ce,
    data_set,
    losses,
    met,
    samples,
    sequences,
    shapes,
    x,
    y,
)
from tests.tasks import problem

# -- samples


@pytest.mark.parametrize(
    "data",
    [
        samples,
        tuple(samples),
        [(x, int(y)) for x, y in samples],
        [([*map(float, x)], int(y)) for x, y in samples],
        [{"x": x, "labels": int(y)} for x, y in samples],
        Indexed(),
        Stream(lambda: samples),
        Reiterable(samples),
        (x, y),
        [x, y],
        (x.numpy(), y.numpy()),
        (x.double().numpy(), y.tolist()),
        (pd.DataFrame(x.numpy()), pd.Series(y.numpy())),
    ],
    ids=lambda data: type(data).__name__,
)
def test_samples_come_in_batches_of_the_size_that_is_asked_for(data: Any) -> None:
    assert shapes(data, steps=2) == [(32, 8)] * 2
    if not isinstance(data, Reiterable):
        assert shapes(data, steps=2, batch_size=24) == [(24, 8)] * 2


def test_samples_in_a_list_and_arrays_are_the_same_as_a_data_set() -> None:
    expected = losses(data_set, batch_size=24)
    assert len(expected) == 8
    for data in (samples, Indexed(), (x, y), (x.double().numpy(), y.int().numpy())):
        assert losses(data, batch_size=24) == expected


def test_loader_options_are_for_any_samples() -> None:
    ordered = losses(data_set, loader_options={"shuffle": False})
    assert ordered != losses(data_set)
    for data in (samples, Indexed(), (x, y)):
        assert losses(data, loader_options={"shuffle": False}) == ordered
    halves = {"collate_fn": lambda items: torch.utils.data.default_collate(items[::2])}
    assert shapes(samples, steps=2, loader_options=halves) == [(16, 8)] * 2


def test_samples_that_cannot_be_put_together_are_shown() -> None:
    ragged = [(torch.rand(3 + i % 2), i % 4) for i in range(8)]
    with pytest.raises(RuntimeError, match="equal size") as caught:
        lr_find(*problem()[:3], ragged, steps=2, progress=False)
    assert "a sample is a tuple of 2 (tensor float32 (" in caught.value.__notes__[0]
    assert "loader_options={'collate_fn': ...}" in caught.value.__notes__[0]


def test_so_are_those_of_a_data_set_of_torch() -> None:
    class Ragged(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int) -> Any:
            return torch.rand(3 + index % 2), index % 4

    with pytest.raises(RuntimeError, match="equal size") as caught:
        lr_find(*problem()[:3], Ragged(), steps=2, progress=False)
    assert "a sample is a tuple of 2 (tensor float32 (" in caught.value.__notes__[0]


# -- batches


@pytest.mark.parametrize(
    "data",
    [
        batches,
        tuple(batches),
        iter(batches * 4),
        Reiterable(batches),
        Loader(),
        Stream(lambda: [(x.reshape(16, 2, 2, 2), y) for x, y in batches]),
        IndexedBatches(),
        [[x, y] for x, y in batches],
        [{"x": x, "labels": y} for x, y in batches],
        [(x, y)],
    ],
    ids=lambda data: type(data).__name__,
)
def test_batches_are_read_as_they_are(data: Any) -> None:
    met.clear()
    records = lr_find(Seeing(), torch.optim.SGD, ce, data, steps=8, progress=False)
    assert set(met) <= {(16, 8), (16, 2, 2, 2), (96, 8)}
    assert (len(met), len(set(met)), records.meta["batch_size"]) == (8, 1, None)


def test_batches_of_a_stream_are_the_same_as_with_no_batch_size() -> None:
    def noisy() -> Iterator[Any]:
        for inputs, target in batches:
            yield inputs.reshape(16, 2, 2, 2) + torch.rand(1), target.numpy()

    model, optimizer, *_ = problem()

    def curve(data: Any) -> list[float]:
        whole = nn.Sequential(nn.Flatten(), model)
        return lr_find(whole, optimizer, ce, data, steps=14, seed=1, progress=False).loss.tolist()

    expected = curve(DataLoader(Stream(noisy), batch_size=None))
    assert curve(Stream(noisy)) == expected


@pytest.mark.process
def test_workers_tell_what_a_stream_gives_and_lose_nothing() -> None:
    pictures = Stream(lambda: [(x.reshape(16, 2, 2, 2), y) for x, y in batches])
    options: Any = {"loader_options": {"num_workers": 1, "worker_init_fn": asks_for_the_data_set}}
    assert shapes(pictures, steps=7, **options) == [(16, 2, 2, 2)] * 7
    assert shapes(Stream(lambda: samples), **options) == [(32, 8)] * 4
    with pytest.raises(TypeError, match="one sample, or a batch of them"):
        shapes(Stream(sequences), **options)


def asks_for_the_data_set(worker: int) -> None:
    assert torch.utils.data.get_worker_info().dataset.items()


def test_nothing_is_lost_to_the_first_look() -> None:
    once = (sample for sample in samples)
    records = lr_find(*problem()[:3], once, steps=9, progress=False)
    assert (records.stop_reason, len(records)) == ("exhausted", 3)
    seen: list[int] = []

    def counted() -> Iterator[Any]:
        for number, sample in enumerate(samples):
            seen.append(number)
            yield sample

    lr_find(*problem()[:3], Stream(counted), steps=3, progress=False)
    assert seen == list(range(96))


def test_a_first_look_draws_no_random_number() -> None:
    class Augmented(Indexed):
        def __getitem__(self, index: int) -> Any:
            x, y = super().__getitem__(index)
            return x + torch.rand(1) + np.random.rand() + random.random(), y  # noqa: NPY002

    class Torchs(Augmented, torch.utils.data.Dataset[Any]):
        pass

    def noisy() -> Iterator[Any]:
        for inputs, target in samples:
            yield inputs + torch.rand(1), target

    assert losses(Augmented()) == losses(Torchs())
    assert losses(Stream(noisy)) == losses(DataLoader(Stream(noisy), batch_size=32))
    state = torch.get_rng_state()
    TrainingTask(*problem()[:3], Augmented())
    assert torch.equal(torch.get_rng_state(), state)


# -- data of other libraries


@pytest.mark.framework
def test_data_sets_of_hugging_face_are_data_sets() -> None:
    import datasets

    rows = datasets.Dataset.from_dict({"x": x.tolist(), "label": y.tolist()})
    expected = losses(data_set, batch_size=24)
    forms = [rows, rows.with_format("torch"), rows.with_format("numpy"), rows.with_format("pandas")]
    forms.append(
        rows.with_transform(lambda b: {"x": list(map(torch.tensor, b["x"])), "y": b["label"]})
    )
    for form in forms:
        assert shapes(form, batch_size=24) == [(24, 8)] * 4
    model, optimizer, *_ = problem()
    for form in forms:
        options: Any = {"batch_size": 24, "steps": 8, "seed": 3, "progress": False}
        records = lr_find(Named(model), optimizer, ce, form, **options)
        assert records.loss.tolist() == pytest.approx(expected, rel=1e-6)
    with pytest.raises(TypeError, match=r"data=data\['train'\]"):
        lr_find(model, optimizer, ce, datasets.DatasetDict(train=rows, test=rows))
    streamed = rows.to_iterable_dataset()
    for form in (streamed, streamed.with_format("torch")):
        assert shapes(form) == [(32, 8)] * 4
        assert shapes(form.batch(16)) == [(16, 8)] * 4
    with pytest.raises(TypeError, match="gives batches already"):
        lr_find(model, optimizer, ce, streamed.batch(16), batch_size=8)


class Named(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


@pytest.mark.framework
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset leaves it open
def test_batches_of_webdataset_are_read_as_they_are(tmp_path: Path) -> None:
    import webdataset

    with webdataset.TarWriter(str(tmp_path / "d.tar")) as tar:
        for i, (vector, label) in enumerate(samples):
            tar.write({"__key__": f"{i:04d}", "x.npy": vector.numpy(), "cls": int(label)})

    def opened() -> Any:
        stored = webdataset.WebDataset(str(tmp_path / "d.tar"), shardshuffle=False)
        return stored.decode().to_tuple("x.npy", "cls")

    WebLoader = webdataset.WebLoader  # noqa: N806
    sixteen = [(16, 8)] * 4
    assert shapes(opened().batched(16)) == sixteen
    assert shapes(WebLoader(opened().batched(16), batch_size=None)) == sixteen
    assert shapes(WebLoader(opened(), batch_size=16)) == sixteen
    assert shapes(WebLoader(opened(), batch_size=8).unbatched().batched(16)) == sixteen
    assert shapes(opened(), batch_size=16) == sixteen
    taken_apart = WebLoader(opened().batched(8), batch_size=None).unbatched()
    assert shapes(taken_apart, batch_size=16) == sixteen
    for data in (opened().batched(16), WebLoader(opened(), batch_size=16)):
        with pytest.raises(TypeError, match="gives batches already"):
            TrainingTask(*problem()[:3], data, batch_size=8)
