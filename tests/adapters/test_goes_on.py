"""A trial that goes on trains on what follows in the framework's data, as one without a break."""

import copy
import random
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lrwidget import LRRecords, refine
from tests.adapters.case import forget_accelerate

pytestmark = pytest.mark.framework

X = torch.randn(56, 4, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True)
DATA = TensorDataset(X, Y)


class Named(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": nn.functional.mse_loss(self.net(x), labels)}


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return ({"x": x, "labels": y} for x, y in zip(X, Y, strict=True))


def lightning(net: nn.Module, folder: Path) -> Any:
    pl = pytest.importorskip("lightning.pytorch")

    class Module(pl.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def training_step(self, batch: Any, _: int) -> Any:
            return nn.functional.mse_loss(self.net(batch[0]), batch[1])

        def validation_step(self, batch: Any, _: int) -> None:
            self.log("val_loss", nn.functional.mse_loss(self.net(batch[0]), batch[1]))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.01)

        def train_dataloader(self) -> Any:
            return DataLoader(DATA, 8)

        val_dataloader = train_dataloader

    off = dict.fromkeys(("logger", "enable_progress_bar", "enable_checkpointing"), False)
    return {
        "model": Module(),
        "trainer": pl.Trainer(accelerator="cpu", default_root_dir=folder, max_epochs=3, **off),
    }


def transformers(net: nn.Module, folder: Path) -> Any:
    hf = pytest.importorskip("transformers")
    arguments = hf.TrainingArguments(
        output_dir=str(folder),
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        per_device_train_batch_size=8,
        max_steps=50,
        max_grad_norm=0,
        optim="sgd",
    )
    stream = Stream()
    return {"model": hf.Trainer(Named(net), arguments, train_dataset=stream, eval_dataset=stream)}


def skorch(net: nn.Module, _: Path) -> Any:
    sk = pytest.importorskip("skorch")
    helper = pytest.importorskip("skorch.helper")
    split = helper.predefined_split(DATA)
    learner = sk.NeuralNetRegressor(net, lr=0.01, batch_size=8, train_split=split, verbose=0)
    return {"model": learner, "X": X.numpy(), "y": Y.numpy()}


def fastai(net: nn.Module, _: Path) -> Any:
    load = pytest.importorskip("fastai.data.load")
    core = pytest.importorskip("fastai.data.core")
    learner = pytest.importorskip("fastai.learner")
    sgd = pytest.importorskip("fastai.optimizer").SGD
    samples = list(zip(X, Y, strict=True))
    loaders = core.DataLoaders(*(load.DataLoader(samples, bs=8, device="cpu") for _ in range(2)))
    loss = nn.functional.mse_loss
    return {"model": learner.Learner(loaders, net, loss_func=loss, opt_func=sgd, lr=0.01)}


def accelerate(net: nn.Module, _: Path) -> Any:
    accelerator = pytest.importorskip("accelerate").Accelerator(cpu=True)
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    net, optimizer, loader = accelerator.prepare(net, optimizer, DataLoader(DATA, 8))
    return {
        "model": net,
        "optimizer": optimizer,
        "loss_fn": nn.MSELoss(),
        "data": loader,
        "held_out": [(X, Y)],
    }


@pytest.mark.parametrize("length", [5, 7])  # within a pass of seven batches, and at its end
@pytest.mark.parametrize("made", [lightning, transformers, fastai, skorch, accelerate])
def test_it_is_as_one_that_was_never_broken_off(
    made: Any, length: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrwidget.curve.search.SHORT_LENGTH", length)
    monkeypatch.setattr("lrwidget.curve.search.FARTHEST", 1)
    monkeypatch.setattr("lrwidget.curve.search.NO_SUGGESTION", 0.03)
    torch.manual_seed(0)
    net = nn.Linear(4, 1)
    by_hand = copy.deepcopy(net)
    forget_accelerate()
    arguments = made(net, tmp_path)
    result = refine(arguments.pop("model"), LRRecords(), 6 * length + 2, **arguments)
    forget_accelerate()
    trial = max(result.trials, key=lambda one: len(one.records))
    assert len(trial.records) == 2 * length
    optimizer = torch.optim.SGD(by_hand.parameters(), trial.lr)
    losses = []
    for x, y in islice(cycle(DataLoader(DATA, 8)), 2 * length):
        loss = nn.functional.mse_loss(by_hand(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert trial.records.loss.tolist() == pytest.approx(losses, rel=1e-5)


def test_fastais_loaders_tell_whether_they_draw_an_order_and_draw_none_for_that() -> None:
    load = pytest.importorskip("fastai.data.load")
    from lrwidget.adapters.fastai_loaders import indexed

    def draws(**options: Any) -> bool:
        loader = load.DataLoader(list(X), bs=8, **options)
        before = loader.rng.getstate(), random.getstate()
        found = indexed(loader).draws
        assert (loader.rng.getstate(), random.getstate()) == before
        return found

    assert draws(shuffle=True)
    assert draws(get_idxs=lambda: random.sample(range(56), 56))
    assert not draws()
    assert not draws(get_idxs=lambda: list(range(40)))
