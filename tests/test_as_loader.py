"""What is handed in as data: samples are put into batches, batches are read as they are."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from lrwidget import LRFinderWidget, TrainingTask, check_lrs, lr_find
from tests.tasks import blobs, problem

data_set = blobs(96)
x, y = data_set.tensors
samples = [data_set[i] for i in range(96)]
batches = list(DataLoader(data_set, batch_size=16))
ce = nn.CrossEntropyLoss()


met: list[tuple[int, ...]] = []


class Seeing(nn.Module):
    """A classifier; what shapes it meets is noted."""

    def __init__(self) -> None:
        super().__init__()
        self.net = problem()[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        met.append(tuple(x.shape))
        return self.net(x.flatten(1))


def shapes(data: Any, steps: int = 4, **options: Any) -> list[tuple[int, ...]]:
    met.clear()
    lr_find(Seeing(), torch.optim.SGD, ce, data, steps=steps, progress=False, **options)
    return list(met)


def losses(data: Any, steps: int = 8, **options: Any) -> list[float]:
    records = lr_find(*problem()[:3], data, steps=steps, seed=3, progress=False, **options)
    return records.loss.tolist()


class Indexed:
    """A data set without torch's base class."""

    def __init__(self, length: int = 96) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        if index >= self.length:
            raise IndexError
        return samples[index]


class IndexedBatches:
    """A sequence of batches, as Keras has them."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        x, y = batches[index]
        return x.reshape(16, 2, 2, 2), y


class Loader(Indexed):
    """A loader that also shows its samples."""

    def __iter__(self) -> Iterator[Any]:
        return iter(batches)


class Stream(IterableDataset[Any]):
    def __init__(self, items: Callable[[], Any]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items())


class Reiterable:
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


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
        for x, y in batches:
            yield x.reshape(16, 2, 2, 2) + torch.rand(1), y.numpy()

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
        for x, y in samples:
            yield x + torch.rand(1), y

    assert losses(Augmented()) == losses(Torchs())
    assert losses(Stream(noisy)) == losses(DataLoader(Stream(noisy), batch_size=32))
    state = torch.get_rng_state()
    TrainingTask(*problem()[:3], Augmented())
    assert torch.equal(torch.get_rng_state(), state)


# -- where it cannot be told


def sequences() -> list[Any]:
    return [(torch.rand(16, 8), torch.randint(0, 4, (16,))) for _ in range(8)]


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


# -- a size beside what is ready


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


# -- single things


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
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_single_thing_is_refused_with_what_to_give_instead(data: Any, instead: str) -> None:
    for call in (TrainingTask, LRFinderWidget):
        with pytest.raises(TypeError, match=f"data is a .*expected a DataLoader.*{instead}"):
            call(*problem()[:3], data)


def test_a_check_of_rates_names_what_can_be_read_only_once() -> None:
    task = TrainingTask(*problem()[:3], (batch for batch in batches))
    with pytest.raises(ValueError, match="data is a generator, which can be read only once"):
        check_lrs(task, [1e-3], 2)


# -- the libraries


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
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # left by webdataset
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
