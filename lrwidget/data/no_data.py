"""Refuse arguments that are not data, with the argument to give instead."""

import inspect
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from lrwidget.backup.origin import library_of, module_of
from lrwidget.data.structure import by_name
from lrwidget.text.articles import a, a_kind

EXPECTED = (
    "expected a DataLoader, a Dataset or an iterable of batches, such as "
    "DataLoader(TensorDataset(x, y), batch_size=32)"
)


def refuse_what_is_no_data(data: Any, name: str) -> None:
    """Raise a TypeError for an object that users may mistake for data.

    Args:
        data: the object given.
        name: name of the argument that it was given as.
    """
    instead = _advice(data, name)
    if instead is None:
        return
    raise TypeError(f"{name} is {a(_name_of(data))}; {EXPECTED}{instead and '; '}{instead}")


def refuse_several(data: Any, name: str) -> None:
    """Raise a TypeError for a list or tuple of loaders or data sets, as from `random_split`."""
    if not isinstance(data, (list, tuple)):
        return
    if all(isinstance(item, (DataLoader, Dataset)) for item in data):
        raise TypeError(
            f"{name} is {a_kind(data)} of {len(data)}, the first of which is "
            f"{a_kind(data[0])}; give one of them, such as {name}={name}[0]"
        )


def refuse_numbered(data: Any, name: str) -> None:
    """Raise a TypeError for `enumerate(loader)`, as it stands in the loops that people write."""
    if isinstance(data, enumerate):
        raise TypeError(
            f"{name} is an enumerate object, which gives numbers beside the batches, and only "
            f"once; give the loader itself: {name}=loader"
        )


def _advice(data: Any, name: str) -> str | None:
    """Return advice on what to give instead, possibly empty; None if `data` may be data."""
    if isinstance(data, type):
        return f"this is the class: make one, {data.__name__}(...)"
    names = {base.__name__ for base in type(data).__mro__}
    if isinstance(data, (torch.Tensor, np.ndarray)):
        return (
            f"a single array holds no targets: give {name}=(X, y), or, where a model reconstructs "
            f"its input, {name}=TensorDataset(X)"
        )
    if names & {"DataFrame", "LazyFrame", "Series"}:
        return (
            "a table does not say what is input and what is target: give "
            f'{name}=(df[inputs].to_numpy("float32"), df[target].to_numpy()), inputs being the '
            "names of its columns"
        )
    if isinstance(data, Mapping) and not _is_graph(data):
        return _advice_for_mapping(data, name)
    if callable(getattr(data, "train_dataloader", None)):
        return f"give its loader: {name}={name}.train_dataloader()"
    if "DataLoaders" in names:  # fastai's pair of a training and a validation loader
        return f"give one of its loaders: {name}=dls.train"
    if callable(getattr(data, "iter_torch_batches", None)):  # a Dataset of Ray, or a shard of one
        return f"give its batches: {name}={name}.iter_torch_batches(batch_size=32)"
    if _is_graph(data):
        return (
            f"a single graph is one batch: give {name}=[graph], and every step trains on all of "
            "it, or a loader of parts of it (NeighborLoader); with a mask, as a "
            "TrainingTask(model, optimizer, data=[graph], step=lambda graph: loss_fn("
            "model(graph.x, graph.edge_index)[graph.train_mask], graph.y[graph.train_mask]))"
        )
    if isinstance(data, (str, bytes, os.PathLike)):
        return (
            "files are not read here: give what you train on, such as "
            "torchvision.datasets.ImageFolder(path, transform), or arrays as (X, y)"
        )
    if not isinstance(data, Iterable) and not hasattr(data, "__getitem__"):
        if callable(data):
            return f"call it, if it makes the loader: {name}={getattr(data, '__name__', 'make')}()"
        return ""
    return None


def _advice_for_mapping(data: Mapping[Any, Any], name: str) -> str:
    data = by_name(data)
    if "data" in data and "target" in data:  # as scikit-learn's loaders return them
        return f"give its arrays: {name}=({name}['data'], {name}['target'])"
    keys = list(data)[:6]
    if keys and all(_is_data(data[key]) for key in keys):
        chosen = "train" if "train" in keys else keys[0]
        return f"it holds several under {keys}: give one, {name}={name}[{chosen!r}]"
    if keys and all(isinstance(data[key], (torch.Tensor, np.ndarray)) for key in keys):
        return (
            f"a mapping of arrays may be all data or a batch: give all as {name}=(X, y), or one "
            f"batch as {name}=[batch]"
        )
    return ""


def _is_data(value: Any) -> bool:
    if isinstance(value, (str, bytes, torch.Tensor, np.ndarray, list, tuple, Mapping)):
        return False
    return hasattr(value, "__getitem__") or hasattr(value, "__iter__")


def _is_graph(data: Any) -> bool:
    """Return whether `data` is a graph of PyTorch Geometric or DGL, by its attributes."""
    if isinstance(data, (list, tuple)):
        return False
    look = inspect.getattr_static
    if any(look(data, name, None) is not None for name in ("edge_index", "edge_index_dict")):
        return True
    if any(module_of(base).startswith("torch_geometric.data") for base in type(data).__mro__):
        return hasattr(data, "edge_index") or hasattr(data, "edge_types")
    return all(look(data, name, None) is not None for name in ("ndata", "edata"))


def _name_of(data: Any) -> str:
    kind = data if isinstance(data, type) else type(data)
    package = library_of(kind)
    if kind.__name__ in ("Dataset", "DataLoader", "Data", "DataFrame", "Series"):
        return f"{package}.{kind.__name__}"
    return str(kind.__name__)
