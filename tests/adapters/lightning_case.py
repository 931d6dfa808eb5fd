"""A LightningModule with a Trainer that accumulates, clips, logs, checkpoints and calls back."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers.logger import Logger
from torch.utils.data import DataLoader

from tests.adapters.case import BATCH, LR, Case, Loss, Plan, data, model, noting


class Regression(pl.LightningModule):
    """Logs, keeps a list of outputs, and warms its rate up."""

    def __init__(self, plan: Plan, lr: float = LR) -> None:
        super().__init__()
        self.save_hyperparameters("lr")
        self.net = model(plan)
        self.loss = Loss(plan)
        self.outputs: list[Any] = []

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        x, y = batch
        loss = self.loss(self.net(x), y)
        self.log("loss", loss, prog_bar=True)
        self.outputs.append(loss.detach())
        return loss

    def configure_optimizers(self) -> Any:
        body, head = self.net.model[0], self.net.model[4]
        groups = [{"params": body.parameters()}, {"params": head.parameters(), "lr": LR * 2}]
        groups[1]["params"] = [p for p in head.parameters() if p.requires_grad]
        return torch.optim.Adam(groups, lr=self.hparams["lr"])


class Rates(Callback):
    """Sets the rate of each optimizer step, and keeps the losses, divided as Lightning does."""

    def __init__(self, rates: list[float]) -> None:
        self.rates = rates
        self.micro: list[tuple[int, torch.Tensor]] = []
        self.used: list[float] = []

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        group, *others = trainer.optimizers[0].param_groups
        if self.rates:
            ratios = [other["initial"] / group["initial"] for other in others]
            group["lr"] = self.rates[trainer.global_step]
            for other, ratio in zip(others, ratios, strict=True):
                other["lr"] = group["lr"] * ratio
        self.used.append(group["lr"])

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
        self.micro.append((trainer.global_step, outputs["loss"].detach().clone()))

    def on_fit_start(self, trainer: Any, module: Any) -> None:
        for group in trainer.optimizers[0].param_groups:
            group["initial"] = group["lr"]


def losses_of_steps(micro: list[tuple[int, torch.Tensor]], accumulate: int) -> list[float]:
    """Return the mean loss of each optimizer step; Lightning divides the losses of its batches."""
    losses, group, done = [], [], 0
    for steps, loss in micro:
        group.append(loss)
        if steps > done:
            losses.append(float(torch.stack(group).mean() * accumulate))
            group, done = [], steps
    return losses


def lightning_case(folder: Path, workers: int = 0, **options: Any) -> Case:
    """In `folder` nothing may be written."""
    torch.manual_seed(3)
    plan = Plan()
    fired: list[str] = []
    module = Regression(plan)
    generator = torch.Generator().manual_seed(6)
    loader = DataLoader(
        data(plan), batch_size=BATCH, shuffle=True, generator=generator, num_workers=workers
    )
    settings: dict[str, Any] = {
        "accelerator": "cpu",
        "accumulate_grad_batches": 2,
        "gradient_clip_val": 0.5,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": folder,
        "log_every_n_steps": 1,
        **options,
    }

    class NotingLogger(Logger):
        name = version = "noting"

        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            fired.append("log_metrics")

        def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
            fired.append("log_hyperparams")

    checkpoint = noting(ModelCheckpoint, fired)(dirpath=folder, save_last=True)
    trainer = pl.Trainer(
        callbacks=[noting(Callback, fired, ("on_", "setup", "teardown"))(), checkpoint],
        logger=NotingLogger(),
        **settings,
    )

    def own(rates: list[float]) -> Rates:
        keeper = Rates(rates)
        alone = {"enable_checkpointing": False, "logger": False, "callbacks": [keeper]}
        pl.Trainer(max_steps=max(1, len(rates)), **settings, **alone).fit(module, loader)
        return keeper

    def train(rates: list[float]) -> list[float]:
        return losses_of_steps(own(rates).micro, settings["accumulate_grad_batches"])

    return Case(
        plan,
        (module,),
        {"trainer": trainer, "data": loader},
        lambda: {
            "module": module,
            "loader": loader,
            "trainer": vars(trainer),
            "files": str(sorted(p.name for p in folder.iterdir())),
        },
        fired,
        train,
        lambda: own([]).used[0],
    )
