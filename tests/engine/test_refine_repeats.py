"""`refine` notices held-out samples that the trials trained on too."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, TensorDataset

from lrwidget import LRRecords, TrainingTask, refine
from lrwidget.records.refinement import Refinement

X = torch.randn(64, 20, generator=torch.Generator().manual_seed(0))
Y = torch.randint(0, 4, (64,), generator=torch.Generator().manual_seed(1))  # nothing but noise


class Repeated(Dataset[Any]):
    def __init__(self, jitter: float = 0.0) -> None:
        self.jitter = jitter

    def __len__(self) -> int:
        return 512

    def __getitem__(self, index: int) -> Any:
        x = X[index % 64]
        return x + self.jitter * torch.randn(20) if self.jitter else x, Y[index % 64]


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        while True:
            for i in torch.randperm(64).tolist():
                yield {"x": X[i], "label": int(Y[i])}


def refined(data: Any, val_data: Any = None, held_out: Any = None) -> Refinement:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 128), nn.ReLU(), nn.Linear(128, 4))

    def step(batch: Any) -> torch.Tensor:
        x, y = batch.values() if isinstance(batch, dict) else batch
        return nn.functional.cross_entropy(model(x), y)

    adam = torch.optim.Adam(model.parameters())
    task = TrainingTask(model, adam, None, data, step=step, val_data=val_data)
    return refine(task, LRRecords(), 700, held_out=held_out)


COPY = TensorDataset(X.clone(), Y.clone())
REPEATS: dict[str, Callable[[], dict[str, Any]]] = {
    "virtual repeats": lambda: {"data": DataLoader(Repeated(), 32, shuffle=True)},
    "copies that are joined": lambda: {
        "data": DataLoader(ConcatDataset([TensorDataset(X, Y), COPY, COPY]), 32, shuffle=True)
    },
    "a stream": lambda: {"data": DataLoader(Stream(), 32)},
    "batches in a list": lambda: {"data": 8 * list(DataLoader(TensorDataset(X, Y), 32))},
    "validation data": lambda: {
        "data": DataLoader(TensorDataset(X, Y), 32),
        "val_data": DataLoader(COPY, 32),
    },
    "held-out data": lambda: {
        "data": DataLoader(TensorDataset(X, Y), 32),
        "held_out": DataLoader(COPY, 32),
    },
}


@pytest.mark.parametrize("name", REPEATS)
def test_a_rate_that_repeated_samples_judged_is_of_low_confidence(name: str) -> None:
    result = refined(**REPEATS[name]())
    trained, held = result.repeated
    assert trained >= 0.5 * held > 0
    assert f"{trained} of {held} held-out samples were also trained on" in result.reason
    shared = "the data repeats samples, or shares them with what judges; give val_data or held_out="
    assert shared in result.reason
    assert result.confidence == "low"
    again = Refinement.from_json(result.as_json())
    assert (again.reason, again.confidence) == (result.reason, "low")


BITS = torch.randint(0, 2, (2000, 5), generator=torch.Generator().manual_seed(2)).float()
FEW_EQUAL = torch.randn(600, 20)
FEW_EQUAL[:20] = FEW_EQUAL[20:40]
ORDINARY: dict[str, Callable[[], Any]] = {
    "numbers": lambda: TensorDataset(torch.randn(600, 20), torch.randint(0, 4, (600,))),
    "few equal rows": lambda: TensorDataset(FEW_EQUAL, torch.randint(0, 4, (600,))),
    "a table of five bits": lambda: TensorDataset(
        BITS.repeat(1, 4), (BITS.sum(1) * torch.rand(2000)).long().clamp(max=3)
    ),
    "jittered repeats": lambda: Repeated(0.05),
    "dark pictures": lambda: TensorDataset(
        torch.randint(0, 2, (600, 20)) * (torch.rand(600, 20) < 0.3), torch.randint(0, 4, (600,))
    ),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_data_is_not_accused(name: str) -> None:
    data: Any = ORDINARY[name]()

    class Floats(Dataset[Any]):
        def __len__(self) -> int:
            return len(data)

        def __getitem__(self, index: int) -> Any:
            return data[index][0].float(), data[index][1]

    result = refined(DataLoader(Floats(), 32, shuffle=True))
    assert result.repeated[1] > 0
    assert "also trained on" not in result.reason


def test_what_cannot_be_compared_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrwidget.data.equal_samples.sample_pairs", lambda *_, **__: None)
    assert refined(**REPEATS["virtual repeats"]()).repeated == (0, 0)


def test_a_result_from_before_repeats_were_noticed_is_read() -> None:
    saved = refined(DataLoader(Repeated(), 32, shuffle=True)).as_json()
    del saved["repeated"]
    assert "also trained on" not in Refinement.from_json(saved).reason
