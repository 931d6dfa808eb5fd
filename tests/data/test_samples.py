"""An item's structure decides if it is a sample, a batch or ambiguous."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from lrwidget.data.samples import kind_of, kind_of_list

f = torch.rand


def i(*shape: int) -> torch.Tensor:
    return torch.randint(0, 50, shape)


tokens = torch.arange(20) ** 2 % 31


@dataclasses.dataclass
class Item:
    x: Any
    y: Any


SAMPLES: dict[str, Any] = {
    "vector and class": (f(20), 3),
    "vector and class as a tensor": (f(20), torch.tensor(3)),
    "vector and number of numpy": (np.zeros(20, "float32"), np.float32(0.5)),
    "list of numbers and class": ([0.1, 0.2], 1),
    "picture and class": (f(3, 32, 32), 7),
    "picture and several yes or no": (f(3, 32, 32), f(10)),
    "picture and path": (f(3, 32, 32), 2, "a.png"),
    "picture and one of its size": (f(3, 32, 32), f(3, 32, 32)),
    "picture and what is in it": (f(3, 32, 32), {"boxes": f(2, 4), "labels": i(2)}),
    "vector to vector": (f(8), f(2)),
    "sequence and class": (f(17, 5), 1),
    "two inputs": (f(8), f(4), 1),
    "columns by name": {"x": f(8), "label": 3},
    "numbers by name": {"age": 31.0, "fare": 7.5, "label": 0},
    "text by name": {"text": "so it is", "label": 1},
    "tokens of one text": {"input_ids": i(9), "attention_mask": i(9), "labels": i(9)},
    "tokens in lists": {"input_ids": [5, 6, 7], "labels": [6, 7, 8]},
    "pixels of one picture": {"pixel_values": f(3, 8, 8), "labels": i(3)},
    "the text and its next token": (tokens[:-1], tokens[1:]),
    "dataclass": Item(f(8), 2),
}
BATCHES: dict[str, Any] = {
    "pictures and classes": (f(16, 3, 32, 32), i(16)),
    "pictures and masks": (f(16, 3, 32, 32), i(16, 32, 32)),
    "sequences and classes": (f(16, 9, 5), i(16)),
    "tokens of texts": {"input_ids": i(4, 9), "labels": i(4)},
    "pixels of pictures": {"pixel_values": f(2, 3, 8, 8), "labels": i(2)},
    "packed": pack_sequence([f(3, 2), f(2, 2)]),
    "pictures": f(16, 3, 32, 32),
}
UNCLEAR: dict[str, Any] = {
    "vectors, or one sequence": (f(16, 8), i(16)),
    "vectors to vectors, or a sequence": (f(16, 8), f(16, 2)),
    "numbers, or one vector": (f(16), f(16)),
    "ids and ratings": (i(32), i(32), f(32)),
    "time first": (f(35, 20, 5), i(20)),
    "text of a batch, and where each begins": (i(50), i(8), i(8)),
    "mixup": (f(32, 20), i(32), i(32), 0.3),
    "volume and mask": (f(1, 16, 16, 16), f(1, 16, 16, 16)),
    "state beside a batch": (f(32, 20), f(2, 32, 8), i(32)),
    "number": 3,
    "nothing": None,
    "text": "text",
    "object": object(),
}


@pytest.mark.parametrize("item", SAMPLES)
def test_a_sample_is_told(item: str) -> None:
    assert kind_of(SAMPLES[item]) == "sample"


@pytest.mark.parametrize("item", BATCHES)
def test_a_batch_is_told(item: str) -> None:
    assert kind_of(BATCHES[item]) == "batch"


@pytest.mark.parametrize("item", UNCLEAR)
def test_what_may_be_either_is_not_guessed(item: str) -> None:
    assert kind_of(UNCLEAR[item]) is None


@pytest.mark.parametrize("item", [*BATCHES, *UNCLEAR])
def test_a_list_is_of_batches_unless_it_shows_otherwise(item: str) -> None:
    if item != "numbers, or one vector":
        assert kind_of_list([{**BATCHES, **UNCLEAR}[item]] * 3) == "batch"


def test_a_list_of_vectors_of_one_length_may_be_either() -> None:
    assert kind_of_list([(f(16), f(16))] * 3) is None
    assert kind_of_list([f(16)] * 3) is None
    assert kind_of_list([(f(16), f(16))]) == "batch"  # one sample would be too little to train on
    assert kind_of_list([(f(16), f(16)), (f(16), f(16)), (f(5), f(5))]) == "batch"


def test_samples_among_which_one_looks_like_something_else_are_samples() -> None:
    # The second item alone would look like a batch of four.
    assert kind_of_list([(f(n), f(4)) for n in (5, 4, 6)]) == "sample"
    assert kind_of_list([(f(20), 3), (f(16, 3, 8, 8), i(16))]) is None
