"""Loaders for data whose first item shows whether it yields samples or batches.

The first item is not lost, and the data is not read twice for it. Samples are collated into batches
as torch's DataLoader does; batches are passed on unchanged.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, default_convert
from torch.utils.data._utils.pin_memory import pin_memory

from lrwidget.backup.rng import unmoved
from lrwidget.data.collation import put_together
from lrwidget.data.samples import Kind, kind_of
from lrwidget.data.structure import describe, plain_shape
from lrwidget.text.articles import a_kind

OPTIONS_OF_SAMPLES = ("batch_sampler", "collate_fn", "drop_last", "sampler", "shuffle")


class BatchRequest:
    """The user's request for batches, and whether the data yields samples or batches.

    Args:
        name: name of the argument that the data was given as.
        batch_size: samples per batch.
        given: whether the user gave the batch size, or options that only apply to samples.
        kind: whether the data yields samples or batches; None if it is not known yet.
    """

    def __init__(self, name: str, batch_size: int, given: bool, kind: Kind | None = None) -> None:
        self.name = name
        self.batch_size = batch_size
        self.given = given
        self.kind = kind

    def resolve_kind(self, data: Any, item: Any, kind: Kind | None) -> Kind:
        """Set and return whether the data yields samples or batches.

        Args:
            data: the data.
            item: its first item.
            kind: what the structure of the item shows; None if it shows nothing.

        Raises:
            TypeError: the item does not show it, or contradicts the user's request.
        """
        if kind == "batch" and self.given:
            raise self.batched_already(data, item)
        if kind is None and not self.given:
            raise TypeError(
                f"{self.name} is {a_kind(data)} whose first item is {describe(item)}: one "
                "sample, or a batch of them? For samples give batch_size=...; for batches, "
                "DataLoader(data, batch_size=None)"
            )
        self.kind = kind or "sample"
        return self.kind

    def batched_already(self, data: Any, item: Any = None) -> TypeError:
        """Return the error for a batch size or options of samples with data of batches."""
        shown = "" if item is None else f" ({describe(item)})"
        return TypeError(
            f"batch_size={self.batch_size} needs samples to put together, but {self.name} is "
            f"{a_kind(data)} that gives batches already{shown}; leave out batch_size and "
            "loader_options, or give a DataLoader made as you want it"
        )


def batch_size_of(data: Any) -> int | None:
    """Return the number of samples per batch of a loader, or None if it is unknown."""
    asked = getattr(data, "asked", None)
    if isinstance(asked, BatchRequest) and asked.kind == "batch":
        return None
    size = getattr(data, "batch_size", None)
    return size if isinstance(size, int) else None


class _Batches(Iterator[Any]):
    """One pass over the batches of an inner iterator, which may be replaced after its first item.

    Other attributes, such as `_shutdown_workers`, are those of the inner iterator.
    """

    def __init__(self, inner: Iterator[Any]) -> None:
        self._inner = inner

    def __next__(self) -> Any:
        return next(self._inner)

    def __getattr__(self, name: str) -> Any:
        if name == "_inner":
            raise AttributeError(name)
        return getattr(self._inner, name)


class Iterated:
    """Batches of an iterable that is not a torch data set; its samples are collated.

    It draws no random numbers. Other attributes are those of the iterable.
    """

    def __init__(self, data: Iterable[Any], asked: BatchRequest) -> None:
        self.data = data
        self.asked = asked

    def __iter__(self) -> Iterator[Any]:
        items = iter(self.data)
        if items is self.data:  # its `__iter__`, which may begin a pass, is not called again
            items = _Batches(items)
        return items if self.asked.kind == "batch" else _IteratedBatches(items, self.asked)

    def __getattr__(self, name: str) -> Any:
        if name in ("data", "asked"):
            raise AttributeError(name)
        return getattr(self.data, name)


class _IteratedBatches(_Batches):
    def __init__(self, items: Iterator[Any], asked: BatchRequest) -> None:
        super().__init__(items)
        self._asked: BatchRequest | None = asked

    def __next__(self) -> Any:
        if self._asked is None:
            return next(self._inner)
        first = next(self._inner)
        asked, self._asked = self._asked, None
        asked.kind = asked.kind or ("sample" if kind_of(first) == "sample" else "batch")
        if asked.kind == "batch":
            return first
        self._inner = _grouped(chain((first,), self._inner), asked.batch_size)
        return next(self._inner)


def _grouped(samples: Iterator[Any], size: int) -> Iterator[Any]:
    while group := list(islice(samples, size)):
        yield put_together(group)


class StreamLoader(DataLoader[Any]):
    """A DataLoader over an iterable data set that may yield batches already."""

    def __init__(
        self, dataset: IterableDataset[Any], asked: BatchRequest, options: Mapping[str, Any]
    ) -> None:
        super().__init__(dataset, batch_size=asked.batch_size, **options)
        self.asked = asked
        self._options = dict(options)
        self._inner_loader: DataLoader[Any] | None = None

    def __iter__(self) -> Any:
        return _StreamedBatches(self)

    def open_inner(self) -> Any:
        """Return an iterator of the inner loader, which is created once."""
        if self._inner_loader is None:
            options, asked = dict(self._options), self.asked
            dataset: Any = self.dataset
            size: int | None = asked.batch_size
            if asked.kind == "batch":
                size = None
                for name in OPTIONS_OF_SAMPLES:
                    options.pop(name, None)
            elif asked.kind is None and self.num_workers == 0:
                dataset = _KindCheckingDataset(dataset, asked)
            elif (
                asked.kind is None
            ):  # a worker_init_fn may access the data set, so it is not wrapped
                options["collate_fn"] = _KindCheckingCollate(self.collate_fn, asked)
            self._inner_loader = DataLoader(dataset, batch_size=size, **options)
        return iter(self._inner_loader)

    def drop_inner(self) -> None:
        """Drop the inner loader; the next pass creates one for the kind that is known now."""
        self._inner_loader = None


class _StreamedBatches(_Batches):
    def __init__(self, loader: StreamLoader) -> None:
        self._loader = loader
        self._state = _state_of(loader.generator)
        super().__init__(loader.open_inner())

    def __next__(self) -> Any:
        try:
            batch = next(self._inner)
        except _GivesBatches as found:
            self._loader.asked.kind = "batch"
            self._loader.drop_inner()
            if self._loader.num_workers:
                # The workers read copies of the data set, so no item is lost.
                self._inner._shutdown_workers()  # type: ignore[attr-defined]
                _state_to(self._loader.generator, self._state)
                self._inner = self._loader.open_inner()
            else:
                convert = default_convert
                if self._loader.pin_memory and torch.cuda.is_available():
                    convert = _pinned
                self._inner = map(convert, chain((found.first,), found.rest))
            return next(self._inner)
        if self._loader.asked.kind is None:
            self._loader.asked.kind = "sample"  # a worker has checked it without an error
        return batch


class _GivesBatches(Exception):  # noqa: N818 - a result, not an error
    first: Any
    rest: Iterator[Any]


class _KindCheckingDataset(IterableDataset[Any]):
    """A data set that raises `_GivesBatches`, with its iterator, if its first item is a batch."""

    def __init__(self, dataset: Any, asked: BatchRequest) -> None:
        self._dataset = dataset
        self._asked = asked

    def __iter__(self) -> Iterator[Any]:
        return self._checked(iter(self._dataset))

    def _checked(self, items: Iterator[Any]) -> Iterator[Any]:
        for first in items:
            kind = self._asked.kind
            if kind is None:
                kind = self._asked.resolve_kind(self._dataset, first, _kind_of_streamed(first))
            if kind == "batch":
                found = _GivesBatches()
                found.first, found.rest = first, items
                raise found
            yield first
            break
        yield from items


class _KindCheckingCollate:
    def __init__(self, collate: Callable[[Any], Any], asked: BatchRequest) -> None:
        self._collate = collate
        self._asked = asked

    def __call__(self, samples: Any) -> Any:
        if self._asked.kind is None:
            data = torch.utils.data.get_worker_info()
            first = samples[0]
            kind = self._asked.resolve_kind(
                None if data is None else data.dataset, first, kind_of(first)
            )
            if kind == "batch":
                raise _GivesBatches
        return self._collate(samples)


def _kind_of_streamed(item: Any) -> Kind | None:
    """Return `kind_of(item)`; a single vector or number of an iterable data set is a sample."""
    shape = plain_shape(item)
    return "sample" if shape is not None and len(shape) < 2 else kind_of(item)


def _pinned(batch: Any) -> Any:
    return pin_memory(default_convert(batch))  # type: ignore[no-untyped-call]


def _state_of(generator: torch.Generator | None) -> torch.Tensor:
    return torch.get_rng_state() if generator is None else generator.get_state()


def _state_to(generator: torch.Generator | None, state: torch.Tensor) -> None:
    if generator is None:
        torch.set_rng_state(state)
    else:
        generator.set_state(state)


class IndexedLoader(DataLoader[Any]):
    """A DataLoader over an object with integer indices, whose items may be batches already."""

    def __init__(self, dataset: Any, asked: BatchRequest, options: Mapping[str, Any]) -> None:
        options = dict(options)
        if "batch_sampler" not in options:
            options["batch_size"] = asked.batch_size
        super().__init__(dataset, **options)
        self.asked = asked

    def __iter__(self) -> Any:
        data = self.dataset
        if self.asked.kind is None:
            with unmoved():
                self.asked.resolve_kind(data, *self._first(data))
        if self.asked.kind == "sample":
            return super().__iter__()
        return iter(data) if hasattr(data, "__iter__") else _in_order(data)

    def _first(self, data: Any) -> tuple[Any, Kind | None]:
        item = data[0]
        if isinstance(item, DataLoader):
            raise TypeError(
                f"{self.asked.name} is {a_kind(data)} of loaders; give one of them, such "
                f"as {self.asked.name}={self.asked.name}[0]"
            )
        kind = kind_of(item)
        if kind == "batch" or not hasattr(data, "__iter__"):
            return item, kind
        # It may be a loader whose samples can also be indexed.
        given = next(iter(data), item)
        return (item, kind) if describe(given) == describe(item) else (given, kind_of_given(given))


def kind_of_given(item: Any) -> Kind:
    """Return the kind of an item of an object whose iteration and indices yield different items."""
    return "sample" if kind_of(item) == "sample" else "batch"


def _in_order(data: Any) -> Iterator[Any]:
    for index in range(len(data)):
        yield data[index]
