"""How many samples a batch has, of whatever structure."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from lrwidget.data.held_out import held_out_of
from lrwidget.data.passed_over import MOST, rows_of, samples_of

t = torch.zeros


def boxes(count: int) -> dict[str, torch.Tensor]:
    return {"boxes": t(count, 4), "labels": t(count)}


def images(count: int, size: int = 16) -> tuple[torch.Tensor, ...]:
    return tuple(t(3, size, size) for _ in range(count))


BATCHES: dict[str, tuple[Any, int]] = {
    "inputs and targets": ([t(8, 3), t(8)], 8),
    "a single number": (t(()), 1),
    "one sample": ((t(8), t(())), 1),
    "one image": ({"image": t(3, 9, 9), "label": t(())}, 1),
    "one image with a plain number": ([t(3, 9, 9), 7], 1),
    "one image with its label first": ({"label": 7, "image": t(3, 9, 9)}, 1),
    "one image with a number of numpy": ((t(3, 9, 9), np.int64(7)), 1),
    "a batch with a weight": ((t(32, 8), 0.5), 32),
    "a batch with one target for all": ((t(32, 8), t(())), 32),
    "a batch with a temperature": ({"x": t(32, 8), "temperature": 0.5}, 32),
    "a batch with its epoch": ({"x": t(32, 8), "epoch": 3}, 32),
    "several inputs": (((t(8, 3), t(8, 9)), t(8)), 8),
    "inputs and targets of two": ([[t(8, 3), t(8, 4)], [t(8), t(8, 2)]], 8),
    "named": ({"ids": t(8, 20), "labels": t(8)}, 8),
    "names beside": ([t(8, 3), ["a"] * 8], 8),
    "weights of classes": ([t(8, 3), t(8), t(5)], 8),
    "a graph": ([t(30, 4), t(2, 90), t(30)], 30),
    "detection": ((images(8), tuple(boxes(1 + i % 3) for i in range(8))), 8),
    "detection in lists": ([list(images(5)), [boxes(i) for i in range(5)]], 5),
    "detection of one": ((images(1), (boxes(7),)), 1),
    "stacked images": ([t(4, 3, 9, 9), [boxes(9), boxes(1), boxes(2), boxes(20)]], 4),
    "named images": ({"images": list(images(4)), "boxes": [t(k, 4) for k in (2, 1, 0, 5)]}, 4),
    "images and masks": ((images(6), tuple(t(16, 16) for _ in range(6))), 6),
    "images and numbers": ((images(6), (0, 1, 2, 3, 4, 5)), 6),
    "sequences": ((tuple(t(k, 5) for k in range(1, 7)), t(6)), 6),
    "samples in a list": ([(t(3, 9, 9), boxes(k)) for k in (2, 5, 1)], 3),
    "samples with numbers": ([(t(3, 9, 9), k) for k in (2, 5, 1, 4)], 4),
    "samples in dicts": ([boxes(k) for k in (2, 5, 1, 4, 9)], 5),
    "time first": ([t(50, 8, 3), t(8, 1)], 8),
    "time first with lengths": ([t(50, 8), t(8), t(8)], 8),
}


@pytest.mark.parametrize("name", BATCHES)
def test_the_samples_of_a_batch_are_counted(name: str) -> None:
    batch, count = BATCHES[name]
    assert rows_of(batch) == count
    assert samples_of([batch, batch]) == 2 * count


def test_without_tensors_nothing_is_known() -> None:
    assert samples_of([["a", "b"]]) is None
    assert rows_of(["a", "b"]) == 1


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_samples_of_several_lengths_in_a_nested_tensor_are_counted(layout: Any) -> None:
    nested = torch.nested.nested_tensor([t(2, 8), t(5, 8), t(1, 8)], layout=layout)
    assert rows_of([nested, t(3)]) == 3
    assert rows_of(nested) == 3


class Sequences(Dataset[Any]):
    def __len__(self) -> int:
        return 120

    def __getitem__(self, index: int) -> Any:
        return torch.full((50,), float(index)), torch.full((50,), float(index))


def time_first(samples: list[Any]) -> list[torch.Tensor]:
    """No size tells whether a batch of these has its time or its samples first."""
    return [torch.stack(part, 1) for part in zip(*samples, strict=True)]


def test_where_samples_have_indices_their_number_is_known() -> None:
    loader = DataLoader(Sequences(), 8, shuffle=True, collate_fn=time_first)
    others = DataLoader(Sequences(), 8, collate_fn=time_first)
    many: Any = DataLoader(ConcatDataset([Sequences()] * 5), 8, collate_fn=time_first)
    for wanted, count in ((None, 40), (range(30), 30), (others, 120), (many, MOST)):
        held = held_out_of(loader, wanted)
        assert held.count == count
        assert sum(batch[0].shape[1] for batch in held.batches()) == count
    # Each index may be a batch.
    batches = [[t(4, 3), t(4)] for _ in range(20)]
    assert held_out_of(DataLoader(batches, None)).count is None  # type: ignore[arg-type]
    assert held_out_of(batches, 0.25).count is None
