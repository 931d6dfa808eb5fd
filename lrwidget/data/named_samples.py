"""What `held_out=` names: a share of the samples, indices or a mask."""

import math
import operator
from collections.abc import Iterable, Sequence
from contextlib import suppress
from numbers import Real
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
)

from lrwidget.backup.origin import library_of
from lrwidget.data.by_index import OwnIndices
from lrwidget.data.without import all_of, base_of, innermost

SHARE = 0.2


def share_of(wanted: Any) -> float | None:
    """Return the share of the samples that `held_out=` asks for; None if it asks for others."""
    if wanted is None:
        return SHARE
    if isinstance(wanted, torch.Tensor) and wanted.ndim == 0:
        wanted = wanted.item()
    if isinstance(wanted, bool | np.bool_) or not isinstance(wanted, Real):
        return None
    share = float(wanted)
    if not 0 < share < 1:
        raise ValueError(
            f"held_out is {wanted!r}; expected a share between 0 and 1, indices, or data to judge "
            "the trials by"
        )
    return share


def refuse_bad_share(wanted: Any, loader: Any = None) -> None:
    """Refuse a value that cannot be a share, indices or data.

    Args:
        wanted: the value.
        loader: the training data, if it is known already: indices that it certainly does not have
            are refused too. It is not read.

    Raises:
        TypeError, ValueError: the value is invalid.
    """
    if isinstance(wanted, bool | np.bool_ | str | slice):
        raise TypeError(
            f"held_out is {wanted!r}; expected data, indices such as range(100), or a share such "
            "as 0.2"
        )
    indices = indices_of(wanted) if share_of(wanted) is None else None
    if indices is None:
        return
    if isinstance(loader, list | tuple):
        refuse_other_batches(indices, len(loader))
        if len(set(indices)) == len(loader):
            raise no_batch_left(len(loader))
    elif isinstance(getattr(base_of(loader), "dataset", None), IterableDataset):
        refuse_other_batches(indices, math.inf)  # how many it has, only a pass shows
    pool = _pool_at_once(loader)
    if pool is not None and len(held := indices.among(pool)) == len(pool):
        raise nothing_left(len(held), len(pool))


def _pool_at_once(loader: Any) -> Sequence[int] | None:
    """Return the indices that a loader may read if that is known without reading its sampler."""
    loader = base_of(loader)
    if isinstance(loader, OwnIndices):
        return loader.pool()
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return None
    # Without batches, any other sampler may give lists, which only a reading shows.
    if loader.batch_sampler is None and type(loader.sampler) not in _IN_TURN:
        return None
    inner, _ = innermost(loader)
    if type(inner) is WeightedRandomSampler:
        with suppress(TypeError, NotImplementedError):
            return range(len(loader.dataset))  # type: ignore[arg-type]
    # Any other sampler may give indices that are no numbers, or more than once.
    if type(inner) is not SubsetRandomSampler:
        return all_of(inner)
    with suppress(TypeError):  # of what is no index
        return list(map(operator.index, inner.indices))
    return None


_IN_TURN = (RandomSampler, SequentialSampler)


def refuse_other_batches(named: Iterable[int], count: float) -> None:
    """Refuse places of batches that a pass of so many batches does not have.

    Raises:
        ValueError: there is one.
    """
    for place in named:
        if place < 0:
            raise ValueError(f"held_out names the batch {place}; they are counted from 0")
        if place >= count:
            raise ValueError(
                f"held_out names the batch {place}, which the data does not have; a pass has "
                f"{count} batch{'es' * (count != 1)}, counted from 0"
            )


def nothing_left(held: int, drawn: int) -> ValueError:
    """Return the error for held-out samples that are all of those that are trained on."""
    return ValueError(
        f"holding out {held} of {drawn} samples leaves none to train on; give val_data, or "
        "held_out= with data of its own"
    )


def no_batch_left(seen: int) -> ValueError:
    """Return the error for a pass of so many batches without a batch for each of two purposes."""
    return ValueError(
        f"a pass over the data has {seen} batch{'es' * (seen != 1)}, of which none can be "
        "held out to judge the trials by; give val_data, or held_out= with data"
    )


class Indices(list[int]):
    """Indices that the user named.

    Args:
        indices: the indices.
        entries: the length of the mask that named them; None if they were given as numbers.
    """

    def __init__(self, indices: Iterable[int], entries: int | None = None) -> None:
        super().__init__(indices)
        self.entries = entries

    def among(self, pool: Sequence[Any]) -> list[Any]:
        """Return the indices, each once and as `pool` has it.

        Raises:
            ValueError: one is not in `pool`, or the mask is not of its length.
        """
        entries = self.entries
        if entries is not None and isinstance(pool, range) and entries != len(pool):
            raise ValueError(
                f"held_out is a mask of {entries} entries, and the training data has {len(pool)} "
                "samples; give one entry for each"
            )
        held = list(dict.fromkeys(self))
        known = pool if isinstance(pool, range) else {index: index for index in pool}
        unknown = sorted((index for index in held if index not in known), key=str)
        if unknown:
            raise ValueError(
                f"held_out names the index {unknown[0]!r}, which the training data does not have; "
                f"expected some of its {len(pool)}"
            )
        return [known[index] for index in held]


def indices_of(wanted: Any) -> Indices | None:
    """Return the indices if the user gave whole numbers or a mask; else None."""
    if library_of(type(wanted)) == "pandas" and hasattr(wanted, "to_numpy"):
        wanted = wanted.to_numpy()
    if isinstance(wanted, torch.Tensor | np.ndarray):
        kind = str(wanted.dtype)
        if wanted.ndim != 1 or not ("int" in kind or "bool" in kind):
            return None
        found = wanted.tolist()
    elif isinstance(wanted, range | set | frozenset | list | tuple):
        found = list(wanted)
    else:
        return None
    if found and all(isinstance(item, bool | np.bool_) for item in found):
        indices = Indices((i for i, named in enumerate(found) if named), len(found))
    else:
        numbers = list(map(_whole_number, found))
        if None in numbers:
            return None
        indices = Indices(sorted(number for number in numbers if number is not None))
        if len(indices) > 2 and set(indices) == {0, 1}:
            raise ValueError(
                f"held_out names the indices 0 and 1 {len(indices)} times; if it is a mask, give "
                "it as booleans: held_out == 1"
            )
    if not indices:
        raise ValueError("held_out names no index; give at least one, or leave it out")
    return indices


def _whole_number(item: Any) -> int | None:
    if isinstance(item, bool | np.bool_) or getattr(item, "ndim", 0) > 0:
        return None
    with suppress(TypeError):
        return operator.index(item)
    return None
