"""A skorch net that clips, prints, scores, checkpoints and calls back."""

from pathlib import Path
from typing import Any

import torch
from skorch import NeuralNetRegressor
from skorch.callbacks import Callback, Checkpoint, GradientNormClipping
from torch import nn

from tests.adapters.case import BATCH, LR, Case, Loss, Plan, data, model, noting


class Criterion(nn.Module):
    """A class, since skorch constructs the criterion itself."""

    def __init__(self, loss: Loss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.loss(output, target)


class Rates(Callback):
    """Sets the rate of each step, and keeps the losses."""

    def __init__(self, rates: list[float]) -> None:
        self.rates = rates

    def initialize(self) -> Any:
        self.kept: list[float] = []
        self.used: list[float] = []
        return self

    def on_batch_begin(self, net: Any, training: bool = False, **_: Any) -> None:
        if not training:
            return
        if len(self.kept) < len(self.rates):
            net.optimizer_.param_groups[0]["lr"] = self.rates[len(self.kept)]
        self.used.append(net.optimizer_.param_groups[0]["lr"])

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        if training:
            self.kept.append(float(kwargs["loss"].detach()))


def skorch_case(folder: Path, initialized: bool = True, workers: int = 0, **options: Any) -> Case:
    """In `folder` nothing may be written."""
    torch.manual_seed(3)
    plan = Plan()
    fired: list[str] = []
    network, samples = model(plan), data(plan)
    checkpoint = noting(Checkpoint, fired)(monitor=None, dirname=str(folder / "checkpoints"))

    def net(*callbacks: Any) -> NeuralNetRegressor:
        made = NeuralNetRegressor(
            network,
            criterion=Criterion,
            criterion__loss=Loss(plan),
            optimizer=torch.optim.Adam,
            lr=LR,
            batch_size=BATCH,
            iterator_train__shuffle=True,
            iterator_train__num_workers=workers,
            callbacks=[GradientNormClipping(0.5), *callbacks],
            callbacks__print_log=None,
            train_split=None,  # validation would draw random numbers in between
            **options,
        )
        return made.initialize() if initialized else made

    given = net(noting(Callback, fired, ("on_", "initialize"))(), checkpoint)
    fired.clear()

    def own(rates: list[float], trained: Any) -> Rates:
        keeper = Rates(rates).initialize()
        trained.callbacks_.append(("rates", keeper))
        # skorch takes the data set's own targets.
        trained.partial_fit(samples, None, epochs=max(1, len(rates)))
        return keeper

    def rate_of_training() -> float:
        given.set_params(callbacks=[GradientNormClipping(0.5)])
        given.initialize()
        return own([], given).used[0]

    return Case(
        plan,
        (given,),
        {"data": samples},
        lambda: {
            "model": network,
            "net": vars(given),
            "optimizer": getattr(given, "optimizer_", None),
            "files": str(sorted(p.name for p in folder.rglob("*"))),
        },
        fired,
        lambda rates: own(rates, net()).kept[: len(rates)],
        rate_of_training,
    )
