"""The cost of a row does not grow with the length of the sweep."""

import gc
import tracemalloc

import pytest
import torch
from torch import nn

from lrwidget import LRRecords, TrainingTask
from lrwidget.engine.sweep import sweep
from lrwidget.task.options import SweepOptions


@pytest.mark.slow
def test_a_row_takes_a_few_numbers_of_memory_however_many_there_are() -> None:
    """A row takes 16 bytes, and the table may have room for twice the rows it holds."""
    model = nn.Linear(2, 1)
    data = [(torch.randn(4, 2), torch.randn(4, 1)) for _ in range(20)]
    task = TrainingTask(model, torch.optim.SGD(model.parameters()), nn.MSELoss(), data)
    records = LRRecords()
    options = SweepOptions(start_lr=1e-6, end_lr=1e-3, steps=4_001, stop_at_divergence=False)
    steps = sweep(task, options, records)

    def held_at(rows: int) -> int:
        while len(records) < rows:
            next(steps)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    next(steps)
    tracemalloc.start()
    try:
        held = [held_at(1_000), held_at(4_000)]
    finally:
        tracemalloc.stop()
        steps.close()
    # A loss tensor that is kept takes some hundred bytes.
    assert (held[1] - held[0]) / 3_000 < 64
    assert records.rows().nbytes == 16 * 4_000
