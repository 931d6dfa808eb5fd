"""LightningModules whose steps are not one loss per batch are swept as in Lightning's loop."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lrwidget import LRRecords, lr_find, refine
from tests.adapters.case import make

pytestmark = pytest.mark.framework

STEPS = 8
SWEEP: dict[str, Any] = {"start_lr": 1e-3, "end_lr": 1e-1, "steps": STEPS, "progress": False}
BATCHES = 5


class Passing(pl.LightningModule):
    """Returns None for some of the five batches of a pass."""

    def __init__(self, without: tuple[int, ...] = ()) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 1))
        self.without = without
        self.leaves_at: int | None = None
        torch.manual_seed(4)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        return -1 if batch_idx == self.leaves_at else None

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if batch_idx in self.without:
            return None
        x, y = batch
        return nn.functional.mse_loss(self.net(x), y)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


class ByHand(Passing):
    """Steps two optimizers itself; the second keeps its rate."""

    def __init__(self, without: tuple[int, ...] = (), returns: bool = True) -> None:
        super().__init__(without)
        self.automatic_optimization = False
        self.returns = returns

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        if loss is None:
            return None
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            optimizer.step()
        return loss if self.returns else None

    def configure_optimizers(self) -> Any:
        first, *_, last = self.net
        one = torch.optim.SGD(first.parameters(), lr=0.1, momentum=0.9)
        return one, torch.optim.Adam(last.parameters(), lr=0.01)


class Keeper(pl.Callback):
    """Sets the rate of each step, and keeps the losses of those that have one."""

    def __init__(self, rates: list[float], size: int) -> None:
        self.rates, self.size = rates, size
        self.rows: list[float] = []
        self.group: list[torch.Tensor] = []
        self.steps = 0

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        self.group = []  # Lightning zeroes the gradients of a step that a pass has left undone

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        trainer.optimizers[0].param_groups[0]["lr"] = self.rates[len(self.rows)]

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
        if outputs:
            self.group.append(outputs["loss"].detach().clone())
        if trainer.global_step > self.steps:
            self.steps = trainer.global_step
            if self.group:
                self.rows.append(float(torch.stack(self.group).mean() * self.size))
            self.group = []
        trainer.should_stop = len(self.rows) == len(self.rates)


def loader() -> Any:
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(1))
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=4)


def trainer(accumulate: int = 1, *callbacks: Any) -> Any:
    return pl.Trainer(
        accelerator="cpu",
        accumulate_grad_batches=accumulate,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        max_epochs=50,
    )


def swept(module: Any, accumulate: int = 1, **options: Any) -> LRRecords:
    return lr_find(module, trainer=trainer(accumulate), data=loader(), **{**SWEEP, **options})


def trained(module: Any, rates: list[float], accumulate: int = 1) -> list[float]:
    keeper = Keeper(rates, accumulate)
    trainer(accumulate, keeper).fit(module, loader())
    return keeper.rows


@pytest.mark.parametrize("without", [(1, 4), (0, 2, 3), (4,)])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_batch_whose_loss_is_none_is_passed_over(
    accumulate: int, without: tuple[int, ...]
) -> None:
    records = swept(Passing(without), accumulate)
    assert len(records) == STEPS
    assert "skipped_by_scaler" not in records.meta
    assert list(records.loss) == trained(Passing(without), list(records.lr), accumulate)


@pytest.mark.parametrize("kind", [Passing, ByHand])
@pytest.mark.parametrize("without", [(), (2, 4)])
def test_losses_are_those_of_automatic_and_manual_optimization(
    kind: type[Passing], without: tuple[int, ...]
) -> None:
    records = swept(kind(without))
    assert list(records.loss) == trained(kind(without), list(records.lr))
    assert len(records) == STEPS


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_rest_of_a_pass_is_left_where_the_module_says_so(accumulate: int) -> None:
    modules = Passing(), Passing()
    for module in modules:
        module.leaves_at = 3
    records = swept(modules[0], accumulate)
    assert list(records.loss) == trained(modules[1], list(records.lr), accumulate)
    assert len(records) == STEPS


class ByEpoch(Passing):
    """Reads the number of the epoch, the loaders and their length, also where an epoch begins."""

    def on_train_start(self) -> None:
        self.batches = self.trainer.num_training_batches

    def on_train_epoch_start(self) -> None:
        self.weight = 1.0 + self.current_epoch / len(self.trainer.train_dataloader)
        self.net[2].eval()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.weight *= 0.9
        return None if loss is None else loss * self.weight / self.batches

    def configure_optimizers(self) -> Any:
        assert self.trainer.estimated_stepping_batches >= BATCHES
        return super().configure_optimizers()


@pytest.mark.parametrize("without", [(), (1, 4), (0, 2, 3)])
def test_each_pass_is_an_epoch(without: tuple[int, ...]) -> None:
    records = swept(ByEpoch(without), steps=3 * BATCHES)
    assert list(records.loss) == trained(ByEpoch(without), list(records.lr))


def test_each_trial_begins_with_the_first_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    class Noting(ByEpoch):
        def on_train_epoch_start(self) -> None:
            super().on_train_epoch_start()
            begun.append(self.current_epoch)

    begun: list[int] = []
    monkeypatch.setattr("lrwidget.curve.search.SHORT_LENGTH", 2 * BATCHES - 2)
    held_out = TensorDataset(torch.randn(8, 4), torch.randn(8, 1))
    given: dict[str, Any] = {"trainer": trainer(), "data": loader(), "held_out": held_out}
    refine(Noting(), LRRecords(), 6 * BATCHES - 6, **given)
    assert begun == [0, *3 * [0, 1]]  # the first is for measuring the untrained module


def test_passes_that_began_in_between_are_marked() -> None:
    # Rows 0 to 3 are batches 0 to 3; row 4 is batch 0 of the next pass, which began in its step.
    assert swept(Passing((4,))).meta["epochs_begin_at"] == [5]
    assert swept(Passing((0,))).meta["epochs_begin_at"] == [4]


def test_no_loss_at_all_is_an_error_that_says_so() -> None:
    module = Passing(tuple(range(BATCHES)))
    with pytest.raises(TypeError, match=r"training_step returned no loss for 64 batches in a row"):
        swept(module)


def test_a_data_set_in_the_place_of_a_loader_is_refused() -> None:
    with pytest.raises(TypeError, match=r"TensorDataset, .* one sample a step; give a loader"):
        lr_find(Passing(), trainer=trainer(), data=loader().dataset, **SWEEP)


def test_an_optimizer_without_a_rate_is_named() -> None:
    class Relative(Passing):
        def configure_optimizers(self) -> Any:
            optimizer = super().configure_optimizers()
            optimizer.param_groups[0].update(lr=None, relative_step=True)
            return optimizer

    with pytest.raises(ValueError, match=r"SGD has lr None: it sets its own rate"):
        swept(Relative())


def test_a_step_by_hand_without_a_loss_is_one_at_once() -> None:
    with pytest.raises(TypeError, match=r"training_step returned no loss for a batch; .*return it"):
        swept(ByHand(returns=False))


def test_data_that_end_while_batches_are_passed_over() -> None:
    class Once(IterableDataset[Any]):
        """Gives five samples, and none when it is read again."""

        def __init__(self) -> None:
            self.left = iter([(torch.ones(4), torch.ones(1))] * BATCHES)

        def __iter__(self) -> Iterator[Any]:
            return self.left

    data = DataLoader(Once(), batch_size=1)
    records = lr_find(Passing((3, 4)), trainer=trainer(), data=data, **SWEEP)
    assert (records.stop_reason, len(records)) == ("exhausted", 3)


# Other frameworks refuse such steps with an error.


def test_accelerate_with_a_loss_of_none(folder: Path) -> None:
    model, optimizer, _, batches = make("accelerate", folder).arguments
    with pytest.raises(TypeError, match=r"loss_fn gave None as the loss of a batch, a NoneType"):
        lr_find(model, optimizer, lambda output, target: None, batches, **SWEEP)


@pytest.mark.parametrize("method", ["get_loss", "train_step"])
def test_skorch_with_a_loss_of_none(method: str, folder: Path) -> None:
    case = make("skorch", folder)
    (net,) = case.arguments
    net.__class__ = type("Changed", (type(net),), {method: lambda self, *_, **__: None})
    with pytest.raises(TypeError, match=rf"Changed.{method} gave None as the loss of a batch"):
        lr_find(net, **case.keywords, **SWEEP)
