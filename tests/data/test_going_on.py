"""A trial that goes on reads what follows the batches that it has read, over all passes."""

from itertools import chain, islice, repeat
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from lrwidget.data.batches import BatchSource
from lrwidget.data.passed_over import Skipping

SAMPLES = [(torch.tensor([float(i)]), torch.tensor([float(i)])) for i in range(40)]


def firsts(data: Any, count: int) -> list[int]:
    """Return the first samples of so many batches, pass after pass."""
    source = BatchSource(data, on_epoch=lambda _: None)
    try:
        return [int(batch[0][0]) for batch in islice(source, count)]
    finally:
        source.close()


@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 10, 12, 15])
@pytest.mark.parametrize("kind", ["loader", "list", "workers", "kept workers"])
def test_it_goes_on_behind_them_wherever_a_pass_ends(kind: str, count: int) -> None:
    workers = {"num_workers": 1, "persistent_workers": kind == "kept workers"}
    data: Any = DataLoader(SAMPLES, 8, **(workers if "workers" in kind else {}))  # type: ignore[arg-type]
    data = list(data) if kind == "list" else data
    in_order = chain.from_iterable(repeat([0, 8, 16, 24, 32]))
    assert firsts(Skipping(data, count), 12) == list(islice(in_order, count, count + 12))
