"""Tests of the labels that runs get by default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget.widget.labels import label_of


def test_an_optimizer_is_told_with_what_is_unusual_but_its_rate_which_is_swept() -> None:
    optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(1))], lr=0.5, weight_decay=0.1)
    assert label_of({"optimizer": optimizer}) == "optimizer=AdamW(weight_decay=0.1)"


@pytest.mark.parametrize(
    ("overrides", "label"),
    [
        ({}, ""),
        ({"batch_size": 64, "end_lr": 0.1, "seed": None}, "batch_size=64, end_lr=0.1, seed=None"),
        ({"data_dir": "/where/i/live/set", "name": "a/b"}, "data_dir=set, name=a/b"),
        ({"data_dir": Path("/where/i/live/set")}, "data_dir=set"),
        ({"config": {"data_dir": "/where/i/live"}}, "config=dict"),
        ({"names": "x" * 100}, "names=" + "x" * 73 + "…"),
    ],
)
def test_a_label_says_what_differs_and_in_which_folder_nothing_lies(
    overrides: dict[str, Any], label: str
) -> None:
    assert label_of(overrides) == label
