"""Which rows of memory the samples of a Hugging Face data set are.

`select`, `filter`, `train_test_split` and `remove_columns` make new objects over the same columns.
"""

from typing import Any

from lrwidget.data.known_datasets import is_hugging_face

Row = tuple[int, int]  # the address of a part of a column, and the place in it


def table_rows(dataset: Any) -> list[Row] | None:
    """Return the row of each sample; None for other data sets, and those without columns."""
    if not is_hugging_face(dataset, "Dataset") or not dataset.column_names:
        return None
    rows: list[Row] = []
    for chunk in dataset.data.column(min(dataset.column_names)).chunks:
        buffers = [buffer for buffer in chunk.buffers() if buffer]
        if not buffers:  # a column of nothing but None
            return None
        places = range(chunk.offset, chunk.offset + len(chunk))
        rows += [(buffers[-1].address, place) for place in places]
    chosen = dataset._indices  # None where the samples are all rows in their order
    return rows if chosen is None else [rows[place] for place in chosen.column(0).to_pylist()]
