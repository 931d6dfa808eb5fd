"""Means over the samples of validation batches, whose last one is often smaller."""

from collections.abc import Sequence
from typing import Any

from lrwidget.data.passed_over import samples_of


def weights_of(batches: Sequence[Any], loss_fn: Any) -> list[int] | None:
    """Return the number of samples in each batch, as frameworks weight them; None if all are alike.

    They count alike where one does not tell its size, and where the loss is a sum over its samples.
    """
    sizes = [samples_of([getattr(batch, "batch", batch)]) for batch in batches]
    known = [size for size in sizes if size]
    if getattr(loss_fn, "reduction", None) == "sum" or len(known) < len(sizes):
        return None
    return known if len(set(known)) > 1 else None


def weighted_mean(values: Sequence[Any], weights: Sequence[int] | None) -> float:
    """Return the mean of a value of each batch, weighted unless `weights` is None."""
    if weights is None:
        return sum(map(float, values)) / len(values)
    total = sum(float(value) * weight for value, weight in zip(values, weights, strict=True))
    return total / sum(weights)
