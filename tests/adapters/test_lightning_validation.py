"""Trials of a LightningModule are judged by what Lightning's own validation says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torchmetrics
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities import CombinedLoader
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrwidget import LRRecords, check_lrs, refine
from lrwidget.engine.step import TrainingStep

pytestmark = pytest.mark.framework

torch.manual_seed(5)
X, V = torch.randn(32, 4), torch.randn(20, 4)
HOOKS = (
    *("start", "epoch_start", "model_eval", "batch_start", "batch_end"),
    *("epoch_end", "model_train", "end"),
)


def loader(inputs: torch.Tensor, size: int = 8, **given: Any) -> Any:
    return DataLoader(TensorDataset(inputs, inputs.sum(1, keepdim=True)), size, **given)


@pytest.fixture(autouse=True)
def short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrwidget.curve.search.SHORT_LENGTH", 3)


class Base(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

    def loss(self, batch: Any) -> torch.Tensor:
        return nn.functional.mse_loss(self.net(batch[0]), batch[1])

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        return self.loss(batch)

    def validation_step(self, batch: Any, index: int) -> Any:
        self.log("val_loss", self.loss(batch))

    def train_dataloader(self) -> Any:
        return loader(X, shuffle=True)

    def val_dataloader(self) -> Any:
        return loader(V)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.01)


def trainer(folder: Path, *callbacks: Any) -> Any:
    return pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=list(callbacks),
    )


def compared(module: Any, folder: Path, *callbacks: Any) -> tuple[Any, dict[str, float]]:
    """Return what `refine` finds, and what Lightning's validation finds before."""
    (own,) = trainer(folder).validate(module, verbose=False)
    result = refine(module, LRRecords(), 12, trainer=trainer(folder, *callbacks))
    assert result.stop_reason == "finished"
    return result, own


# -- which value ---------------------------------------------------------------------------------


def test_a_logged_loss_counts_and_not_the_accuracy_that_is_returned(folder: Path) -> None:
    class Accurate(Base):
        def validation_step(self, batch: Any, index: int) -> Any:
            super().validation_step(batch, index)
            return torch.tensor(0.5)

    result, own = compared(Accurate(), folder)
    assert result.untrained == pytest.approx(own["val_loss"], rel=1e-6)
    assert result.held_out.endswith("; judged by the logged val_loss")


def test_a_returned_loss_counts_beside_a_logged_accuracy(folder: Path) -> None:
    class Both(Base):
        def validation_step(self, batch: Any, index: int) -> Any:
            self.log("val_acc", 0.5)
            return {"loss": self.loss(batch), "outputs": batch}

    result, _ = compared(Both(), folder)
    _, own = compared(Base(), folder)
    assert result.untrained == pytest.approx(own["val_loss"], rel=1e-6)  # weighted by samples


def test_an_accuracy_that_is_returned_and_logged_is_no_loss(folder: Path) -> None:
    class Accurate(Base):
        def validation_step(self, batch: Any, index: int) -> Any:
            accuracy = (self.net(batch[0]) > batch[1]).float().mean()
            self.log("val_acc", accuracy)
            return accuracy

        def training_step(self, batch: Any, index: int) -> Any:
            return self.loss(batch) if self.training else None

    with pytest.raises(ValueError, match=r"logged \['val_acc'\]"):
        compared(Accurate(), folder)


class Several(Base):
    names: tuple[str, ...] = ()

    def validation_step(self, batch: Any, index: int) -> Any:
        loss = self.loss(batch)
        self.log_dict({name: loss * factor for factor, name in enumerate(self.names, 1)})


@pytest.mark.parametrize(
    ("names", "monitor", "expected"),
    [
        (("val_kl_loss", "val_total_loss", "val_recon_loss"), None, "val_total_loss"),
        (("val_kl_loss", "val_recon_loss"), "val_recon_loss", "val_recon_loss"),
        (("aux_loss", "val/loss"), None, "val/loss"),
        (("aux_loss", "Loss/valid"), None, "Loss/valid"),
        (("val_loss", "val_aux_loss"), "val_aux_loss", "val_aux_loss"),
        (("val_loss", "val_mae"), "val_mae", "val_loss"),
        (("val_acc", "val_mae"), "val_mae", "val_mae"),
        (("train_loss", "val_focal_loss"), None, "val_focal_loss"),
    ],
)
def test_of_several_logged_values_it_is_known_which_one_counts(
    names: tuple[str, ...], monitor: str | None, expected: str, folder: Path
) -> None:
    one = Several()
    one.names = names
    callbacks = [EarlyStopping(monitor)] if monitor else []
    result, own = compared(one, folder, *callbacks)
    assert result.untrained == pytest.approx(own[expected], rel=1e-6)
    assert result.held_out.endswith(f"; judged by the logged {expected}")


def test_losses_of_which_none_is_the_one_are_named(folder: Path) -> None:
    one = Several()
    one.names = ("val_g_loss", "val_d_loss")
    with pytest.raises(ValueError, match=r"\(val_g_loss, val_d_loss\).*EarlyStopping"):
        compared(one, folder)


@pytest.mark.parametrize("by", ["callback", "scheduler"])
def test_the_module_itself_may_say_what_is_minimized(by: str, folder: Path) -> None:
    class Monitored(Several):
        names = ("val_g_loss", "val_d_loss")

        def configure_callbacks(self) -> Any:
            return EarlyStopping("val_d_loss") if by == "callback" else []

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), 0.01)
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
            scheduler = {"scheduler": plateau, "monitor": "val_d_loss"}
            return {"optimizer": optimizer, "lr_scheduler": scheduler}

    class Without(Monitored):
        configure_optimizers = Base.configure_optimizers

    result, own = compared((Without if by == "callback" else Monitored)(), folder)
    assert result.untrained == pytest.approx(own["val_d_loss"], rel=1e-6)


def test_a_loss_of_each_batch_and_of_the_epoch_is_one_value(folder: Path) -> None:
    class Forked(Base):
        def validation_step(self, batch: Any, index: int) -> Any:
            self.log("val_loss", self.loss(batch), on_step=True, on_epoch=True)

    result, own = compared(Forked(), folder)
    assert result.untrained == pytest.approx(own["val_loss_epoch"], rel=1e-6)


# -- what is measured ----------------------------------------------------------------------------


@pytest.mark.parametrize("hook", ["on_before_batch_transfer", "on_after_batch_transfer"])
def test_held_out_batches_are_not_augmented_as_those_of_training(hook: str, folder: Path) -> None:
    def augment(self: Any, batch: Any, index: int) -> Any:
        return (batch[0] + 100.0, batch[1]) if self.trainer.training else batch

    one = type("Augmented", (Base,), {hook: augment})()
    result, own = compared(one, folder)
    assert result.untrained == pytest.approx(own["val_loss"], rel=1e-6)
    checked, plain = (
        list(check_lrs(module, [1e-9, 2e-9], 3, trainer=trainer(folder)).summary.val_loss)
        for module in (one, Base())
    )
    assert checked == pytest.approx(plain, rel=1e-4)


class Metric(Base):
    """Logs a metric object, which adds up the batches until it is reset."""

    def __init__(self) -> None:
        super().__init__()
        self.total = torchmetrics.MeanMetric()

    def validation_step(self, batch: Any, index: int) -> Any:
        self.total(self.loss(batch))
        self.log("val/loss", self.total, on_step=False, on_epoch=True)


def test_a_metric_object_is_computed_once_for_each_measurement(folder: Path) -> None:
    result, own = compared(Metric(), folder)
    assert result.untrained == pytest.approx(own["val/loss"], rel=1e-6)

    class Plain(Base):
        def val_dataloader(self) -> Any:
            return loader(V[:16])  # of batches of one size, whose mean is that of the metric

    class WithMetric(Plain, Metric):
        validation_step = Metric.validation_step

    torch.manual_seed(0)
    measured = compared(WithMetric(), folder)[0]
    torch.manual_seed(0)
    plain = compared(Plain(), folder)[0]
    for one, other in zip(measured.trials, plain.trials, strict=True):
        assert one.held_out == pytest.approx(other.held_out, rel=1e-5)


def test_a_loss_over_the_whole_epoch_is_that_of_all_batches(folder: Path) -> None:
    class Correlation(Base):
        def __init__(self) -> None:
            super().__init__()
            self.found: list[Any] = []

        def validation_step(self, batch: Any, index: int) -> Any:
            self.found.append((self.net(batch[0]), batch[1]))

        def on_validation_epoch_end(self) -> None:
            both = [torch.cat(parts).squeeze() for parts in zip(*self.found, strict=True)]
            self.found.clear()
            self.log("val_loss", 1 - torch.corrcoef(torch.stack(both))[0, 1])

    result, own = compared(Correlation(), folder)
    assert result.untrained == pytest.approx(own["val_loss"], rel=1e-5)


def test_the_hooks_are_called_as_in_lightning_once_for_a_measurement(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    def noting(name: str) -> Callable[..., Any]:
        def hook(self: Any, *_: Any, **__: Any) -> None:
            called.append(name)
            if name.startswith("on_validation_model"):
                getattr(Base, name)(self)

        return hook

    names = [f"on_validation_{name}" for name in HOOKS]
    one = type("Hooks", (Base,), {name: noting(name) for name in names})()
    trainer(folder).validate(one, verbose=False)
    expected = list(called)
    measured: list[list[str]] = []
    evaluate = TrainingStep.evaluate

    def noted(self: Any, batches: Any) -> Any:
        called.clear()
        found = evaluate(self, batches)
        measured.append(list(called))
        return found

    monkeypatch.setattr(TrainingStep, "evaluate", noted)
    refine(one, LRRecords(), 12, trainer=trainer(folder))
    assert measured[:2] == [expected, expected]
    assert sorted(set(expected)) == sorted(names)


def test_weights_that_hooks_swap_for_averages_are_swapped_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Averaged(Base):
        def on_validation_epoch_start(self) -> None:
            self.kept = [p.detach().clone() for p in self.net.parameters()]
            for parameter in self.net.parameters():
                parameter.data.mul_(0.5)

        def on_validation_epoch_end(self) -> None:
            for parameter, value in zip(self.net.parameters(), self.kept, strict=True):
                parameter.data.copy_(value)

    evaluate = TrainingStep.evaluate
    one = Averaged()

    def unchanged(self: Any, batches: Any) -> Any:
        before = [p.detach().clone() for p in one.parameters()]
        found = evaluate(self, batches)
        assert all(map(torch.equal, before, one.parameters()))
        return found

    monkeypatch.setattr(TrainingStep, "evaluate", unchanged)
    result, own = compared(one, folder)
    assert result.untrained == pytest.approx(own["val_loss"], rel=1e-6)


def test_a_step_sees_the_loaders_and_their_numbers_of_batches(folder: Path) -> None:
    seen: list[Any] = []

    class Looking(Base):
        def on_validation_start(self) -> None:
            self.found: list[int] = []

        def validation_step(self, batch: Any, index: int) -> Any:
            self.found.append(index)
            loaders = self.trainer.val_dataloaders
            assert loaders is not None
            seen.append((len(loaders.dataset), list(self.trainer.num_val_batches)))
            if index == self.trainer.num_val_batches[0] - 1:
                self.log("val_loss", self.loss(batch))

    result, own = compared(Looking(), folder)
    assert result.untrained == pytest.approx(own["val_loss"], rel=1e-6)
    assert set(map(str, seen)) == {"(20, [3])"}


def test_what_a_step_writes_to_its_batches_is_gone_in_the_next_measurement(folder: Path) -> None:
    class Writing(Base):
        def validation_step(self, batch: Any, index: int) -> Any:
            batch[0].mul_(2)
            super().validation_step(batch, index)

    one = Writing()
    result, own = compared(one, folder)
    assert result.untrained == pytest.approx(own["val_loss"], rel=1e-6)
    held_out = check_lrs(one, [1e-9, 2e-9], 3, trainer=trainer(folder)).summary.val_loss
    assert held_out[0] == pytest.approx(held_out[1], rel=1e-4)


@pytest.mark.parametrize("kind", ["list", "dict", "combined"])
def test_several_validation_loaders_all_count(kind: str, folder: Path) -> None:
    two = [loader(V), loader(3 * V, 5)]
    given: dict[str, Any] = {"list": two, "dict": dict(zip("ab", two, strict=True))}
    given["combined"] = CombinedLoader(given["dict"], "max_size_cycle")

    class Two(Base):
        def val_dataloader(self) -> Any:
            return given[kind]

        def validation_step(self, batch: Any, index: int, dataloader_idx: int = 0) -> Any:
            batches = batch.values() if isinstance(batch, dict) else [batch]
            self.log("val_loss", sum(map(self.loss, batches)), batch_size=1)

    (first, *others) = trainer(folder).validate(Two(), verbose=False)
    found = [value for figures in (first, *others) for value in figures.values()]
    result = refine(Two(), LRRecords(), 12, trainer=trainer(folder))
    assert result.untrained == pytest.approx(sum(found) / len(found), rel=1e-5)
    if kind == "list":
        monitor = EarlyStopping("val_loss/dataloader_idx_1")
        only = refine(Two(), LRRecords(), 12, trainer=trainer(folder, monitor))
        assert only.untrained == pytest.approx(found[1], rel=1e-5)


@pytest.mark.parametrize("kind", ["list", "dict"])
def test_without_validation_batches_have_the_structure_of_the_loaders(
    kind: str, folder: Path
) -> None:
    class Wrapped(Base):
        validation_step = pl.LightningModule.validation_step
        val_dataloader = pl.LightningModule.val_dataloader

        def train_dataloader(self) -> Any:
            return [loader(X, shuffle=True)] if kind == "list" else {"a": loader(X, shuffle=True)}

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            (only,) = batch if kind == "list" else batch.values()
            return self.loss(only)

    result = refine(Wrapped(), LRRecords(), 12, trainer=trainer(folder))
    assert result.held_out == "10 of 32 samples, chosen at random"
    given = refine(Wrapped(), LRRecords(), 12, trainer=trainer(folder), held_out=loader(V))
    one = Base()
    with torch.no_grad():
        expected = float(one.loss((V, V.sum(1, keepdim=True))))
    assert given.untrained == pytest.approx(expected, rel=1e-5)
