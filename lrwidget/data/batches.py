"""Make loaders of data, read batches from them, and move batches to the device."""

import copy
import dataclasses
import operator
from collections import UserDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lrwidget.backup.walk import types_among
from lrwidget.data.arrays import arrays_as_data_set
from lrwidget.data.collation import collate_at_once, collation_of, put_together
from lrwidget.data.known_datasets import as_tensors, holds_a_loader, known_kind
from lrwidget.data.no_data import refuse_numbered, refuse_several, refuse_what_is_no_data
from lrwidget.data.private_copy import private_copy
from lrwidget.data.reading import (
    OPTIONS_OF_SAMPLES,
    BatchRequest,
    IndexedLoader,
    Iterated,
    StreamLoader,
)
from lrwidget.data.samples import kind_of_list
from lrwidget.data.structure import describe
from lrwidget.text.articles import a_kind
from lrwidget.validation import whole_number


class Exhausted(Exception):  # noqa: N818 - an event, as StopIteration is
    """The data has ended and cannot be read again, such as a generator."""


def as_loader(
    data: Any,
    batch_size: int,
    loader_options: Mapping[str, Any] | None,
    *,
    given: bool = False,
    own_step: bool = False,
    name: str = "data",
) -> Any:
    """Return an iterable of batches of `data`; a DataLoader collates samples into batches.

    Samples are the items of a data set (of torch, Hugging Face, or any with integer indices), and
    the items of a list or an iterable if their structure shows it. Loaders and batches are returned
    unchanged.

    Args:
        data: a DataLoader, a data set, `(X, y)` in tensors or arrays, samples or batches.
        batch_size: samples per batch, if batches are made here.
        loader_options: options of the DataLoader, if one is made; it shuffles by default.
        given: whether the user gave `batch_size`; then a loader is recreated with this size.
        own_step: whether the batches go to a custom step, which may expect anything; then lists
            and iterables that are not data sets are read unchanged.
        name: name of the argument that `data` was given as.

    Raises:
        TypeError: `data` is none of these, its structure does not show whether it has samples or
            batches, or `batch_size` or options are given for data that already has batches.
        ValueError: `data` is known to be empty.
    """
    options = dict(loader_options or {})
    if isinstance(data, DataLoader):
        if options:
            raise _options_need_samples(options, data, name)
        if given and data.batch_size != batch_size:
            data = in_batches_of(data, batch_size, name)
        refuse_empty(private_copy(data), name)  # over a stream, its length is noted in the loader
        return data
    kind = known_kind(data)
    given = given or any(option in options for option in OPTIONS_OF_SAMPLES)
    asked = BatchRequest(name, batch_size, given, kind)
    if kind == "batch" and (given or (options and holds_a_loader(data))):
        raise asked.batched_already(data)
    if isinstance(data, IterableDataset):
        return data if holds_a_loader(data) else StreamLoader(as_tensors(data), asked, options)
    if isinstance(data, Dataset):
        refuse_empty(data, name)
        options.setdefault("collate_fn", collation_of(data))
        try:
            return DataLoader(data, **_options_of_samples(options, batch_size))
        except TypeError as error:
            if hasattr(data, "__len__"):
                raise
            raise TypeError(
                f"{name} is {a_kind(data)}, a data set without a length: give its class a __len__ "
                "that returns the number of its samples, or make it an IterableDataset"
            ) from error
    refuse_what_is_no_data(data, name)
    refuse_empty(data, name)
    if not own_step:
        refuse_several(data, name)
        refuse_numbered(data, name)
    arrays = arrays_as_data_set(data, name, own_step)
    if arrays is not None:
        return DataLoader(arrays, **_options_of_samples(options, batch_size))
    if isinstance(data, (list, tuple)):
        if _are_samples(data, asked, own_step and not options):
            options.setdefault("collate_fn", put_together)
            return DataLoader(list(data), **_options_of_samples(options, batch_size))  # type: ignore[arg-type]
    elif hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        options.setdefault("collate_fn", put_together)
        return IndexedLoader(as_tensors(data), asked, _options_of_samples(options, None))
    if options:
        raise _options_need_samples(options, data, name)
    if given:
        if isinstance(data, (list, tuple)):
            raise asked.batched_already(data, data[0])
        return in_batches_of(data, batch_size, name)
    if own_step or isinstance(data, (list, tuple)):
        return data
    return Iterated(data, asked)


def asked_size(
    batch_size: int | None, loader_options: Mapping[str, Any] | None
) -> tuple[int | None, dict[str, Any]]:
    """Return the batch size, which `loader_options` may contain, and the other options.

    Raises:
        TypeError: the options are not in a mapping.
        ValueError: two different sizes are given, or a size together with a batch sampler.
    """
    if loader_options is not None and not isinstance(loader_options, Mapping):
        raise TypeError(
            f"loader_options is {loader_options!r}; expected options of a DataLoader in a dict, "
            "such as {'num_workers': 2}"
        )
    options = dict(loader_options or {})
    if "batch_size" in options:
        among = options.pop("batch_size")
        if batch_size is not None and batch_size != among:
            raise ValueError(
                f"batch_size is {batch_size!r}, and {among!r} in loader_options; give one of them"
            )
        batch_size = whole_number("loader_options['batch_size']", among, 1)
    if batch_size is not None and options.get("batch_sampler") is not None:
        raise ValueError(
            f"batch_size={batch_size!r} beside a batch_sampler in loader_options, which makes the "
            "batches itself; give one of them"
        )
    return batch_size, options


def _are_samples(items: Sequence[Any], asked: BatchRequest, own_step: bool) -> bool:
    if own_step and not asked.given:
        return False
    kinds = {issubclass(kind, torch.Tensor) for kind in types_among(items)}
    if len(kinds) > 1:
        raise TypeError(
            f"{asked.name} is {describe(items)}, whose parts are not alike; expected batches, all "
            "of one form, samples, or (X, y), with several inputs as (X1, X2, y)"
        )
    kind = kind_of_list(items)
    if kind is None and not asked.given:
        raise TypeError(
            f"{asked.name} is {a_kind(items)} of {len(items)}, the first of which is "
            f"{describe(items[0])}: samples, or batches? For samples give batch_size=..., or "
            "(X, y); batches of so many numbers would be of shape (n, 1)"
        )
    return kind != "batch"


def _options_of_samples(options: Mapping[str, Any], batch_size: int | None) -> dict[str, Any]:
    """Return the options of a DataLoader over a data set with indices."""
    full = dict(options)
    if "batch_sampler" not in full:
        if batch_size is not None:
            full["batch_size"] = batch_size
        if "sampler" not in full:
            full.setdefault("shuffle", True)
    return full


def _options_need_samples(options: Mapping[str, Any], data: Any, name: str) -> TypeError:
    return TypeError(
        f"loader_options={dict(options)!r} need a Dataset or samples in a list, but {name} is "
        f"{a_kind(data)}, which gives batches already; set them where it is made"
    )


def in_batches_of(data: Any, batch_size: int, name: str = "data") -> Any:
    """Return a copy of a DataLoader with another batch size.

    Raises:
        TypeError: `data` is not a plain DataLoader with a batch size.
    """
    if type(data) is not DataLoader or data.batch_size is None:
        own = " with a batch_sampler of its own" if type(data) is DataLoader else ""
        raise TypeError(
            f"batch_size={batch_size!r} needs a Dataset or a DataLoader, but {name} is "
            f"{a_kind(data)}{own}; give the batches too: {name}=..."
        )
    options = {option: getattr(data, option) for option in _LOADER_OPTIONS}
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


def refuse_empty(data: Any, name: str = "data") -> None:
    """Raise a ValueError if `len(data)` is 0."""
    try:
        length = len(data)
    except TypeError:
        return
    if length == 0:
        raise _no_batches(data, name)


def _no_batches(data: Any, name: str = "data") -> ValueError:
    given = data.data if isinstance(data, Iterated) else data
    mend = "(a DataLoader with drop_last=True drops a data set smaller than its batch_size)"
    if isinstance(given, Iterator):
        mend = "(an iterator that was read to its end, as by an earlier sweep, has no more)"
    return ValueError(f"{name} is {a_kind(given)} without a single batch; give at least one {mend}")


def loader_generators(data: Any) -> list[torch.Generator]:
    """Return the random generators of a loader and its samplers."""
    sampler = getattr(data, "sampler", None)
    batch_sampler = getattr(data, "batch_sampler", None)
    owners = (data, sampler, batch_sampler, getattr(batch_sampler, "sampler", None))
    found: list[torch.Generator] = []
    for owner in owners:
        generator = getattr(owner, "generator", None)
        if isinstance(generator, torch.Generator) and not any(generator is g for g in found):
            found.append(generator)
    return found


_END = object()


class BatchSource:
    """An endless iterator of batches of a loader, epoch after epoch.

    Args:
        data: a loader from `as_loader`.
        on_epoch: called at the beginning of each epoch after the first, with the number of batches
            of the one that has ended.

    Raises (from `next`):
        ValueError: the loader has no batches.
        Exhausted: the loader cannot be read again after its first pass.
    """

    def __init__(self, data: Any, on_epoch: Callable[[int], object]) -> None:
        if isinstance(data, DataLoader):
            # The user's may have persistent workers and an epoch in progress in its `_iterator`,
            # which iter() would reset.
            data = private_copy(data)
            collate_at_once(data)
        self._data = data
        self._on_epoch = on_epoch
        self._batches: Iterator[Any] = iter(data)
        self._empty = True
        self._given = 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        # Not by a for loop: loaders of one's own may begin a pass in their iterator's `__iter__`.
        batch = next(self._batches, _END)
        if batch is not _END:
            self._given += 1
            return batch
        if self._empty and not self._given:
            why: str | None = getattr(type(self._data), "nothing_left", None)
            raise _no_batches(self._data) if why is None else ValueError(why)
        if not self._given:
            raise Exhausted
        self._empty, ended, self._given = False, self._given, 0
        # With persistent workers this is the same iterator, reset.
        self._batches = iter(self._data)
        batch = next(self._batches, _END)
        if batch is _END:
            raise Exhausted
        self._given = 1
        self._on_epoch(ended)
        return batch

    def close(self) -> None:
        """End the worker processes and pinning threads that this source started."""
        batches, self._batches = self._batches, iter(())
        self._data = None
        end_workers(batches)


def end_workers(iterator: Any) -> None:
    """End the worker processes and threads of a DataLoader iterator, if it has any."""
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
    """Return `value` with every tensor in it moved to `device`.

    Tensors are found in nested tuples, lists, mappings and dataclasses, which stay of their class;
    objects with a method `to` are moved with it, also in place; any other object is returned
    unchanged.
    """
    if isinstance(value, torch.Tensor):
        return value if value.device == device else value.to(device, non_blocking=True)
    if type(value) is list:  # the usual batch; tested first for speed
        return [to_device(item, device) for item in value]
    if isinstance(value, (str, bytes, int, float)) or value is None:
        return value
    if _moves_itself(value):  # before tuples: a PackedSequence is one
        moved = value.to(device)
        return value if moved is None else moved  # some move themselves and return nothing
    if isinstance(value, tuple):
        return _tuple_like(value, [to_device(item, device) for item in value])
    if isinstance(value, list):
        return _list_like(value, [to_device(item, device) for item in value])
    if isinstance(value, Mapping):
        return _mapping_like(value, {key: to_device(item, device) for key, item in value.items()})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # Not by `replace`, which makes it anew: a `__post_init__` would run twice.
        made = copy.copy(value)
        fields = [field.name for field in dataclasses.fields(value)]
        # A `__post_init__` or a cached property may have set tensors that are no fields.
        others = getattr(value, "__dict__", {}).items()
        names = dict.fromkeys([*fields, *[k for k, v in others if isinstance(v, torch.Tensor)]])
        for name in names:
            if hasattr(value, name):
                object.__setattr__(made, name, to_device(getattr(value, name), device))
        return made
    return value


def _moves_itself(value: Any) -> bool:
    try:
        return callable(getattr(value, "to", None))
    except LookupError:  # of a dict whose keys are its attributes
        return False


def _tuple_like(value: tuple[Any, ...], items: list[Any]) -> Any:
    if type(value) is tuple or not any(map(operator.is_not, items, value)):
        return tuple(items) if type(value) is tuple else value
    try:
        made = tuple.__new__(type(value), items)
    except TypeError:  # of a class of C, such as what torch.max returns
        return tuple(items)
    if hasattr(value, "__dict__"):
        vars(made).update(vars(value))
    return made


def _list_like(value: list[Any], items: list[Any]) -> Any:
    try:
        made = copy.copy(value)
        made[:] = items
    except Exception:  # noqa: BLE001 - a class may refuse to be copied or changed
        return items
    return made


def _mapping_like(value: Mapping[Any, Any], items: dict[Any, Any]) -> Any:
    # Of another mapping a copy may write to the original.
    if type(value) is dict or not isinstance(value, (dict, UserDict)):
        return items
    try:
        made: Any = copy.copy(value)
        if getattr(value, "__dict__", None) is value:  # its keys are its attributes
            made.__dict__ = made
        for key, item in items.items():  # not by `update`, which may pass over the class's own
            if made[key] is not item:
                made[key] = item
    except Exception:  # noqa: BLE001 - a class may refuse to be copied or changed
        return items
    return made
