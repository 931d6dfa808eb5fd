"""The batches of validation data on which a sweep measures."""

from typing import Any

from torch.utils.data import DataLoader

from lrwidget.backup.objects import ObjectState
from lrwidget.backup.rng import unmoved
from lrwidget.data.batches import BatchSource, Exhausted
from lrwidget.data.by_index import chosen, of_indices, pool_of
from lrwidget.data.passed_over import in_fixed_order, keeper


def validation_batches(val_data: Any, count: int) -> list[Any]:
    """Return `count` batches of validation data, which are read once; none where there is none.

    They are the first ones of a loader in an order of its own; of one that reads its data from the
    first to the last sample, which may be sorted, they are samples from everywhere.
    """
    if val_data is None:
        return []
    if type(val_data) is DataLoader and in_fixed_order(val_data):
        pool, size = pool_of(val_data), val_data.batch_size
        if pool is not None and size is not None and len(pool) > count * size:
            val_data = of_indices(val_data, chosen(pool, count * size))
    # What is drawn to read them is no draw of the training, which may read the same data set.
    state = ObjectState([val_data], as_data=True)
    try:
        with unmoved():
            return _first(val_data, count)
    finally:
        state.restore()
        state.close()


def _first(val_data: Any, count: int) -> list[Any]:
    source = BatchSource(val_data, on_epoch=lambda _: None)
    keep = keeper(val_data)
    batches: list[Any] = []
    try:
        while len(batches) < count:
            batches.append(keep(next(source)))
    except Exhausted:
        pass
    finally:
        source.close()
    return batches
