"""Held-out data that is part of the training data is not trained on, in any framework."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

from lrwidget import LRRecords, refine
from tests.adapters.case import forget_accelerate

SAMPLES = 48


class Numbered(Dataset[Any]):
    """Sample i has i as its first input."""

    def __init__(self, kind: type = tuple, count: int = SAMPLES) -> None:
        self.kind = kind
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < self.count:
            raise IndexError(index)
        x, y = torch.tensor([float(index), 1.0, 2.0]), torch.tensor([float(index % 2)])
        return {"x": x, "labels": y} if self.kind is dict else (x, y)


class Noting(nn.Module):
    """Notes which samples it is trained on, and which it is judged by.

    They belong to the class, as attributes of the model are put back.
    """

    trained: ClassVar[set[int]] = set()
    judged: ClassVar[set[int]] = set()

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 1)

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> Any:
        (self.trained if self.training else self.judged).update(map(int, x[:, 0].tolist()))
        output = self.layer(x / SAMPLES)
        if labels is None:
            return output
        return {"loss": nn.functional.mse_loss(output, labels), "logits": output}


@pytest.fixture(autouse=True)
def short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrwidget.curve.search.SHORT_LENGTH", SAMPLES // 8 + 2)


class Tried:
    """A refinement in a framework, and what its trials have read."""

    def __init__(self, framework: str, folder: Path, data: Any, held_out: Any = None) -> None:
        self.net = Noting()
        Noting.trained.clear()
        Noting.judged.clear()
        model, given = getattr(self, framework)(folder, data)
        result = refine(model, LRRecords(), 40, held_out=held_out, **given)
        self.words = result.held_out
        self.trained, self.judged = set(Noting.trained), set(Noting.judged)

    def transformers(self, folder: Path, data: Any) -> Any:
        from transformers import Trainer, TrainingArguments

        forget_accelerate()
        sizes = {"per_device_train_batch_size": 8, "per_device_eval_batch_size": 8}
        arguments = TrainingArguments(
            output_dir=str(folder), use_cpu=True, report_to=[], disable_tqdm=True, **sizes
        )
        return Trainer(self.net, arguments, train_dataset=data), {}

    def fastai(self, folder: Path, data: Any) -> Any:
        from fastai.data.core import DataLoaders
        from fastai.data.load import DataLoader as Loader
        from fastai.learner import Learner

        loaders = DataLoaders(Loader(data, bs=8, shuffle=True), path=folder)
        return Learner(loaders, self.net, loss_func=nn.MSELoss()), {}

    def skorch(self, folder: Path, data: Any) -> Any:
        from skorch import NeuralNet

        options: dict[str, Any] = {"iterator_train__shuffle": True, "train_split": None}
        return NeuralNet(self.net, nn.MSELoss, batch_size=8, lr=0.01, **options), {"X": data}

    def accelerate(self, folder: Path, data: Any) -> Any:
        from accelerate import Accelerator

        forget_accelerate()
        optimizer = torch.optim.SGD(self.net.parameters(), 0.01)
        loader = DataLoader(data, 8, shuffle=True)
        model, optimizer, loader = Accelerator(cpu=True).prepare(self.net, optimizer, loader)
        return model, {"optimizer": optimizer, "loss_fn": nn.MSELoss(), "data": loader}


FRAMEWORKS = ("transformers", "fastai", "skorch", "accelerate")


def numbered(framework: str, count: int = SAMPLES) -> Any:
    return Numbered(dict if framework == "transformers" else tuple, count)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_subset_of_the_training_data_is_left_out(framework: str, folder: Path) -> None:
    data = numbered(framework)
    found = Tried(framework, folder, data, Subset(data, range(8, 20)))
    assert found.words.endswith("held_out; the trials train without 12 samples that are in it")
    assert found.judged == set(range(8, 20))
    assert found.trained == set(range(SAMPLES)) - found.judged


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_subsets_of_one_data_set_may_overlap(framework: str, folder: Path) -> None:
    data = numbered(framework)
    found = Tried(framework, folder, Subset(data, range(8, 48)), Subset(data, range(16)))
    assert found.words.endswith("held_out; the trials train without 8 samples that are in it")
    assert (found.judged, found.trained) == (set(range(16)), set(range(16, 48)))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_other_data_leaves_nothing_out(framework: str, folder: Path) -> None:
    found = Tried(framework, folder, numbered(framework), numbered(framework, 12))
    assert found.words == "the first 512 samples at most of held_out"
    assert found.trained == set(range(SAMPLES))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_all_of_the_training_data_is_refused(framework: str, folder: Path) -> None:
    data = numbered(framework)
    with pytest.raises(ValueError, match="held_out has all 48 samples of the training data"):
        Tried(framework, folder, data, Subset(data, range(SAMPLES)))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_sample_that_a_subset_repeats_is_held_out_everywhere(
    framework: str, folder: Path
) -> None:
    data = Subset(numbered(framework), [*range(40), *range(8), *range(8)])
    found = Tried(framework, folder, data, 0.5)
    assert found.words == "20 of 40 samples, chosen at random"
    assert len(found.judged) == 20
    assert found.trained == set(range(40)) - found.judged


def test_a_fastai_loader_of_a_subset_is_left_out(folder: Path) -> None:
    from fastai.data.load import DataLoader as Loader

    data = numbered("fastai")
    found = Tried("fastai", folder, data, Loader(Subset(data, range(8, 20)), bs=8))
    assert found.judged == set(range(8, 20))
    assert found.trained == set(range(SAMPLES)) - found.judged
