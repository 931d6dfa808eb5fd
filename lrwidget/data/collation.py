"""Collate samples into batches; the batches of a TensorDataset with one indexing operation.

For a batch of 32 a DataLoader reads 32 items of a TensorDataset, two small views each, and stacks
the 64 views: about a tenth of the time of a step of a small network. Indexing the tensors once
gives the same batch.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, default_collate
from torch.utils.data._utils import collate

from lrwidget.data.structure import describe, plain_shape


def collate_at_once(loader: DataLoader[Any]) -> None:
    """Make `loader`, a private copy, index its tensors once per batch, if the batches stay equal.

    Equal in values, strides and order, with the same random numbers drawn and memory pinned. So it
    applies only to torch's own classes, in this process, on dense CPU tensors; any other loader is
    left unchanged. The sampler and the iterator remain those of the loader.
    """
    if (
        type(loader) is DataLoader
        and loader.num_workers == 0
        and loader.batch_sampler is not None
        and loader.collate_fn is default_collate
        # torch documents that users may change this table.
        and collate.default_collate_fn_map.get(torch.Tensor) is collate.collate_tensor_fn
        and (tensors := _tensors_of(loader.dataset)) is not None
    ):
        # Set through `vars`, since DataLoader refuses a new `dataset`, which its sampler might not
        # fit. This one has the same items under the same indices.
        vars(loader).update(
            dataset=_BatchIndexedDataset(loader.dataset, tensors), collate_fn=_identity
        )


class _BatchIndexedDataset(Dataset[Any]):
    """A data set whose `__getitems__` returns a collated batch instead of a list of items."""

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
        # A custom sampler may yield anything that indexes a tensor.
        return default_collate([self._dataset[index] for index in indices])

    def _rows(self, indices: list[Any]) -> list[int] | None:
        """Return the rows of the tensors for `indices`; None unless all are ints in range."""
        for subset in self._subsets:
            if not _plain(indices, len(subset)):
                return None
            indices = [subset[index] for index in indices]
        return indices if _plain(indices, self._size) else None


def _plain(indices: list[Any], size: int) -> bool:
    return set(map(type, indices)) == {int} and min(indices) >= 0 and max(indices) < size


def _identity(batch: Any) -> Any:
    return batch


def _tensors_of(dataset: Any) -> tuple[torch.Tensor, ...] | None:
    """Return the tensors of a TensorDataset or of a subset of one; None for other data sets."""
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
    """Collate samples as `default_collate` does, but lists of numbers as vectors."""
    return collate_in_words([_with_tensors(sample) for sample in samples])


def collate_in_words(samples: list[Any]) -> Any:
    """Collate samples with torch's `default_collate`.

    Raises:
        RuntimeError, TypeError: the error of torch, with a note on the structure of a sample.
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
    """Return the collate function of a data set: torch's own if `collate_at_once` may apply."""
    return collate_in_words if _tensors_of(dataset) is None else default_collate


def _with_tensors(sample: Any) -> Any:
    """Return a sample with its lists of numbers replaced by tensors."""
    if isinstance(sample, Mapping):
        return {name: _with_tensors(value) for name, value in sample.items()}
    if type(sample) is tuple:
        return tuple(_with_tensors(value) for value in sample)
    if type(sample) is list:
        return torch.tensor(sample) if plain_shape(sample) else [_with_tensors(v) for v in sample]
    return sample
