"""Samples of Hugging Face data sets that are the same rows are known as such."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Subset

from lrwidget import LRRecords, refine
from lrwidget.data.by_index import shared_with
from tests.adapters.case import forget_accelerate

datasets = pytest.importorskip("datasets")
pytestmark = pytest.mark.framework

COUNT = 48
X = [[float(i), 1.0, 2.0] for i in range(COUNT)]


@pytest.fixture(scope="module")
def rows() -> Any:
    columns = {"x": X, "labels": [[float(i % 2)] for i in range(COUNT)], "text": ["-"] * COUNT}
    return datasets.Dataset.from_dict(columns).with_format("torch")


PARTS = {
    "a range": lambda rows: rows.select(range(4, 9)),
    "a list": lambda rows: rows.select([8, 4, 5, 7, 6]),
    "a split": lambda rows: rows.select(range(4, 9)).train_test_split(test_size=4)["train"],
    "a filter": lambda rows: rows.filter(lambda _, i: 4 <= i < 9, with_indices=True),
    "a part of a part": lambda rows: rows.select(range(2, 40)).select([2, 3, 4, 5, 6]),
    "other columns": lambda rows: rows.remove_columns("text").select(range(4, 9)),
    "a subset": lambda rows: Subset(rows, range(4, 9)),
    "joined": lambda rows: datasets.concatenate_datasets([rows.select([8, 4]), rows.select([5])]),
    "joined by torch": lambda rows: ConcatDataset([rows.select([8]), rows.select([4, 5])]),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_found_again(name: str, rows: Any) -> None:
    part = PARTS[name](rows)
    found = shared_with(DataLoader(rows, 8, shuffle=True), DataLoader(part, 8))
    assert len(found) == len(part)
    assert set(found) <= {4, 5, 6, 7, 8}


def test_equal_rows_of_other_data_and_empty_columns_are_not_taken_for_the_same(rows: Any) -> None:
    other = datasets.Dataset.from_dict({"x": X[:5]})
    nothing = datasets.Dataset.from_dict({"x": [None] * 5})
    for data in (other, nothing):
        assert shared_with(DataLoader(rows, 8), DataLoader(data, 8)) == []
    assert shared_with(DataLoader(nothing, 8), DataLoader(nothing.select([1, 0]), 8)) == []


class Noting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> Any:
        if self.training:
            TRAINED.update(map(int, x[:, 0].tolist()))
        return {"loss": nn.functional.mse_loss(self.layer(x / COUNT), labels)}


TRAINED: set[int] = set()


@pytest.mark.parametrize("framework", ["none", "transformers"])
def test_held_out_rows_are_not_trained_on(
    framework: str, rows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrwidget.curve.search.SHORT_LENGTH", 8)
    TRAINED.clear()
    model: Any = Noting()
    data = rows.remove_columns("text")
    more = {"optimizer": torch.optim.SGD, "data": DataLoader(data, 8, shuffle=True)}
    if framework == "transformers":
        hf = pytest.importorskip("transformers")
        forget_accelerate()
        off = {"report_to": [], "disable_tqdm": True, "use_cpu": True}
        arguments = hf.TrainingArguments(str(tmp_path), max_steps=50, **off)
        model, more = hf.Trainer(model, arguments, train_dataset=rows), {}
    result = refine(model, LRRecords(), 30, held_out=rows.select(range(10, 20)), **more)
    forget_accelerate()
    assert set(range(COUNT)) - TRAINED == set(range(10, 20))
    assert "the trials train without 10 samples that are in it" in result.held_out
