"""The indices that a loader may read, and loaders of chosen indices."""

import abc
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import islice, pairwise
from typing import Any

from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    IterableDataset,
    Subset,
    WeightedRandomSampler,
)
from torch.utils.data.dataloader import _BaseDataLoaderIter

from lrwidget.backup.rng import unmoved
from lrwidget.data.batches import end_workers
from lrwidget.data.equal_samples import rows_by_value
from lrwidget.data.index_parts import IndexPart, indices_in
from lrwidget.data.reading import IndexedLoader
from lrwidget.data.table_rows import table_rows
from lrwidget.data.without import all_of, as_key, base_of, batching_of, innermost

# Upper limit of the indices that are read from a user's own sampler, which may be endless.
MOST_INDICES = 1_000_000
SEED = 20_250


class OwnIndices(abc.ABC):
    """A loader with indices that is none of torch's, private to its task."""

    @property
    @abc.abstractmethod
    def dataset(self) -> Any:
        """The data set that the indices are of."""

    @abc.abstractmethod
    def pool(self) -> Sequence[Any] | None:
        """Return the indices that a pass may read; None if it has none."""

    @abc.abstractmethod
    def batches_of(self, indices: Sequence[Any]) -> list[Any]:
        """Read the batches of some indices."""

    @abc.abstractmethod
    def leave_out(self, indices: frozenset[Any], stack: ExitStack) -> Any:
        """Skip some indices until the stack is closed; return the loader."""

    def remark(self, indices: Sequence[Any]) -> str:  # noqa: ARG002
        """Return what else is to be said of some indices."""
        return ""

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of the loader; its task begins a pass with `_get_iterator` among them."""
        return {}

    @property
    def draws(self) -> bool:
        """Whether each pass has another order."""
        return False


def pool_of(loader: Any) -> Sequence[Any] | None:
    """Return the indices that a pass over a loader may read; None if it has none."""
    loader = base_of(loader)
    if isinstance(loader, OwnIndices):
        return loader.pool()
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return None
    if isinstance(loader, IndexedLoader):
        if loader.asked.kind is None:
            with unmoved():
                end_workers(iter(loader))  # sets `asked.kind`
        if loader.asked.kind != "sample":
            return None
    inner, in_batches = innermost(loader)
    known = all_of(inner)
    if known is not None:
        return known
    try:
        given = _one_pass(inner, in_batches)
        with suppress(TypeError, NotImplementedError):  # a data set need not have a length
            given = indices_in(given, len(loader.dataset))  # type: ignore[arg-type]
        found = {index if isinstance(index, IndexPart) else as_key(index): None for index in given}
    except TypeError:  # the indices cannot be hashed, or are no batches
        return None
    return list(found) or None


def of_any_pass(loader: Any, pool: Sequence[Any]) -> Sequence[Any]:
    """Return the indices that some pass may read, of which `pool` has those of one.

    They are all of the data set where a sampler draws others in each pass.
    """
    loader = base_of(loader)
    if isinstance(pool, range) or not isinstance(loader, DataLoader):
        return pool
    with suppress(TypeError, NotImplementedError):
        every = range(len(loader.dataset))  # type: ignore[arg-type]
        if len(pool) < len(every) and set(pool) <= set(every) and _draws_others(loader):
            like = pool[0]
            if isinstance(like, IndexPart):
                return [IndexPart.of(like.item, like.place, index) for index in every]
            return every
    return pool


def _draws_others(loader: Any) -> bool:
    """Return whether a pass of a sampler may have other indices than another pass."""
    inner, in_batches = innermost(loader)
    if isinstance(inner, WeightedRandomSampler) or hasattr(inner, "set_epoch"):
        return True
    count = len(loader.dataset)
    with unmoved():
        first, second = (
            set(indices_in(list(_given_in(inner, in_batches)), count)) for _ in range(2)
        )
    return first != second


def _one_pass(sampler: Any, in_batches: bool) -> list[Any]:
    with unmoved():
        return list(_given_in(sampler, in_batches))


def _given_in(sampler: Any, in_batches: bool) -> Iterator[Any]:
    given = (index for item in sampler for index in (item if in_batches else [item]))
    return islice(given, MOST_INDICES)


def chosen(pool: Sequence[Any], count: int) -> list[Any]:
    """Return so many indices at random, the same ones each time.

    Sorted first, so that the choice does not depend on how a sampler was shuffled.
    """
    ordered = pool if isinstance(pool, range) else sorted(pool, key=_order)
    return random.Random(SEED).sample(ordered, count)


def _order(index: Any) -> tuple[bool, Any]:
    return (False, index) if isinstance(index, int) else (True, repr(index))


def of_indices(loader: Any, indices: Sequence[Any]) -> Any:
    """Return a loader of these samples, in batches of nearly equal sizes.

    It reads them in this process, but for a data set that workers have to prepare.
    """
    indices = [index.item if isinstance(index, IndexPart) else index for index in indices]
    made: Any = object.__new__(type(loader))
    left = {name: held for name, held in vars(loader).items() if name != "_get_iterator"}
    here = {"num_workers": 0, "prefetch_factor": None, "persistent_workers": False, "timeout": 0}
    if loader.num_workers and loader.worker_init_fn is not None:
        here = {"num_workers": 1, "persistent_workers": False}
    vars(made).update(left, _iterator=None, **here)
    if batching_of(loader) is None:
        vars(made)["sampler"] = list(indices)
    else:
        # A last batch of a single sample would weigh as much as a whole one.
        count = -(-len(indices) // _size_of(loader))
        borders = [part * len(indices) // count for part in range(count + 1)]
        parts = [list(indices[a:b]) for a, b in pairwise(borders)]
        vars(made)["sampler" if loader.batch_sampler is None else "batch_sampler"] = parts
    return made


def count_of(loader: Any, most: int) -> int | None:
    """Return how many samples a pass reads; None if it is not known, or more than `most`."""
    loader = base_of(loader)
    own = getattr(type(loader), "__iter__", None) is not DataLoader.__iter__
    batches = None if own else batching_of(loader)
    if isinstance(batches, list):
        count = sum(map(len, batches))
    elif type(batches) is BatchSampler and all_of(batches.sampler) is not None:
        count = len(batches.sampler)  # type: ignore[arg-type]
        count -= count % batches.batch_size if batches.drop_last else 0
    else:
        return None
    return count if 0 < count <= most else None


def whole_batches(loader: Any, wanted: int, count: int, most: int | None) -> int:
    """Return how many of `count` samples to hold out, near `wanted`.

    Where the last batch is dropped, all batches have the same size, which model or loss may need.
    """
    sampler = batching_of(loader) if isinstance(loader, DataLoader) else None
    if sampler is None or not getattr(sampler, "drop_last", False):
        return wanted
    size = _size_of(loader)
    batches = max(1, round(wanted / size))
    if most is not None and batches * size > most:
        batches = max(1, most // size)
    return batches * size if count - batches * size >= size else wanted


def _size_of(loader: Any) -> int:
    """Return the samples of a batch."""
    if loader.batch_size is not None:
        return int(loader.batch_size)
    batches = batching_of(loader)
    size = getattr(batches, "batch_size", None)
    if isinstance(size, int) and size > 0:
        return size
    with unmoved():
        return max(1, len(next(iter(batches), [])) or 32)


def without_own_iterator(loader: Any) -> Any:
    """Return a plain loader in place of one that goes on reading an iterator of its own.

    Such loaders (of timm, Ultralytics) repeat their batch sampler for ever, so as to keep their
    workers; samples that are left out now would still come from that iterator.
    """
    if not isinstance(loader, DataLoader):
        return loader
    held = dict(vars(loader), _iterator=None)
    own = [name for name, value in held.items() if isinstance(value, _BaseDataLoaderIter)]
    samplers = {name: _repeated(held.get(name)) for name in ("sampler", "batch_sampler")}
    if not own and all(sampler is held.get(name) for name, sampler in samplers.items()):
        return loader
    made: Any = object.__new__(DataLoader)
    vars(made).update({name: value for name, value in held.items() if name not in own}, **samplers)
    return made


def _repeated(sampler: Any) -> Any:
    """Return what a sampler repeats for ever; others themselves."""
    while hasattr(sampler, "sampler") and not hasattr(sampler, "__len__"):
        sampler = sampler.sampler
    return sampler


# -- samples under several indices ---------------------------------------------------------------


def with_the_same(dataset: Any, pool: Sequence[Any]) -> dict[Any, list[Any]] | None:
    """Return the indices that give the same sample, by the first of them; None if none do.

    A `Subset` may name a sample several times, a `ConcatDataset` a data set, and a list an object;
    rows of tensors and samples of a list may be equal.
    """
    sources = _sources(dataset)
    if sources is None:
        return None
    places = [i for i in pool if isinstance(i, int) and 0 <= i < len(sources)]
    if len(places) < len(pool) or len({sources[i] for i in places}) == len(places):
        return None
    groups: dict[Any, list[Any]] = {}
    for index in sorted(places):
        groups.setdefault(sources[index], []).append(index)
    return {group[0]: group for group in groups.values()}


def _sources(dataset: Any) -> list[Any] | None:
    """Return where the samples of subsets, joined data sets and lists come from; else None."""
    if isinstance(dataset, Subset):
        inner = _sources(dataset.dataset)
        indices = list(map(as_key, dataset.indices))
        if inner is not None:
            return [inner[index] for index in indices]
        return [(id(dataset.dataset), index) for index in indices]
    if isinstance(dataset, ConcatDataset):
        found: list[Any] = []
        for part in dataset.datasets:
            inner = _sources(part)
            if inner is None:
                inner = [(id(part), index) for index in range(len(part))]  # type: ignore[arg-type]
            found += inner
        return found
    values = rows_by_value(dataset)
    if values is not None:
        return [("value", value) for value in values]
    if type(dataset) in (list, tuple) and not any(map(_equal_by_value, dataset)):
        return [("item", id(item)) for item in dataset]
    return None


def _equal_by_value(item: Any) -> bool:
    """Return whether equal samples may be one object without being the same sample."""
    return isinstance(item, (int, float, str, bytes)) or item is None


def shared_with(loader: Any, other: Any) -> list[Any]:
    """Return the indices of a loader whose samples another loader gives too.

    Samples are the same if they come from one data set object, or from one column of a Hugging Face
    data set, whatever subsets are made of it.
    """
    found: dict[Any, None] = {}
    several = getattr(other, "loaders", None)  # of a framework's validation data
    for given in several if isinstance(several, list) else [other]:
        found.update(dict.fromkeys(_shared_by(loader, given)))
    return list(found)


def _shared_by(loader: Any, other: Any) -> list[Any]:
    own, given = _data_set_of(loader), _data_set_of(other)
    if own is None or given is None or not _bases(given) & _bases(own):
        return []
    pool, others = pool_of(loader), pool_of(other)
    try:
        sources, known = _all_sources(own), _all_sources(given)
        if pool is None or others is None or sources is None or known is None:
            return []
        taken = {known[index] for index in of_any_pass(other, others)}
        return [index for index in of_any_pass(loader, pool) if sources[index] in taken]
    except (IndexError, TypeError):  # samplers may give other indices than places
        return []


def _data_set_of(loader: Any) -> Any:
    loader = base_of(loader)
    return loader.dataset if isinstance(loader, DataLoader | OwnIndices) else None


def _bases(dataset: Any) -> set[int]:
    if isinstance(dataset, Subset):
        return _bases(dataset.dataset)
    if isinstance(dataset, ConcatDataset):
        return set().union(*map(_bases, dataset.datasets))
    rows = table_rows(dataset)
    return {id(dataset)} if rows is None else {address for address, _ in rows}


def _all_sources(dataset: Any) -> list[Any] | None:
    if isinstance(dataset, Subset) and (inner := _all_sources(dataset.dataset)) is not None:
        return [inner[index] for index in map(as_key, dataset.indices)]
    if isinstance(dataset, ConcatDataset):
        parts = [_all_sources(part) for part in dataset.datasets]
        return None if None in parts else [one for part in parts for one in part or ()]
    found = table_rows(dataset) or _sources(dataset)
    try:
        return [(id(dataset), i) for i in range(len(dataset))] if found is None else found
    except TypeError:
        return None


def rest_of(groups: dict[Any, list[Any]] | None, held: Sequence[Any]) -> Iterator[Any]:
    """Yield the held-out indices and all others that give the same samples."""
    group_of = {index: group for group in (groups or {}).values() for index in group}
    for index in held:
        yield from group_of.get(index, [index])
