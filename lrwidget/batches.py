"""Batches: where they come from, how they reach the device."""

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lrwidget.collation import collate_at_once


class Exhausted(Exception):  # noqa: N818 - an event, as StopIteration is
    """The data ended for good: a generator, or an iterable that can be read only once."""


def as_loader(data: Any, batch_size: int, loader_options: Mapping[str, Any] | None) -> Any:
    """`data` as something to iterate: loaders and iterables as they are, a Dataset in a DataLoader.

    Raises:
        TypeError: `data` is none of these, or loader options are given for a ready loader.
        ValueError: `data` is known to be empty.
    """
    is_dataset = isinstance(data, Dataset) and not isinstance(data, DataLoader)
    if loader_options and not is_dataset:
        raise TypeError(
            f"loader_options={dict(loader_options)!r} need a Dataset, but data is a "
            f"{type(data).__name__}; set them where that loader is made"
        )
    if is_dataset:
        options: dict[str, Any] = {"batch_size": batch_size, **(loader_options or {})}
        if not isinstance(data, IterableDataset):
            refuse_empty(data)
            if "sampler" not in options and "batch_sampler" not in options:
                options.setdefault("shuffle", True)
        if "batch_sampler" in options:
            del options["batch_size"]
        return DataLoader(data, **options)
    readable = isinstance(data, Iterable) or hasattr(data, "__getitem__")
    if not readable or isinstance(data, (str, bytes, Mapping, torch.Tensor)):
        raise TypeError(
            f"data is a {type(data).__name__}; expected a DataLoader, a Dataset or an "
            "iterable of batches, such as DataLoader(TensorDataset(x, y), batch_size=32)"
        )
    refuse_empty(data)
    return data


def in_batches_of(data: Any, batch_size: int) -> Any:
    """The same data in batches of another size: a Dataset as it is, a DataLoader made anew.

    Raises:
        TypeError: `data` comes in batches that are not ours to make.
    """
    if isinstance(data, Dataset) and not isinstance(data, DataLoader):
        return data
    if type(data) is not DataLoader or data.batch_size is None:
        own = " with a batch_sampler of its own" if type(data) is DataLoader else ""
        raise TypeError(
            f"batch_size={batch_size!r} needs a Dataset or a DataLoader, but data is a "
            f"{type(data).__name__}{own}; give the batches too: data=..."
        )
    options = {name: getattr(data, name) for name in _LOADER_OPTIONS}
    if not isinstance(data.dataset, IterableDataset):
        options["sampler"] = data.sampler
    return DataLoader(data.dataset, batch_size=batch_size, **options)


_LOADER_OPTIONS = (
    "num_workers",
    "collate_fn",
    "pin_memory",
    "drop_last",
    "timeout",
    "worker_init_fn",
    "multiprocessing_context",
    "generator",
    "prefetch_factor",
    "persistent_workers",
    "pin_memory_device",
)


def refuse_empty(data: Any) -> None:
    """Raise a ValueError where `data` says that it has no batch."""
    try:
        length = len(data)
    except TypeError:
        return
    if length == 0:
        raise _no_batches(data)


def _no_batches(data: Any) -> ValueError:
    return ValueError(
        f"data is a {type(data).__name__} without a single batch; give at least one "
        "(a DataLoader with drop_last=True drops a data set smaller than its batch_size)"
    )


def loader_generators(data: Any) -> list[torch.Generator]:
    """The random generators that belong to a loader: its own and its samplers'."""
    sampler = getattr(data, "sampler", None)
    batch_sampler = getattr(data, "batch_sampler", None)
    owners = (data, sampler, batch_sampler, getattr(batch_sampler, "sampler", None))
    found: list[torch.Generator] = []
    for owner in owners:
        generator = getattr(owner, "generator", None)
        if isinstance(generator, torch.Generator) and not any(generator is g for g in found):
            found.append(generator)
    return found


class BatchSource:
    """Batches without end from a loader, epoch after epoch.

    Args:
        data: what `as_loader` returned.
        on_epoch: called each time the loader is begun anew after its first pass.

    Raises (from `next`):
        ValueError: the loader gives no batch at all.
        Exhausted: it gave some, and cannot be read again.
    """

    def __init__(self, data: Any, on_epoch: Callable[[], None]) -> None:
        if isinstance(data, DataLoader):
            # A private shallow copy: the user's loader may keep persistent workers and an epoch in
            # progress in its `_iterator`, which iter() would reset and leave behind.
            data = copy.copy(data)
            data._iterator = None
            collate_at_once(data)
        self._data = data
        self._on_epoch = on_epoch
        self._batches: Iterator[Any] = iter(data)
        self._empty = True
        self._fresh = True

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        for batch in self._batches:
            self._empty = self._fresh = False
            return batch
        if self._empty:
            raise _no_batches(self._data)
        if self._fresh:
            raise Exhausted
        self._fresh = True
        # With persistent workers this is the same iterator, wound back.
        self._batches = iter(self._data)
        for batch in self._batches:
            self._fresh = False
            self._on_epoch()
            return batch
        raise Exhausted

    def close(self) -> None:
        """End worker processes and pinning threads that the loader started for this source."""
        batches, self._batches = self._batches, iter(())
        self._data = None
        end_workers(batches)


def end_workers(iterator: Any) -> None:
    """End the worker processes and threads of a DataLoader iterator, where it has any."""
    shutdown = getattr(iterator, "_shutdown_workers", None)
    if shutdown is None:
        return
    queues = list(getattr(iterator, "_index_queues", ()))
    shutdown()
    for queue in queues:
        # torch closes the queues but does not wait for the threads that feed them.
        feeder = getattr(queue, "_thread", None)
        if feeder is not None:
            feeder.join(timeout=5)


def to_device(value: Any, device: torch.device) -> Any:
    """`value` with every tensor in it on `device`: nested tuples, lists, mappings, dataclasses and
    objects with a `to` of their own; anything else is passed on as it is."""
    if isinstance(value, torch.Tensor):
        return value if value.device == device else value.to(device, non_blocking=True)
    if type(value) is list:  # what a loader gives, before the questions that take longer
        return [to_device(item, device) for item in value]
    if isinstance(value, (str, bytes, int, float)) or value is None:
        return value
    if callable(getattr(value, "to", None)):  # before tuples: a PackedSequence is one
        return value.to(device)
    if isinstance(value, tuple):
        moved = [to_device(item, device) for item in value]
        return type(value)(*moved) if hasattr(value, "_fields") else tuple(moved)
    if isinstance(value, list):
        return [to_device(item, device) for item in value]
    if isinstance(value, Mapping):
        return {key: to_device(item, device) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changes = {
            field.name: to_device(getattr(value, field.name), device)
            for field in dataclasses.fields(value)
            if field.init
        }
        return dataclasses.replace(value, **changes)
    return value
