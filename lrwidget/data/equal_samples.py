"""Finds samples that are equal in value: repeated rows, copies, held-out samples in the training.

A sample is compared by two hashes, of its input and of its target. Where equal inputs have
different targets, a model cannot learn the targets by heart: the values are coarse, as in a table
of few discrete features, and such samples do not count as repeated.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, TensorDataset

from lrwidget.data.structure import TARGET_NAMES
from lrwidget.data.without import base_of
from lrwidget.text.articles import a_kind

# Hashes of input and target.
Pair = tuple[int, int]

# Larger data is not compared before the training: some tenths of a second at most.
MOST_ROWS = 200_000
MOST_BYTES = 2**28
# Of fewer different samples, a share says nothing about others.
FEWEST = 30
# A sample that is a larger share of the data is common, not repeated.
COMMON = 0.1
# Values are coarse where more of the repeated inputs have several targets.
SEVERAL_TARGETS = 0.2
# Batches of the trials that are compared with the held-out samples, and their bytes.
MOST_WATCHED = 300
MOST_WATCHED_BYTES = 2**29


def rows_by_value(dataset: Any) -> list[Pair] | None:
    """Return the hashes of the samples of arrays or of a list in memory, if some are repeated.

    None if no sample is repeated, if values are coarse, or if comparing them is not cheap.
    """
    if not in_memory(dataset) or len(dataset) > MOST_ROWS:
        return None
    pairs = pairs_of(dataset, len(dataset))
    if pairs is None:
        return None
    counts = Counter(pairs)
    if not FEWEST <= len(counts) < len(pairs) or max(counts.values()) > COMMON * len(pairs):
        return None
    return None if coarse(counts) else pairs


def in_memory(dataset: Any) -> bool:
    """Return whether a data set is one of tensors, or a list of samples."""
    if isinstance(dataset, TensorDataset):
        return type(dataset).__getitem__ is TensorDataset.__getitem__
    return type(dataset) in (list, tuple)


def pairs_of(dataset: Any, count: int) -> list[Pair] | None:
    """Return the hashes of the first samples of data in memory; None where that is not cheap."""
    try:
        if isinstance(dataset, TensorDataset):
            fields = tuple(tensor[:count] for tensor in dataset.tensors)
            return sample_pairs(fields) if _size(fields) <= MOST_BYTES else None
        samples = dataset[:count]
        if sum(map(_size, samples)) > MOST_BYTES:
            return None
        return [_pair_of(sample) for sample in samples]
    except (TypeError, ValueError, RuntimeError):
        return None


def coarse(counts: Mapping[Pair, int]) -> bool:
    """Return whether repeated inputs often have several targets."""
    rows: Counter[int] = Counter()
    targets: Counter[int] = Counter()
    for (given, _), count in counts.items():
        rows[given] += count
        targets[given] += 1
    repeated = [given for given, count in rows.items() if count > 1]
    several = sum(targets[given] > 1 for given in repeated)
    return several > SEVERAL_TARGETS * len(repeated)


def sample_pairs(batch: Any, *, whole: bool = False) -> list[Pair] | None:
    """Return the hashes of the samples of a batch; None where they cannot be compared at no cost.

    Args:
        batch: the batch, or a single sample.
        whole: whether it is a single sample. So is taken what shows no samples.
    """
    try:
        inputs, targets = _split(batch)
        rows = None if whole else _rows_in([*inputs, *targets])
        if rows is None:
            return [_pair_of(batch)]
        return list(zip(_hashes(inputs, rows), _hashes(targets, rows), strict=True))
    except (TypeError, ValueError, RuntimeError):
        return None


class Watch:
    """Compares the batches that trials read with the held-out samples.

    All trials read the same batches from the beginning on, so that each place counts once.

    Args:
        batches: the held-out batches.
        whole: whether batches are single samples.
        lazily: whether the trials are given steps, whose `batches` are read by the step alone.

    Attributes:
        last: the batch that was read last.
    """

    def __init__(self, batches: Iterable[Any], *, whole: bool, lazily: bool = False) -> None:
        self.last: Any = None
        self._whole, self._lazily = whole, lazily
        self._held: list[Pair] = []
        self._targets: dict[int, set[int]] = {}
        self._place = self._watched = 0
        self._bytes_left = MOST_WATCHED_BYTES
        for batch in batches:
            pairs = sample_pairs(batch, whole=whole)
            if pairs is None:
                self._watched = MOST_WATCHED
                self._held.clear()
                return
            self._held += pairs
        self._targets = {given: set() for given, _ in self._held}

    def begin(self, place: int) -> None:
        """Begin a trial, or go on with one, at this batch."""
        self._place = place

    def read(self, batches: Iterable[Any]) -> None:
        """Look at the next batches of a trial."""
        for batch in batches:
            self.last = batch
            self._place += 1
            if self._watched < self._place <= MOST_WATCHED and self._bytes_left > 0:
                self._watched = self._place
                if self._lazily:
                    batch.batches = map(self._seen, batch.batches)
                else:
                    self._seen(batch)

    def _seen(self, batch: Any) -> Any:
        """Look at a batch, and return it; a step may have them in a list, beside their number."""
        several = isinstance(batch, list) and all(isinstance(one, Mapping) for one in batch)
        for one in batch if several else [batch]:
            if self._bytes_left > 0 and not isinstance(one, int | None):
                self._look_at(one)
        return batch

    def _look_at(self, batch: Any) -> None:
        pairs = sample_pairs(batch, whole=self._whole)
        if pairs is None:
            self._bytes_left = 0
            return
        self._bytes_left -= _size(batch)
        for given, target in pairs:
            seen = self._targets.get(given)
            if seen is not None:
                seen.add(target)

    @property
    def repeated(self) -> tuple[int, int]:
        """How many held-out samples were trained on, of how many; none if values are coarse."""
        seen = [targets for targets in self._targets.values() if targets]
        several = sum(len(targets) > 1 for targets in seen)
        trained = sum(self._targets[given] == {target} for given, target in self._held)
        return 0 if several > SEVERAL_TARGETS * len(seen) else trained, len(self._held)


def gives_single_samples(loader: Any) -> bool:
    """Return whether a loader gives samples one at a time, none in batches."""
    loader = base_of(loader)
    if not isinstance(loader, DataLoader) or loader.batch_sampler is not None:
        return False
    return not isinstance(loader.sampler, BatchSampler)


# -- hashes --------------------------------------------------------------------------------------


def _pair_of(sample: Any) -> Pair:
    inputs, targets = _split(sample)
    return _hash_of(inputs), _hash_of(targets)


def _hashes(fields: Sequence[Any], rows: int) -> list[int]:
    """Return a hash of each row of some fields."""
    columns = [_column(leaf) for field in fields for leaf in _leaves(field, rows)]
    if not columns:
        return [0] * rows
    return columns[0] if len(columns) == 1 else list(map(hash, zip(*columns, strict=True)))


def _column(field: Any) -> list[int]:
    """Return a hash of each row.

    Zeros at the end do not count: batches of texts are padded to the longest of them.
    """
    if isinstance(field, list | tuple):
        return list(map(_hash_of, field))
    tensor = _on_cpu(field)
    if tensor.ndim == 2 and tensor.dtype == torch.int64:
        tensor = tensor.masked_fill(tensor == -100, 0)  # the padding of labels
    rows = len(tensor)
    data = tensor.reshape(rows, -1).contiguous().view(torch.uint8).numpy().tobytes()
    width = len(data) // rows
    return [hash(data[at : at + width].rstrip(b"\0")) for at in range(0, rows * width, width)]


def _hash_of(value: Any) -> int:
    if isinstance(value, torch.Tensor | np.ndarray):
        return _column(_on_cpu(value)[None])[0]
    if isinstance(value, Mapping):
        return hash(tuple((name, _hash_of(item)) for name, item in value.items()))
    if isinstance(value, list | tuple):
        return hash(tuple(map(_hash_of, value)))
    if value is None or isinstance(value, bool | int | float | str | bytes | np.generic):
        return hash(value)
    raise TypeError(f"{a_kind(value)} cannot be compared by value")


def _on_cpu(field: Any) -> torch.Tensor:
    tensor = torch.from_numpy(field) if isinstance(field, np.ndarray) else field
    if tensor.device.type != "cpu":
        raise ValueError("to read a tensor of a device would wait for the device")
    made: torch.Tensor = tensor.detach()
    return made


def _size(field: Any) -> int:
    """Return about how many bytes a value has."""
    if isinstance(field, list | tuple):
        return sum(map(_size, field))
    if isinstance(field, Mapping):
        return sum(map(_size, field.values()))
    return int(getattr(field, "nbytes", 8))


# -- fields --------------------------------------------------------------------------------------


def _split(batch: Any) -> tuple[list[Any], list[Any]]:
    """Return the fields of a batch or sample: inputs and targets."""
    if isinstance(batch, Mapping):
        inputs = [item for name, item in batch.items() if name not in TARGET_NAMES]
        targets = [item for name, item in batch.items() if name in TARGET_NAMES]
        return (inputs, targets) if inputs else (targets, [])
    if isinstance(batch, list | tuple) and len(batch) > 1:
        return list(batch[:-1]), [batch[-1]]
    return [batch], []


def _rows_in(fields: Sequence[Any]) -> int | None:
    """Return the number of samples in a batch; None if its fields do not agree on one."""
    tensors = [field for field in fields if isinstance(field, torch.Tensor | np.ndarray)]
    counts = {len(one) if one.ndim else None for one in tensors}
    counts |= {len(field) for field in fields if not tensors and isinstance(field, list | tuple)}
    rows = counts.pop() if len(counts) == 1 else None
    return rows if rows and all(_leaves(field, rows) for field in fields) else None


def _leaves(field: Any, rows: int) -> list[Any]:
    """Return the parts of a field that have a row for each sample; none if one has not."""
    if isinstance(field, Mapping):
        parts = [leaf for item in field.values() for leaf in _leaves(item, rows) or [None]]
        return [] if any(part is None for part in parts) else parts
    if isinstance(field, list | tuple):
        if field and all(isinstance(one, torch.Tensor | np.ndarray) for one in field):
            inner = [leaf for one in field for leaf in _leaves(one, rows)]
            if len(inner) == len(field) != rows:
                return inner
        return [field] if len(field) == rows else []
    if isinstance(field, torch.Tensor | np.ndarray):
        return [field] if field.ndim and len(field) == rows else []
    return []
