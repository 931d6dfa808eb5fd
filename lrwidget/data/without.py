"""Loaders without some of their samples, by the indices that their samplers give.

A sampler that shares its indices out among the ranks of a process group is given the rest to share
out, so that all ranks keep as many samples.
"""

import copy
import operator
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from typing import Any

from torch.utils.data import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
)

from lrwidget.backup.rng import unmoved
from lrwidget.data.index_parts import key_like


def base_of(loader: Any) -> Any:
    """Return the loader that has the data set: Accelerate's loaders wrap another."""
    held = getattr(loader, "__dict__", {})
    return held.get("base_dataloader", loader)


def batching_of(loader: Any) -> Any:
    """Return what gives the batches of indices of a DataLoader; None if it reads single ones.

    With `batch_size=None` a sampler, too, may give a list at a time, which the data set then reads.
    """
    if loader.batch_sampler is not None or loader.batch_size is not None:
        return loader.batch_sampler
    return loader.sampler if _gives_lists(loader.sampler) else None


def _gives_lists(sampler: Any) -> bool:
    if isinstance(sampler, BatchSampler | RandomSampler | SequentialSampler):
        return isinstance(sampler, BatchSampler)
    with unmoved():
        first = next(iter(sampler), None)
    return isinstance(first, list) or getattr(first, "ndim", 0) == 1


def innermost(loader: Any) -> tuple[Any, bool]:
    """Return the sampler that gives the indices of a DataLoader, and whether it gives batches."""
    own = batching_of(loader)
    in_batches = own is not None
    own = own if in_batches else loader.sampler
    while True:
        if type(own) is BatchSampler:
            own, in_batches = own.sampler, False
        elif _shares_out_batches(own):
            own = own.batch_sampler
        else:
            return own, in_batches


def all_of(sampler: Any) -> range | None:
    """Return all indices of the data set of a sampler; None if it may give others or fewer."""
    if type(sampler) in (RandomSampler, SequentialSampler) or _is_seedable(sampler):
        return range(len(sampler.data_source))
    return range(len(sampler.dataset)) if _shares_out_samples(sampler) else None


def samplers_without(loader: Any, held: frozenset[Any], pool: Sequence[Any]) -> dict[str, Any]:
    """Return the samplers of a DataLoader without some indices, by attribute of the loader.

    Args:
        loader: the loader, which is not changed.
        held: the indices to leave out.
        pool: all indices of the loader.
    """
    if loader.batch_sampler is None:
        in_lists = batching_of(loader) is not None
        without: Any = _batches_without if in_lists else _sampler_without
        return {"sampler": without(loader.sampler, held, pool)}
    return {"batch_sampler": _batches_without(loader.batch_sampler, held, pool)}


def as_key(index: Any) -> Any:
    """Return an index as a number if it is one; else itself, if it can be hashed."""
    try:
        return operator.index(index)
    except TypeError:
        hash(index)
        return index


def _batches_without(sampler: Any, held: frozenset[Any], pool: Sequence[Any]) -> Any:
    if type(sampler) is BatchSampler:
        inner = _sampler_without(sampler.sampler, held, pool)
        size, left = sampler.batch_size, len(pool) - len(held)
        with suppress(TypeError, NotImplementedError):
            left = len(inner)
        # A batch of one sample, which batch norm refuses, may only come from holding out.
        drops = sampler.drop_last or left % size == 1
        # The rest may be smaller than one batch; dropping it would leave no data.
        return BatchSampler(inner, size, drops and left >= size > 1)
    if _shares_out_batches(sampler):
        made = copy.copy(sampler)
        made.batch_sampler = _batches_without(sampler.batch_sampler, held, pool)
        return made
    return _BatchesWithout(sampler, held, key_like(next(iter(pool), None), as_key))


def _sampler_without(sampler: Any, held: frozenset[Any], pool: Sequence[Any]) -> Any:
    if _shares_out_samples(sampler):
        return _SharedOut(sampler, [index for index in pool if index not in held])
    return _Without(sampler, held, key_like(next(iter(pool), None), as_key))


def _shares_out_samples(sampler: Any) -> bool:
    return isinstance(sampler, DistributedSampler) and (
        type(sampler).__iter__ is DistributedSampler.__iter__
    )


def _shares_out_batches(sampler: Any) -> bool:
    """Return whether it gives one rank its batches of another batch sampler, as Accelerate's."""
    return type(sampler).__name__ == "BatchSamplerShard" and hasattr(sampler, "batch_sampler")


def _is_seedable(sampler: Any) -> bool:
    """Return whether it is Accelerate's random sampler."""
    return type(sampler).__name__ == "SeedableRandomSampler" and isinstance(sampler, RandomSampler)


class _Wrapper(Sampler[Any]):
    """A sampler in place of another; other attributes are those of the inner one."""

    def __init__(self, sampler: Any) -> None:
        self._inner = sampler

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("_inner", "_held", "_key", "_rest"):
            raise AttributeError(name)
        return getattr(self._inner, name)


class _Without(_Wrapper):
    """A sampler without some of its indices."""

    def __init__(self, sampler: Any, held: Collection[Any], key: Callable[[Any], Any]) -> None:
        super().__init__(sampler)
        self._held = held
        self._key = key

    def __iter__(self) -> Iterator[Any]:
        return (index for index in self._inner if self._key(index) not in self._held)

    def __len__(self) -> int:
        return max(1, len(self._inner) - len(self._held))


class _BatchesWithout(_Without):
    """A batch sampler without some of its indices; empty batches are skipped."""

    def __iter__(self) -> Iterator[Any]:
        for batch in self._inner:
            left = [index for index in batch if self._key(index) not in self._held]
            if left:
                yield left

    def __len__(self) -> int:
        return len(self._inner)


class _SharedOut(_Wrapper):
    """The share of a rank in the rest of a data set, as the sampler would give it."""

    def __init__(self, sampler: Any, rest: Sequence[Any]) -> None:
        super().__init__(
            DistributedSampler(
                range(len(rest)),  # type: ignore[arg-type]
                sampler.num_replicas,
                sampler.rank,
                sampler.shuffle,
                sampler.seed,
                sampler.drop_last,
            )
        )
        self._inner.set_epoch(sampler.epoch)
        self._rest = rest

    def __iter__(self) -> Iterator[Any]:
        return (self._rest[place] for place in self._inner)

    def __len__(self) -> int:
        return len(self._inner)
