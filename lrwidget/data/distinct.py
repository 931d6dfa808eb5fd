"""How many different samples a sweep reads, as far as that shows at no cost worth naming."""

import weakref
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    IterableDataset,
    Subset,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from lrwidget.data.equal_samples import Pair, coarse, in_memory, pairs_of
from lrwidget.data.passed_over import rows_of
from lrwidget.data.reading import IndexedLoader
from lrwidget.data.without import base_of, innermost

# Only so many indices are looked at: among them few samples would have shown.
MOST = 20_000
# Few samples that were read so many times over are all there are.
SURE = 8


def few_samples_of(loader: Any, below: int) -> int | None:
    """Return how many different samples a loader can give if they are fewer than `below`.

    No sample is read but of tensors and lists in memory. None if they are more, or unknown.
    """
    loader = base_of(loader)
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return None
    if isinstance(loader, IndexedLoader) and loader.asked.kind != "sample":
        return None
    found: set[Any] = set()
    try:
        indices = _indices_of(loader)
        if len(indices) > MOST * 10:
            return None
        values = _repeated_values(loader.dataset, below)
        for index in islice(indices, MOST):
            place = int(index)
            found.add(_source(loader.dataset, place) if values is None else values[place])
            if len(found) >= below:
                return None
        return len(found) if found and len(indices) <= MOST else None
    except Exception:  # noqa: BLE001 - of a user's own data set or sampler; nothing needs the count
        return None


def _indices_of(loader: Any) -> Sequence[Any]:
    """Return the indices that a loader may draw, as far as its sampler tells."""
    sampler, _ = innermost(loader)
    if isinstance(sampler, SubsetRandomSampler):
        return sampler.indices
    if isinstance(sampler, WeightedRandomSampler):
        return list(sampler.weights.nonzero().flatten().tolist())
    return range(len(loader.dataset))


def _repeated_values(dataset: Any, below: int) -> list[Pair] | None:
    """Return the hashes of samples in memory if some are repeated, and no coarse values."""
    if not in_memory(dataset):
        return None
    first = pairs_of(dataset, below)
    if first is None or len(set(first)) == below:
        return None
    pairs = pairs_of(dataset, MOST)
    return None if pairs is None or coarse(Counter(pairs)) else pairs


def _source(dataset: Any, index: int) -> Any:
    """Return where a sample of subsets and joined data sets comes from."""
    while True:
        if isinstance(dataset, Subset):
            dataset, index = dataset.dataset, int(dataset.indices[index])
        elif isinstance(dataset, ConcatDataset):
            part = bisect_right(dataset.cumulative_sizes, index)
            index -= dataset.cumulative_sizes[part - 1] if part else 0
            dataset = dataset.datasets[part]
        else:
            return id(dataset), index


class RowCount:
    """Counts the samples of batches whose size no loader tells, while they are few.

    Args:
        below: how many samples are not few.
        loader: the loader of the batches.
    """

    def __init__(self, below: int, loader: Any) -> None:
        self._below = below
        self._seen: dict[int, tuple[weakref.ref[Any], int, int]] = {}
        # Whether more batches are to be read. A plain loader says its batch size.
        self.counts: bool = type(loader) is not DataLoader or loader.batch_size is None
        self.different: int = 0
        self._rows = self._batches = 0

    def read(self, batches: Iterable[Any]) -> None:
        """Count some batches. The same tensors, unchanged, are no further samples."""
        for batch in batches:
            tensor = _a_tensor(batch)
            if tensor is None or tensor.is_inference():  # which counts no changes
                self._give_up()
                return
            version = tensor._version
            seen, at_version, rows = self._seen.get(id(tensor), (None, 0, 0))
            if seen is None or seen() is not tensor or at_version != version:
                rows = rows_of(batch)
                self._seen[id(tensor)] = weakref.ref(tensor), version, rows
                self.different += rows
            self._rows += rows
            self._batches += 1
        if self.different >= self._below:
            self._give_up()
        elif self._rows >= SURE * self._below:
            self.counts = False

    def _give_up(self) -> None:
        self.counts, self.different = False, 0
        self._seen.clear()

    def end_pass(self) -> int | None:
        """End the first pass, whose samples are all; return how many, None if they are not few."""
        if not self.counts:
            return None
        self.counts = False
        return self._rows

    @property
    def in_batch(self) -> float:
        """The mean number of samples in a batch."""
        return self._rows / max(1, self._batches)


def _a_tensor(batch: Any) -> torch.Tensor | None:
    """Return the first tensor of a batch."""
    while isinstance(batch, list | tuple | Mapping) and len(batch):
        batch = batch[0] if isinstance(batch, list | tuple) else next(iter(batch.values()))
    return batch if isinstance(batch, torch.Tensor) else None
