"""Samples put together to batches: those of a tensor data set in one piece.

For a batch of 32 a DataLoader asks a TensorDataset for 32 items, two small views each, and copies
the 64 views together again: about a tenth of the time of a step of a small network. Indexing the
tensors once gives the same batch.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, default_collate
from torch.utils.data._utils import collate

from lrwidget.data.structure import describe, plain_shape


def collate_at_once(loader: DataLoader[Any]) -> None:
    """Make `loader`, a private copy, take its batches in one piece where nothing but time changes.

    Nothing but time: values, strides and order of the batches, the random numbers drawn, what is
    pinned. So only where torch's own classes do the work, in this process, on dense CPU tensors;
    any other loader stays as it is. The sampler and the iterator remain the loader's own.
    """
    if (
        type(loader) is DataLoader
        and loader.num_workers == 0
        and loader.batch_sampler is not None
        and loader.collate_fn is default_collate
        # torch documents that this table may be changed by the user.
        and collate.default_collate_fn_map.get(torch.Tensor) is collate.collate_tensor_fn
        and (tensors := _tensors_of(loader.dataset)) is not None
    ):
        # A DataLoader refuses a new data set by name: its sampler would not know. This one has the
        # same items under the same indices.
        vars(loader).update(dataset=_InOnePiece(loader.dataset, tensors), collate_fn=_unchanged)


class _InOnePiece(Dataset[Any]):
    """A data set that gives collated batches in place of lists of items."""

    def __init__(self, dataset: Any, tensors: tuple[torch.Tensor, ...]) -> None:
        self._dataset = dataset
        self._tensors = tensors
        self._size = len(tensors[0])
        self._subsets: list[Any] = []
        while isinstance(dataset, Subset):
            self._subsets.append(dataset.indices)
            dataset = dataset.dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitems__(self, indices: Any) -> Any:
        if type(indices) is list and (rows := self._rows(indices)) is not None:
            at = torch.tensor(rows, device="cpu")
            return [tensor.index_select(0, at) for tensor in self._tensors]
        # A sampler of the user's own may give anything that indexes a tensor.
        return default_collate([self._dataset[index] for index in indices])

    def _rows(self, indices: list[Any]) -> list[int] | None:
        """The rows of the tensors under `indices`; None unless all are plain and in range."""
        for subset in self._subsets:
            if not _plain(indices, len(subset)):
                return None
            indices = [subset[index] for index in indices]
        return indices if _plain(indices, self._size) else None


def _plain(indices: list[Any], size: int) -> bool:
    return set(map(type, indices)) == {int} and min(indices) >= 0 and max(indices) < size


def _unchanged(batch: Any) -> Any:
    return batch


def _tensors_of(dataset: Any) -> tuple[torch.Tensor, ...] | None:
    """The tensors under a TensorDataset or subsets of one; None where it may be more than that."""
    while type(dataset) is Subset:  # what random_split returns
        dataset = dataset.dataset
    if type(dataset) is not TensorDataset or hasattr(dataset, "__getitems__"):
        return None
    return dataset.tensors if dataset.tensors and all(map(_dense, dataset.tensors)) else None


def _dense(tensor: torch.Tensor) -> bool:
    return (
        type(tensor) is torch.Tensor
        and tensor.device.type == "cpu"
        and tensor.layout is torch.strided
        # Items of a channels-last tensor are stacked to a channels-last batch.
        and tensor.is_contiguous()
        and not tensor.requires_grad
        and not tensor.is_conj()
        and not tensor.is_neg()
    )


def put_together(samples: list[Any]) -> Any:
    """As torch's `default_collate`, which makes a list of vectors of what is a vector in a list."""
    return collate_in_words([_with_tensors(sample) for sample in samples])


def collate_in_words(samples: list[Any]) -> Any:
    """As torch's `default_collate`.

    Raises:
        RuntimeError, TypeError: as torch, with a note that tells the structure of a sample.
    """
    try:
        return default_collate(samples)
    except (RuntimeError, TypeError) as error:
        error.add_note(
            f"a sample is {describe(samples[0])}; where samples differ in size, or are objects of "
            "their own, say how to put them together: loader_options={'collate_fn': ...}, or give "
            "a DataLoader made for them"
        )
        raise


def collation_of(dataset: Any) -> Any:
    """The function for a data set without one of its own: torch's where that may be left out."""
    return collate_in_words if _tensors_of(dataset) is None else default_collate


def _with_tensors(sample: Any) -> Any:
    """A sample with tensors in place of its lists of numbers."""
    if isinstance(sample, Mapping):
        return {name: _with_tensors(value) for name, value in sample.items()}
    if type(sample) is tuple:
        return tuple(_with_tensors(value) for value in sample)
    if type(sample) is list:
        return torch.tensor(sample) if plain_shape(sample) else [_with_tensors(v) for v in sample]
    return sample
