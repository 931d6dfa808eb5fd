"""Loaders without some of their batches, and reading the batches of a pass into a list."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    default_collate,
)

from lrwidget.backup.rng import remember_shared, unmoved
from lrwidget.data.batches import BatchSource, Exhausted, end_workers, loader_generators
from lrwidget.data.collation import collate_in_words, put_together
from lrwidget.data.copies import copied
from lrwidget.data.counting import counted
from lrwidget.data.index_parts import indices_in
from lrwidget.data.named_samples import no_batch_left, refuse_other_batches
from lrwidget.data.private_copy import private_copy
from lrwidget.data.without import base_of, innermost

# Upper limit of held-out samples, unless the user gives a share.
MOST = 512
# Upper limit of held-out batches of a pass without indices: batches may be single samples.
MOST_BATCHES = 64
# So many indices, or batches of them, show whether a sampler's passes are alike.
ENOUGH = 1000
DRAWN = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)


class KeptPlaces:
    """The places of the held-out batches in a pass; reading the batches settles them.

    Args:
        loader: the loader.
        part: the share of the batches to hold out.
        named: the places that the user named, if any.
        workers: how many workers give batches in turn. Where they do not share a stream out, each
            gives the same batches, so that what all of them give in a turn is held out together.
    """

    def __init__(self, loader: Any, part: Fraction, named: frozenset[int], workers: int) -> None:
        self._loader = loader
        self._part = part
        self._named = named
        self._workers = workers
        self.places: frozenset[int] = named

    def batches(self) -> list[Any]:
        """Read the held-out batches, and settle their places."""
        found, seen = self._read(self._workers)
        if not found and self._workers > 1:
            found, seen = self._read(1)
        refuse_other_batches(sorted(self._named - set(found)), seen)
        if not found or seen == len(found):
            raise no_batch_left(seen)
        self.places = frozenset(found)
        return list(found.values())

    def _read(self, workers: int) -> tuple[dict[int, Any], int]:
        """Return the batches to hold out, by place, and how many were read."""
        found: dict[int, Any] = {}
        samples, seen = 0, 0
        loader = private_copy(self._loader)
        keep = keeper(loader)
        batches = iter(loader)
        try:
            for place, batch in enumerate(batches):
                seen += 1
                if self._named:
                    if place in self._named:
                        found[place] = keep(batch)
                    if place > max(self._named):
                        break
                    continue
                if place % workers == 0 and (samples >= MOST or len(found) >= MOST_BATCHES):
                    break
                turn, part = place // workers, self._part
                if int((turn + 1) * part) > int(turn * part):
                    found[place] = keep(batch)
                    samples += rows_of(batch)
        finally:
            end_workers(batches)
        return found, seen

    def passed_over(self, batches: Iterator[Any]) -> "_Passing":
        """Return one pass without the held-out batches."""
        return _Passing(batches, lambda place: place in self.places)


class Rest:
    """A loader without the held-out batches of each pass; other attributes are the loader's."""

    nothing_left = (
        "no batch is left to train on beside those that are held out; data that can be read only "
        "once cannot be used, since each rate needs the same batches: give a DataLoader, a Dataset "
        "or a list"
    )

    def __init__(self, loader: Any, kept: KeptPlaces) -> None:
        self._loader = private_copy(loader)
        self._kept = kept

    def __iter__(self) -> Iterator[Any]:
        return self._kept.passed_over(iter(self._loader))

    def __getattr__(self, name: str) -> Any:
        if name in ("_loader", "_kept"):
            raise AttributeError(name)
        return getattr(self._loader, name)


class Skipping:
    """A loader, or its sampler, whose first pass skips its first `count` batches.

    What is drawn for them was drawn when they were read, so that the generators stay.
    """

    def __init__(self, loader: Any, count: int) -> None:
        self._loader = private_copy(loader)
        self._left = count
        self._undo_draws = remember_shared()

    def __iter__(self) -> Iterator[Any]:
        left = self._left
        if not left:
            return iter(self._loader)
        with unmoved():
            batches: Iterator[Any] = iter(self._loader)
            while left:
                passed = sum(1 for _ in islice(batches, left))
                left -= passed
                # If some are left, the pass has ended; the rest may span several passes.
                left %= passed or 1
                if left:
                    batches = _next_pass(self._loader, batches)
        return _Begun(batches, self._loader, self._begun)

    def _begun(self) -> Callable[[], None]:
        # Not before: workers begin a pass over a sampler twice.
        self._left = 0
        return self._undo_draws

    def __len__(self) -> int:
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        if name in ("_loader", "_left", "_undo_draws"):
            raise AttributeError(name)
        return getattr(self._loader, name)


class _Begun(Iterator[Any]):
    """The rest of a pass; where nothing is left of it, the next pass.

    Other attributes are those of the inner iterator.
    """

    def __init__(
        self, inner: Iterator[Any], loader: Any, begun: Callable[[], Callable[[], None]]
    ) -> None:
        self._inner = inner
        self._loader = loader
        self._begun = begun

    def __next__(self) -> Any:
        loader, self._loader = self._loader, None
        if loader is not None:
            redo_draws = remember_shared()
            self._begun()()  # a DataLoader draws when it begins a pass, and this one has begun
            with suppress(StopIteration):
                return next(self._inner)
            redo_draws()
            self._inner = _next_pass(loader, self._inner)
        return next(self._inner)

    def __getattr__(self, name: str) -> Any:
        if name in ("_inner", "_loader", "_begun"):
            raise AttributeError(name)
        return getattr(self._inner, name)


def _next_pass(loader: Any, ended: Iterator[Any]) -> Iterator[Any]:
    if not getattr(loader, "persistent_workers", False):  # else its iterator is used again
        end_workers(ended)
    return iter(loader)


class _Passing(Iterator[Any]):
    """One pass without the skipped batches; other attributes are those of the inner iterator."""

    def __init__(self, inner: Iterator[Any], passes_over: Callable[[int], bool]) -> None:
        self._inner = inner
        self._passes_over = passes_over
        self._place = -1

    def __next__(self) -> Any:
        while True:
            item = next(self._inner)
            self._place += 1
            if not self._passes_over(self._place):
                return item

    def _reset(self, *arguments: Any) -> None:
        """Begin another pass, as a DataLoader with persistent workers does."""
        self._inner._reset(*arguments)  # type: ignore[attr-defined]
        self._place = -1

    def __getattr__(self, name: str) -> Any:
        if name == "_inner":
            raise AttributeError(name)
        return getattr(self._inner, name)


# -- reading -------------------------------------------------------------------------------------


def in_fixed_order(loader: Any) -> bool:
    """Return whether each pass gives the same batches, so that a trial continues by skipping.

    Of a user's own sampler two passes are compared.
    """
    loader = base_of(loader)
    if getattr(loader, "draws", False):  # of a framework's own loader
        return False
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return True
    sampler, in_batches = innermost(loader)
    if isinstance(sampler, SequentialSampler | list | tuple | range | np.ndarray | torch.Tensor):
        return True
    if type(sampler) in DRAWN:
        return False
    own = [(generator, generator.get_state()) for generator in loader_generators(loader)]
    # Not to the end of a pass, at which a sampler may change its order for the next one.
    most = ENOUGH
    with suppress(TypeError, NotImplementedError):
        most = max(1, min(most, len(sampler) - 1))
    with unmoved():
        first, second = (
            _indices_of(islice(sampler, most), in_batches, loader.dataset) for _ in range(2)
        )
    for generator, state in own:
        generator.set_state(state)
    return repr(first) == repr(second)


def _indices_of(given: Iterable[Any], in_batches: bool, dataset: Any) -> list[Any]:
    """Return the indices that a sampler gave, without sizes or flags beside them."""
    items = [index for item in given for index in (item if in_batches else [item])]
    with suppress(TypeError, NotImplementedError):
        return indices_in(items, len(dataset))
    return items


def keeper(loader: Any) -> Callable[[Any], Any]:
    """Return what makes a batch of a loader one that is kept while the next is read.

    A loader of one's own may use the same buffers for each batch, so that it is copied; not that of
    a list, nor one that torch makes of samples or gets from another process.
    """
    while isinstance(loader, Rest | Skipping):
        loader = loader._loader
    if isinstance(loader, list | tuple):
        return _as_it_is
    new = (default_collate, collate_in_words, put_together)
    if type(loader) is DataLoader and (loader.num_workers or loader.collate_fn in new):
        return _as_it_is
    return copied


def _as_it_is(batch: Any) -> Any:
    return batch


def read_batches(loader: Any, most: int | None) -> list[Any]:
    """Read the batches of one pass, and stop at `most` samples."""
    passes: list[int] = []
    source = BatchSource(loader, on_epoch=passes.append)
    keep = keeper(loader)
    found: list[Any] = []
    samples = 0
    try:
        while most is None or samples < most:
            batch = next(source)
            if passes:
                break
            found.append(keep(batch))
            samples += rows_of(batch)
    except Exhausted:
        pass
    finally:
        source.close()
    return found


def rows_of(batch: Any) -> int:
    """Return the number of samples in a batch, from its tensors' sizes; 1 without tensors."""
    return counted(batch) or 1


def samples_of(batches: Iterable[Any]) -> int | None:
    """Return the number of samples in batches; None if it does not follow from tensors."""
    counts = [counted(batch) for batch in batches]
    return None if None in counts else sum(filter(None, counts))
