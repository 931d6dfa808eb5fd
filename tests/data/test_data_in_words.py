"""Ambiguous or unsupported data raises an error that names what to pass instead."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_iris
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lrwidget import LRFinderWidget, TrainingTask, check_lrs, lr_find
from lrwidget.data.batches import as_loader
from tests.givendata import (
    Indexed,
    IndexedBatches,
    Reiterable,
    Stream,
    batches,
    ce,
    data_set,
    samples,
    sequences,
    shapes,
    x,
    y,
)
from tests.tasks import problem

# -- data that may be samples or batches


@pytest.mark.parametrize("make", [lambda: Stream(sequences), lambda: sequences_by_index()])
def test_what_may_be_samples_or_batches_is_refused_with_both_ways_out(make: Any) -> None:
    with pytest.raises(TypeError) as caught:
        lr_find(*problem()[:3], make(), steps=2, progress=False)
    for part in ("tensor float32 (16, 8)", "batch_size=...", "DataLoader(data, batch_size=None)"):
        assert part in str(caught.value)
    model = nn.Sequential(problem()[0], nn.Flatten(0, 1))
    flat = lambda output, target: ce(output, target.flatten())  # noqa: E731
    assert len(lr_find(model, torch.optim.SGD, flat, make(), batch_size=4, steps=2)) == 2
    loader = DataLoader(make(), batch_size=None)
    assert len(lr_find(*problem()[:3], loader, steps=2, progress=False)) == 2


def sequences_by_index() -> Any:
    data = Indexed(8)
    items = sequences()
    return type("Sequences", (Indexed,), {"__getitem__": lambda self, i: items[i]})(data.length)


def test_a_list_of_vectors_is_refused_unless_a_size_is_given() -> None:
    vectors = [(torch.rand(8), torch.rand(8)) for _ in range(8)]
    model = nn.Linear(8, 8)
    with pytest.raises(TypeError, match=r"list of 8, the first of which is .*: samples, or batch"):
        lr_find(model, torch.optim.SGD, nn.MSELoss(), vectors)
    options = {"batch_size": 4, "steps": 2, "progress": False}
    assert len(lr_find(model, torch.optim.SGD, nn.MSELoss(), vectors, **options)) == 2


def test_a_step_of_ones_own_gets_lists_and_iterables_as_they_are() -> None:
    model, optimizer, *_ = problem()
    seen: list[Any] = []

    def step(batch: Any) -> torch.Tensor:
        seen.append(batch)
        return ce(model(batch[0][None]), batch[1][None])

    for data in (samples, iter(samples)):
        seen.clear()
        lr_find(TrainingTask(model, optimizer, data=data, step=step), steps=2, progress=False)
        assert [batch[0] is sample[0] for batch, sample in zip(seen, samples[:2], strict=True)]
    task = TrainingTask(model, optimizer, data=samples, step=lambda b: ce(model(b[0]), b[1]))
    assert task.batch_size is None
    task = TrainingTask(model, optimizer, data=samples, batch_size=4, step=lambda b: ce(*b))
    assert task.batch_size == 4


# -- a batch size given with a ready loader


def test_a_size_beside_a_ready_loader_is_the_same_in_the_constructor_and_in_start() -> None:
    loader = DataLoader(data_set, batch_size=16, drop_last=True)
    task = TrainingTask(*problem()[:3], loader, batch_size=24)
    assert (task.batch_size, task.data.drop_last, loader.batch_size) == (24, True, 16)
    assert TrainingTask(*problem()[:3], loader, batch_size=16).data is loader
    assert TrainingTask(*problem()[:3], loader).data is loader
    assert shapes(loader, batch_size=24) == [(24, 8)] * 4
    w = LRFinderWidget(*problem()[:3], loader, batch_size=24, steps=3)
    w.start()
    assert w.wait(60).meta["batch_size"] == 24
    w.start(batch_size=12)
    assert w.wait(60).meta["batch_size"] == 12
    w.start(data=DataLoader(data_set, batch_size=8))
    assert w.wait(60).meta["batch_size"] == 8
    w.close()


def test_a_size_among_the_options_of_the_loader_counts_and_two_sizes_are_refused() -> None:
    for data in (data_set, samples, Indexed(), Stream(lambda: samples), (x, y)):
        assert shapes(data, loader_options={"batch_size": 24}, steps=2) == [(24, 8)] * 2
    task = TrainingTask(
        *problem()[:3], data_set, loader_options={"batch_size": 24}, val_data=data_set
    )
    assert task.val_data.batch_size == 24
    with pytest.raises(ValueError, match=r"batch_size is 8, and 24 in loader_options"):
        TrainingTask(*problem()[:3], data_set, batch_size=8, loader_options={"batch_size": 24})
    with pytest.raises(TypeError, match=r"loader_options\['batch_size'\] is None"):
        TrainingTask(*problem()[:3], data_set, loader_options={"batch_size": None})
    with pytest.raises(ValueError, match="batch_size=8 beside a batch_sampler"):
        TrainingTask(
            *problem()[:3], data_set, batch_size=8, loader_options={"batch_sampler": [[0], [1]]}
        )


def test_a_numbered_loader_is_refused_at_once() -> None:
    batches = [(torch.randn(4, 3), torch.randn(4, 2))] * 3
    with pytest.raises(
        TypeError, match=r"an enumerate object.*give the loader itself: data=loader"
    ):
        as_loader(enumerate(batches), 32, None)
    assert next(as_loader(enumerate(batches), 32, None, own_step=True))[0] == 0


@pytest.mark.parametrize(
    "data",
    [
        (data_set, data_set),
        [DataLoader(data_set)],
        torch.utils.data.random_split(data_set, [0.5, 0.5]),
    ],
)
def test_several_data_sets_or_loaders_are_refused_at_once(data: Any) -> None:
    for call in (TrainingTask, LRFinderWidget):
        with pytest.raises(TypeError, match=r"give one of them, such as data=data\[0\]"):
            call(*problem()[:3], data)


@pytest.mark.parametrize(
    "data",
    [
        batches,
        iter(batches),
        Reiterable(batches),
        DataLoader(Stream(lambda: batches), batch_size=None),
        DataLoader(data_set, batch_sampler=[[0, 1], [2, 3]]),
    ],
    ids=lambda data: type(data).__name__,
)
@pytest.mark.parametrize("options", [{"batch_size": 8}, {"loader_options": {"num_workers": 1}}])
def test_what_makes_batches_beside_ready_ones_is_refused(data: Any, options: Any) -> None:
    (name,) = options
    for call in (TrainingTask, LRFinderWidget):
        with pytest.raises(TypeError, match=name):
            call(*problem()[:3], data, **options)


def test_a_size_beside_a_list_of_batches_shows_what_was_taken_for_one() -> None:
    graphs = [SimpleNamespace(x=one, edge_index=torch.zeros(2, 3)) for one in x]
    words = (
        r"batch_size=8 .* data is a list that gives batches already \(a SimpleNamespace\); .* Dat"
    )
    for data in (graphs, tuple(graphs)):
        with pytest.raises(TypeError, match=words.replace("list", type(data).__name__)):
            TrainingTask(*problem()[:2], data=data, step=lambda graph: graph.x, batch_size=8)


def test_a_size_beside_a_stream_of_batches_is_refused_when_it_is_read() -> None:
    pictures = [(x.reshape(16, 2, 2, 2), y) for x, y in batches]
    for data in (Stream(lambda: pictures), IndexedBatches()):
        with pytest.raises(TypeError, match=r"batch_size=8 needs samples .* gives batches already"):
            lr_find(*problem()[:3], data, batch_size=8, steps=2, progress=False)


def test_validation_data_is_read_alike_and_named() -> None:
    expected = lr_find(*problem()[:3], batches, val_data=[(x[:64], y[:64])], steps=2)
    for val_data in (samples[:64], (x[:64], y[:64])):
        options: Any = {"val_data": val_data, "batch_size": 64, "steps": 2, "progress": False}
        records = lr_find(*problem()[:3], samples, **options)
        ours, theirs = records.frame.val_loss[0], expected.frame.val_loss[0]
        assert ours == pytest.approx(theirs, rel=1e-5)
    ready = DataLoader(data_set, batch_size=48)
    assert TrainingTask(*problem()[:3], samples, val_data=ready, batch_size=8).val_data is ready
    with pytest.raises(TypeError, match="val_data is a Tensor"):
        TrainingTask(*problem()[:3], batches, val_data=x)
    with pytest.raises(ValueError, match="val_data is a list without a single batch"):
        TrainingTask(*problem()[:3], batches, val_data=[])


# -- arrays


def test_arrays_of_numpy_become_what_models_and_losses_take() -> None:
    floats, doubles, small = np.zeros((4, 2), "float16"), np.zeros((4, 2)), np.arange(4, dtype="i2")
    pictures, yes = np.zeros((4, 3, 8, 8), "uint8"), np.ones(4, bool)
    for given, dtype in [
        ((doubles, small), (torch.float32, torch.int64)),
        ((floats, small.astype("uint8")), (torch.float32, torch.int64)),
        ((pictures, yes), (torch.uint8, torch.bool)),
        ((torch.zeros(4, 2, dtype=torch.float64), small), (torch.float64, torch.int64)),
    ]:
        task = TrainingTask(*problem()[:3], given)
        assert tuple(tensor.dtype for tensor in task.data.dataset.tensors) == dtype
    frozen = doubles.copy()
    frozen.flags.writeable = False
    assert TrainingTask(*problem()[:3], (frozen, small)).batch_size == 32


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="arrays with 96, 50 rows; expected as many of each"):
        TrainingTask(*problem()[:3], (x, y[:50]))


def test_alike_tensors_in_a_list_are_batches_and_a_pair_of_them_data() -> None:
    model, loss_fn = nn.Linear(8, 8), nn.MSELoss()
    for data in ([x[:32], x[32:64]], [x[:32], x[32:40]], (x[:16], x[16:32], x[32:48])):
        assert TrainingTask(model, torch.optim.SGD, loss_fn, data).batch_size is None
    assert TrainingTask(model, torch.optim.SGD, loss_fn, (x, x + 1)).batch_size == 32
    assert TrainingTask(model, torch.optim.SGD, loss_fn, (x, x, y)).batch_size == 32


def test_several_inputs_in_arrays_are_taken_and_parts_that_are_not_alike_refused() -> None:
    for data in ((x, x, y), ((x, x + 1), y), ([x, x], y.numpy())):
        loader = TrainingTask(*problem()[:3], data).data
        assert [tuple(tensor.shape) for tensor in next(iter(loader))] == [(32, 8), (32, 8), (32,)]
    with pytest.raises(TypeError, match=r"a list of 2 \(tensor .*, tuple .* are not alike"):
        TrainingTask(*problem()[:3], [x, (x, y)])


# -- objects that cannot be used as data


class Graph:
    def __init__(self) -> None:
        self.x, self.y, self.edge_index = x, y, torch.zeros(2, 3, dtype=torch.long)

    def __len__(self) -> int:
        return 3

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key)


class Module:
    def train_dataloader(self) -> Any:
        return batches


class OfNoLength(Dataset[Any]):
    def __getitem__(self, index: int) -> Any:
        return x[index], y[index]


@pytest.mark.parametrize(
    ("data", "instead"),
    [
        (x, r"data=\(X, y\)"),
        (x.numpy(), r"data=\(X, y\)"),
        (pd.DataFrame({"a": [1.0]}), r"df\[target\].to_numpy\(\)"),
        (Graph(), r"data=\[graph\]"),
        ({"x": x, "y": y}, r"data=\(X, y\)"),
        ({"train": Indexed(), "test": Indexed()}, r"give one, data=data\['train'\]"),
        (Module(), r"data=data.train_dataloader\(\)"),
        (problem, r"call it.*data=problem\(\)"),
        (Indexed, r"make one, Indexed\(...\)"),
        ("photos", r"files are not read here.*ImageFolder\(path, transform\)"),
        (Path("table.csv"), r"files are not read here.*arrays as \(X, y\)"),
        (load_iris(), r"data=\(data\['data'\], data\['target'\]\)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_single_thing_is_refused_with_what_to_give_instead(data: Any, instead: str) -> None:
    for call in (TrainingTask, LRFinderWidget):
        with pytest.raises(TypeError, match=f"data is an? .*expected a DataLoader.*{instead}"):
            call(*problem()[:3], data)


def test_a_data_set_without_a_length_is_refused_unless_a_sampler_has_it() -> None:
    with pytest.raises(TypeError, match=r"OfNoLength, a data set without a length: .* a __len__"):
        lr_find(*problem()[:3], OfNoLength())
    options = {"sampler": range(8)}
    assert len(lr_find(*problem()[:3], OfNoLength(), loader_options=options, steps=2)) == 2


def test_a_check_of_rates_names_what_can_be_read_only_once() -> None:
    task = TrainingTask(*problem()[:3], (batch for batch in batches))
    with pytest.raises(ValueError, match="data is a generator, which can be read only once"):
        check_lrs(task, [1e-3], 2)
