"""Describe the structure of a batch, by types and shapes."""

import dataclasses
from collections.abc import Mapping
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence

from lrwidget.text.articles import a
from lrwidget.text.lists import first_of

TARGET_NAMES = ("labels", "label", "targets", "target", "y")

_DEPTH = 3
_WIDTH = 6


def describe(value: Any, depth: int = _DEPTH) -> str:
    """Describe `value`, as "a tuple of 2 (tensor float32 (32, 3, 8, 8), tensor int64 (32,))"."""
    return a(_structure(value, depth))


def plain_shape(value: Any) -> tuple[int, ...] | None:
    """Return the shape of a tensor, array, number or list of numbers; None for other objects."""
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        return tuple(value.shape)
    if isinstance(value, (bool, int, float, complex)):
        return ()
    if type(value) is list and value:  # data sets may yield vectors as lists
        inner = plain_shape(value[0]) if isinstance(value[0], (bool, int, float, list)) else None
        return None if inner is None else (len(value), *inner)
    return None


def named_fields(value: Any) -> dict[str, Any] | None:
    """Return the fields of a mapping or a dataclass by name; None for other objects."""
    if isinstance(value, Mapping):
        return {str(name): item for name, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def by_name(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return a mapping as one of its names; a TensorDict is iterated over its samples."""
    return dict(value.items()) if hasattr(type(value), "batch_size") else value


def _structure(value: Any, depth: int) -> str:
    name = type(value).__name__
    if isinstance(value, torch.Tensor):
        kind = "tensor" if type(value) is torch.Tensor else name
        layout = "" if value.layout is torch.strided else f" {str(value.layout).split('.')[-1]}"
        shape = "" if value.is_nested else f" {tuple(value.shape)}"
        return f"{kind} {str(value.dtype).removeprefix('torch.')}{layout}{shape}"
    if isinstance(value, np.ndarray):
        return f"array {value.dtype} {value.shape}"
    if isinstance(value, PackedSequence):
        return f"PackedSequence of {_structure(value.data, 1)}"
    if depth == 0:
        return name
    if isinstance(value, (tuple, list)):
        names = getattr(value, "_fields", None)
        if names is not None:
            return f"{name} {_named(dict(zip(names, value, strict=True)), depth)}"
        parts = [_structure(item, depth - 1) for item in value[: _WIDTH + 1]]
        if len(parts) > 2 and len(set(parts)) == 1:
            return f"{name} of {len(value)} ({parts[0]}, …)"
        return f"{name} of {len(value)} ({first_of(parts, _WIDTH)})"
    fields = named_fields(value)
    return name if fields is None else f"{name} {_named(fields, depth)}"


def _named(fields: Mapping[str, Any], depth: int) -> str:
    parts = [f"{key}: {_structure(item, depth - 1)}" for key, item in islice(fields.items(), 9)]
    return "{" + first_of(parts, 8) + "}"


def is_text(value: Any) -> bool:
    """Return whether `value` is None, text, or a container of only such values."""
    if value is None or isinstance(value, (str, bytes)):
        return True
    if isinstance(value, Mapping):
        return all(map(is_text, value.values()))
    return isinstance(value, (tuple, list)) and bool(value) and all(map(is_text, value))
