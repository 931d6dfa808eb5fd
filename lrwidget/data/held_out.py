"""Held-out data for comparing trials: validation data, or a share of the training data."""

import abc
import random
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from lrwidget.backup.rng import unmoved
from lrwidget.data.batches import as_loader, end_workers
from lrwidget.data.passed_over import (
    MOST,
    MOST_BATCHES,
    KeptPlaces,
    Rest,
    read_batches,
)
from lrwidget.data.reading import IndexedLoader
from lrwidget.data.without import all_of, as_key, base_of, innermost, samplers_without

SHARE = 0.2
# Upper limit of the indices that are read from a user's own sampler, which may be endless.
MOST_INDICES = 1_000_000
SEED = 20_250


class HeldOut:
    """The held-out data, and how to keep it out of the training data.

    Args:
        words: describes the data to the user.
        batches: reads the data.
        leave_out: makes a private loader skip the data until the exit stack is closed.
    """

    def __init__(
        self,
        words: str,
        batches: Callable[[], list[Any]],
        leave_out: Callable[[Any, ExitStack], Any],
    ) -> None:
        self.words = words
        self.batches = batches
        self._leave_out = leave_out

    @contextmanager
    def left_out_of(self, loader: Any) -> Iterator[Any]:
        """Yield `loader` without the held-out data; the loader must be private, it is changed."""
        with ExitStack() as stack:
            yield self._leave_out(loader, stack)


def held_out_of(
    loader: Any,
    wanted: Any = None,
    val_data: Any = None,
    *,
    name: str = "val_data",
    as_batches: Callable[[Any], Any] | None = None,
) -> HeldOut:
    """Choose the held-out data.

    Args:
        loader: the training data, as the task reads it; private to the caller.
        wanted: the user's `held_out`: data, indices of samples (of batches if the loader has no
            samples), a share between 0 and 1, or None for a fifth, at most 512 samples.
        val_data: a loader of validation data, or None; used if `wanted` is None.
        name: what `val_data` is called.
        as_batches: makes batches of the data that the user gave; by default `as_loader`.

    Raises:
        TypeError, ValueError: `wanted` is invalid, or the loader cannot leave it out.
    """
    if wanted is None and val_data is not None:
        return _given(val_data, name)
    share = _share(wanted)
    indices = None if share is not None else _indices(wanted)
    if share is None and indices is None:
        make = as_batches or (lambda data: as_loader(data, 32, None, name="held_out"))
        return _given(make(wanted), "held_out")
    pool = _pool(loader)
    if pool is None:
        return _by_position(loader, share, indices)
    return _by_index(loader, pool, share, indices, capped=wanted is None)


# -- named by the user ---------------------------------------------------------------------------


def _share(wanted: Any) -> float | None:
    if wanted is None:
        return SHARE
    if isinstance(wanted, bool) or not isinstance(wanted, float | int):
        return None
    if not 0 < wanted < 1:
        raise ValueError(
            f"held_out is {wanted!r}; expected a share between 0 and 1, indices, or data to judge "
            "the trials by"
        )
    return float(wanted)


def refuse_bad_share(wanted: Any) -> None:
    """Refuse a value that cannot be a share, indices or data.

    Raises:
        TypeError, ValueError: the value is invalid.
    """
    if isinstance(wanted, bool | str):
        raise TypeError(f"held_out is {wanted!r}; expected data, indices, or a share such as 0.2")
    if _share(wanted) is None:
        _indices(wanted)


def _indices(wanted: Any) -> list[int] | None:
    """Return the indices if the user gave whole numbers or a mask; else None."""
    if isinstance(wanted, torch.Tensor | np.ndarray):
        kind = str(wanted.dtype)
        if wanted.ndim != 1 or not ("int" in kind or "bool" in kind):
            return None
        found = np.flatnonzero(wanted) if "bool" in kind else wanted
        indices = [int(index) for index in found.tolist()]
    elif isinstance(wanted, range | set | frozenset | list | tuple):
        if not all(isinstance(i, int | np.integer) and not isinstance(i, bool) for i in wanted):
            return None
        indices = sorted(map(int, wanted))
    else:
        return None
    if not indices:
        raise ValueError("held_out names no index; give at least one, or leave it out")
    return indices


def _given(loader: Any, name: str) -> HeldOut:
    def batches() -> list[Any]:
        return read_batches(loader, MOST)

    return HeldOut(f"the first {MOST} samples at most of {name}", batches, lambda data, _: data)


# -- by index ------------------------------------------------------------------------------------


def _pool(loader: Any) -> Sequence[Any] | None:
    """Return the indices that a pass over a loader may read; None if it has none."""
    if isinstance(loader, OwnIndices):
        return loader.pool()
    loader = base_of(loader)
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
    found: dict[Hashable, None] = {}
    with unmoved():
        for item in islice(inner, MOST_INDICES):
            try:
                found.update(dict.fromkeys(map(as_key, item if in_batches else [item])))
            except TypeError:  # the indices cannot be hashed
                return None
    return list(found) or None


def _by_index(
    loader: Any, pool: Sequence[Any], share: float | None, indices: Any, *, capped: bool
) -> HeldOut:
    inner = base_of(loader)
    if indices is not None:
        held = list(dict.fromkeys(indices))
        known = pool if isinstance(pool, range) else set(pool)
        unknown = sorted((index for index in held if index not in known), key=str)
        if unknown:
            raise ValueError(
                f"held_out names the index {unknown[0]!r}, which the training data does not have; "
                f"expected some of its {len(pool)}"
            )
        words = f"{len(held)} named of {len(pool)} samples"
    else:
        assert share is not None
        wanted = max(1, int(share * len(pool)))
        if capped:
            single = getattr(inner, "batch_sampler", inner) is None  # each index may be a batch
            wanted = min(wanted, MOST_BATCHES if single else MOST)
        # Sorted, so that the choice does not depend on how a sampler was shuffled.
        ordered = pool if isinstance(pool, range) else sorted(pool, key=_order)
        held = random.Random(SEED).sample(ordered, wanted)
        words = f"{wanted} of {len(pool)} samples, chosen at random"
    if len(held) >= len(pool):
        raise ValueError(
            f"holding out {len(held)} of {len(pool)} samples leaves none to train on; give "
            "val_data, or held_out= with data of its own"
        )
    kept_out = frozenset(held)
    if isinstance(loader, OwnIndices):
        own = loader
        return HeldOut(
            words, lambda: own.batches_of(held), lambda _, stack: own.leave_out(kept_out, stack)
        )

    def leave_out(private: Any, stack: ExitStack) -> Any:
        one: Any = base_of(private)
        changed = samplers_without(one, kept_out, pool)
        before = {name: vars(one)[name] for name in changed}
        stack.callback(vars(one).update, before)
        # Setting these attributes on a DataLoader raises.
        vars(one).update(changed)
        return private

    return HeldOut(words, lambda: read_batches(_of_indices(inner, held), None), leave_out)


def _order(index: Any) -> tuple[bool, Any]:
    return (False, index) if isinstance(index, int) else (True, repr(index))


def _of_indices(loader: Any, indices: Sequence[Any]) -> Any:
    """Return a loader of these samples that reads them in this process."""
    made: Any = object.__new__(type(loader))
    left = {name: held for name, held in vars(loader).items() if name != "_get_iterator"}
    here = {"num_workers": 0, "prefetch_factor": None, "persistent_workers": False, "timeout": 0}
    vars(made).update(left, _iterator=None, **here)
    if loader.batch_sampler is None:
        vars(made)["sampler"] = list(indices)
    else:
        size = loader.batch_size or 32
        parts = [list(indices[at : at + size]) for at in range(0, len(indices), size)]
        vars(made)["batch_sampler"] = parts
    return made


class OwnIndices(abc.ABC):
    """A loader with indices that is none of torch's, private to its task."""

    @abc.abstractmethod
    def pool(self) -> Sequence[Any] | None:
        """Return the indices that a pass may read; None if it has none."""

    @abc.abstractmethod
    def batches_of(self, indices: Sequence[Any]) -> list[Any]:
        """Read the batches of some indices."""

    @abc.abstractmethod
    def leave_out(self, indices: frozenset[Any], stack: ExitStack) -> Any:
        """Skip some indices until the stack is closed; return the loader."""


# -- by position ---------------------------------------------------------------------------------


def _by_position(loader: Any, share: float | None, indices: Sequence[int] | None) -> HeldOut:
    if not isinstance(loader, Iterable):
        raise TypeError(
            f"data is a {type(loader).__name__}, of which nothing can be held out; give "
            "validation data, or held_out= with data to judge the trials by"
        )
    count: int | None = None
    with suppress(TypeError):
        count = len(loader)  # type: ignore[arg-type]
    every = max(2, round(1 / share)) if share is not None else 0
    if share is not None and count is not None and count < every:
        every = max(2, count)
    loader = base_of(loader)
    kept = KeptPlaces(loader, every, frozenset(indices or ()))

    def leave_out(private: Any, stack: ExitStack) -> Any:
        own = getattr(base_of(private), "__dict__", {})
        begin = own.get("_get_iterator")
        if begin is None:
            return Rest(private, kept)
        # A framework reads this loader itself, so that it must stay the same object.
        own["_get_iterator"] = lambda: kept.passed_over(begin())
        stack.callback(own.__setitem__, "_get_iterator", begin)
        return private

    words = (
        f"batches {', '.join(map(str, list(indices)[:8]))} of a pass"
        if indices is not None
        else f"every {every}th batch of a pass, up to {MOST} samples"
    )
    words += "; where passes differ in order, trials may have seen the same samples"
    return HeldOut(words, kept.batches, leave_out)
