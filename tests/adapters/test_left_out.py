"""Callbacks of the user's own that change what is trained are named, as a sweep leaves them out."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrwidget import lr_find
from lrwidget.adapters.left_out import changing
from tests.adapters.case import forget_accelerate

SHORT: dict[str, Any] = {"start_lr": 1e-4, "end_lr": 1e-2, "steps": 3, "progress": False}
X = torch.randn(32, 4)
Hook = Callable[..., None]


def clipped(parameters: Any) -> None:
    torch.nn.utils.clip_grad_value_(parameters, 1.0)


def swept_lightning(folder: Path, kind: Any) -> None:
    import lightning.pytorch as pl

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(4, 4)

        def training_step(self, batch: Any, index: int) -> Any:
            return (self.net(batch[0]) - batch[0]).square().mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    trainer = pl.Trainer(
        accelerator="cpu", default_root_dir=folder, callbacks=[kind()], enable_progress_bar=False
    )
    lr_find(Module(), trainer=trainer, data=DataLoader(TensorDataset(X), 8), **SHORT)


def swept_skorch(_: Path, kind: Any) -> None:
    from skorch import NeuralNetRegressor

    options: dict[str, Any] = {"train_split": None, "verbose": 0, "batch_size": 8}
    net = NeuralNetRegressor(nn.Linear(4, 4), callbacks=[("own", kind)], **options)
    lr_find(net, X.numpy(), X.numpy(), **SHORT)


def swept_transformers(folder: Path, kind: Any) -> None:
    from transformers import Trainer, TrainingArguments

    class Model(nn.Linear):
        def forward(self, x: torch.Tensor) -> Any:  # type: ignore[override]
            return {"loss": (super().forward(x) - x).square().mean()}

    forget_accelerate()
    arguments = TrainingArguments(
        str(folder), use_cpu=True, report_to=[], remove_unused_columns=False
    )
    rows: Any = [{"x": row} for row in X]
    lr_find(Trainer(Model(4, 4), arguments, train_dataset=rows, callbacks=[kind()]), **SHORT)


def lightning_events() -> dict[str, list[Hook]]:
    def half(self: Any, trainer: Any, module: Any) -> None:
        for parameter in module.parameters():
            parameter.grad *= 0.5

    def clip(self: Any, trainer: Any, module: Any, optimizer: Any) -> None:
        [clipped([parameter]) for parameter in module.parameters()]

    def mix(self: Any, trainer: Any, module: Any, batch: Any, index: int) -> None:
        batch[0] = batch[0] + 1

    def norms(self: Any, trainer: Any, module: Any, optimizer: Any) -> None:
        self.total = sum(p.grad.norm().item() for p in module.parameters())

    def count(self: Any, trainer: Any, module: Any, batch: Any, index: int) -> None:
        self.seen = {}
        self.seen["last"] = self.batch = batch

    def average(self: Any, trainer: Any, module: Any, *_: Any) -> None:
        torch.zeros(4, 4).lerp_(module.net.weight.detach(), 0.1)

    return {
        "on_after_backward": [half],
        "on_before_optimizer_step": [clip, norms],
        "on_train_batch_start": [mix, count],
        "on_train_batch_end": [average],
    }


def skorch_events() -> dict[str, list[Hook]]:
    def noise(self: Any, net: Any, named_parameters: Any, **_: Any) -> None:
        for _, parameter in named_parameters:
            parameter.grad.add_(torch.randn_like(parameter))

    def mix(self: Any, net: Any, batch: Any, training: bool) -> None:
        inputs, _ = batch
        inputs.mul_(0.5)

    def norms(self: Any, net: Any, named_parameters: Any, **_: Any) -> None:
        self.total_ = [p.grad.norm() for _, p in named_parameters], net.module_, net.optimizer_

    return {"on_grad_computed": [noise, norms], "on_batch_begin": [mix]}


def transformers_events() -> dict[str, list[Hook]]:
    def clip(self: Any, arguments: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
        clipped(model.parameters())

    def norms(self: Any, arguments: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
        self.total = [parameter.grad.norm() for parameter in model.parameters()]

    return {"on_pre_optimizer_step": [clip, norms], "on_step_end": [clip]}


FRAMEWORKS: dict[str, Any] = {
    "lightning": (swept_lightning, lightning_events, "lightning.pytorch", "Trainer"),
    "skorch": (swept_skorch, skorch_events, "skorch.callbacks", "net"),
    "transformers": (swept_transformers, transformers_events, "transformers", "Trainer"),
}
HARMLESS = {"norms", "count", "average", ("on_step_end", "clip")}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_those_that_write_to_batches_or_gradients_are_warned_of(
    framework: str, folder: Path
) -> None:
    swept, events, module, owner = FRAMEWORKS[framework]
    library = __import__(module, fromlist=["Callback"])
    base = library.TrainerCallback if framework == "transformers" else library.Callback
    for event, hooks in events().items():
        for hook in hooks:
            kind = type("Mine", (base,), {event: hook})
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                swept(folder, kind)
            told = [w for w in caught if f"Mine of the {owner} takes no part" in str(w.message)]
            harmless = hook.__name__ in HARMLESS or (event, hook.__name__) in HARMLESS
            assert len(told) == (not harmless), (event, hook.__name__)
            assert all(w.filename == __file__ for w in told)


def test_those_that_a_lightning_module_configures_count_too(folder: Path) -> None:
    import lightning.pytorch as pl

    class Halves(pl.Callback):
        def on_after_backward(self, trainer: Any, module: Any) -> None:
            for parameter in module.parameters():
                parameter.grad.mul_(0.5)

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(4, 4)

        def configure_callbacks(self) -> Any:
            return Halves()

        def training_step(self, batch: Any, index: int) -> Any:
            return self.net(batch[0]).square().mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    with pytest.warns(UserWarning, match="Halves of the Trainer takes no part in a sweep"):
        lr_find(Module(), data=DataLoader(TensorDataset(X), 8), **SHORT)


def test_clipping_of_ones_own_takes_part_where_it_is_skorchs() -> None:
    from skorch import NeuralNetRegressor
    from skorch.callbacks import GradientNormClipping

    class Clips(GradientNormClipping):  # type: ignore[misc]
        def on_grad_computed(self, net: Any, named_parameters: Any, **_: Any) -> None:
            clipped([parameter for _, parameter in named_parameters])
            taken.append(net)

    taken: list[Any] = []
    net = NeuralNetRegressor(nn.Linear(4, 4), callbacks=[Clips()], train_split=None, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lr_find(net, X.numpy(), X.numpy(), **SHORT)
    assert taken


def test_a_variable_that_is_not_assigned_yet_does_not_matter() -> None:
    class Early:
        def event(self) -> None:
            later.clamp_(0)

    assert changing([Early], ["event"], ()) == ["Early"]

    class Plain:
        def event(self) -> Any:
            return later

    assert changing([Plain], ["event"], ()) == []
    later = torch.zeros(1)
