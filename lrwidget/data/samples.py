"""Infer from the structure of an item whether it is a sample or a batch; often it is ambiguous.

An image with a number is a sample, pictures with as many numbers a batch. A matrix with a vector
may be a batch of vectors with their labels, or one sequence with a label at each place.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence

from lrwidget.backup.origin import module_of
from lrwidget.data.structure import TARGET_NAMES, by_name, plain_shape

Kind = Literal["sample", "batch"]

# The dimensions of fields with these names in a sample; a batch has one more.
_DIMENSIONS = {"input_ids": 1, "attention_mask": 1, "decoder_input_ids": 1, "pixel_values": 3}
_CHANNELS = (1, 3, 4)
_IMAGE_SIDE = 8
# A field with so few rows may be the channels of an image, or a batch.
_MAX_CHANNELS = 4
# How many items of a list are examined.
_EXAMINED_ITEMS = 8


def kind_of(item: Any) -> Kind | None:
    """Return whether `item` is a sample or a batch; None if its structure is ambiguous."""
    if isinstance(item, PackedSequence):
        return "batch"
    named = _by_name(item)
    if named is not None:
        for name, dimensions in _DIMENSIONS.items():
            shape = plain_shape(named.get(name))
            if shape is not None and len(shape) in (dimensions, dimensions + 1):
                return "sample" if len(shape) == dimensions else "batch"
        goal = next((name for name in TARGET_NAMES if name in named), None)
        target = None if goal is None else named[goal]
        others = [value for name, value in named.items() if name != goal]
    elif isinstance(item, (tuple, list)) and len(item) > 1:
        fields = [value for value in item if not isinstance(value, (str, bytes))]
        if len(fields) < 2:
            return "sample" if fields else None
        *others, target = fields
        if len(fields) < len(item) and plain_shape(target) == ():
            return "sample"  # in a batch, a name beside the target would be a list of names
    else:
        return _kind_of_single(item)
    if any(_is_pillow_image(value) for value in others):
        return "sample"
    return _kind_of_pair(others, target)


def kind_of_list(items: Sequence[Any]) -> Kind | None:
    """Return whether a list holds samples or batches (the default); None if it is ambiguous."""
    chosen = items[:: max(1, len(items) // _EXAMINED_ITEMS)]
    kinds = {kind_of(item) for item in chosen}
    if "sample" in kinds:
        return None if "batch" in kinds else "sample"
    if len(items) == 1 or "batch" in kinds:
        return "batch"
    # Float vectors of equal shapes are ambiguous: few models take a batch of scalars, and most
    # take a single vector.
    shapes = {_vector_shapes(item) for item in chosen}
    return None if len(shapes) == 1 and None not in shapes else "batch"


def _kind_of_pair(others: list[Any], target: Any) -> Kind | None:
    shapes = [shape for value in others if (shape := plain_shape(value)) is not None]
    wanted = plain_shape(target)
    if wanted == ():
        return _kind_with_scalar_target(others, shapes, target)
    first = next((shape for shape in shapes if shape), None)
    if first is None:
        return None
    if wanted is None:
        # The boxes and classes of the objects in an image.
        return "sample" if isinstance(target, Mapping) and _is_image_shaped(first) else None
    if first[0] != wanted[0]:
        if len(wanted) == 1 and _is_image_shaped(first):
            return "sample"
        both_vectors = len(shapes) == len(first) == len(wanted) == 1
        return "sample" if both_vectors and _is_float(others[0]) else None
    if len(first) == 1 and len(wanted) == 1:
        return "sample" if _is_shifted(others[0], target) else None
    if len(first) >= 4 or (len(first) == 3 and len(wanted) == 1):
        return "batch" if first[0] > _MAX_CHANNELS else None
    return "sample" if _is_image_shaped(first) and first == wanted and first[0] in (3, 4) else None


def _kind_with_scalar_target(
    others: list[Any], shapes: list[tuple[int, ...]], target: Any
) -> Kind | None:
    """Return the kind of an item whose target is a scalar; a batch may have a scalar, too."""
    if any(len(shape) >= 4 and shape[0] > _MAX_CHANNELS for shape in shapes):
        return None
    rows = {shape[0] for shape in shapes if shape}
    if _is_float(target) and len(shapes) > 1 and len(rows) == 1 and max(map(len, shapes)) > 1:
        # As in mixup: images, labels, other labels and a weight.
        labels = [v for v in others if len(plain_shape(v) or ()) == 1 and not _is_float(v)]
        return None if labels else "sample"
    return "sample"


def _kind_of_single(item: Any) -> Kind | None:
    if isinstance(item, (tuple, list)):
        return kind_of(item[0]) if len(item) == 1 and _by_name(item[0]) is not None else None
    shape = plain_shape(item)
    if shape is None:
        return "sample" if _is_pillow_image(item) else None
    if len(shape) >= 4:
        return "batch" if shape[0] > _MAX_CHANNELS else None
    return "sample" if _is_image_shaped(shape) and shape[0] == 3 else None


def _by_name(item: Any) -> Mapping[str, Any] | None:
    if isinstance(item, Mapping):
        return by_name(item)
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
    return None


def _vector_shapes(item: Any) -> tuple[Any, ...] | None:
    """Return the shapes of the fields of an item if all are float vectors; None otherwise."""
    fields = list(item) if isinstance(item, (tuple, list)) else [item]
    if not fields or not all(isinstance(f, (torch.Tensor, np.ndarray)) for f in fields):
        return None
    shapes = tuple(tuple(field.shape) for field in fields)
    return shapes if all(len(s) == 1 for s in shapes) and all(map(_is_float, fields)) else None


def _is_float(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.is_floating_point()
    if isinstance(value, (np.ndarray, np.generic)):
        return bool(value.dtype.kind == "f")
    if isinstance(value, (list, tuple)) and value:
        return _is_float(value[0])
    return isinstance(value, float)


def _is_pillow_image(value: Any) -> bool:
    """Return whether `value` is an image of Pillow, without importing Pillow."""
    return any(module_of(base) == "PIL.Image" for base in type(value).__mro__)


def _is_image_shaped(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[0] in _CHANNELS and min(shape[1:]) >= _IMAGE_SIDE


def _is_shifted(inputs: Any, target: Any) -> bool:
    """Return whether the target is the input shifted by one, as in language modelling."""
    if _is_float(inputs) or _is_float(target):
        return False
    one, other = np.asarray(inputs), np.asarray(target)
    return one.size > 2 and bool(np.array_equal(one[1:], other[:-1]))
