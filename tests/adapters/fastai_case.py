"""A fastai Learner that accumulates, clips, records, saves and calls back."""

from pathlib import Path
from typing import Any

import torch
from fastai.callback.core import Callback, CancelFitException, CancelValidException
from fastai.callback.tracker import SaveModelCallback
from fastai.callback.training import GradientAccumulation, GradientClip
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner

from tests.adapters.case import BATCH, LR, Case, Loss, Plan, data, model

EVENTS = ("before_fit", "before_batch", "after_batch", "after_fit", "after_cancel_fit")


class Rates(Callback):
    """Sets the rate of each optimizer step, and keeps the losses."""

    order = 100

    def __init__(self, rates: list[float], samples: int) -> None:
        self.rates, self.wanted = rates, samples
        self.samples, self.kept, self.group, self.used = 0, [], [], []

    def before_fit(self) -> None:
        rates = [hyper["lr"] for hyper in self.opt.hypers]
        self.ratios = [rate / rates[0] for rate in rates]

    def before_validate(self) -> None:
        raise CancelValidException  # validation would draw random numbers

    def before_batch(self) -> None:
        if self.rates and len(self.kept) == len(self.rates):
            raise CancelFitException
        if self.rates:
            lr = self.rates[len(self.kept)]
            self.opt.set_hyper("lr", [lr * ratio for ratio in self.ratios])
        self.used.append(self.opt.hypers[0]["lr"])

    def after_loss(self) -> None:
        self.group.append(self.learn.loss.detach().clone())
        self.samples += len(self.learn.yb[0])
        if self.samples >= self.wanted:
            self.kept.append(float(torch.stack(self.group).mean()))
            self.samples, self.group = 0, []


def halves(network: Any) -> list[list[Any]]:
    """Split the parameters into two groups, for discriminative rates."""
    body, head = network.model[0], network.model[4]
    return [list(body.parameters()), [p for p in head.parameters() if p.requires_grad]]


def fastai_case(folder: Path, workers: int = 0, **options: Any) -> Case:
    """In `folder` nothing may be written."""
    torch.manual_seed(3)
    plan = Plan()
    fired: list[str] = []
    network, samples, loss = model(plan), data(plan), Loss(plan)
    loader = DataLoader(samples, bs=BATCH, shuffle=True, num_workers=workers)
    loader.rng.seed(6)
    dls = DataLoaders(loader, loader, path=folder, device=options.pop("device", None))
    extra = options.pop("callbacks", list)

    def learner(*callbacks: Any) -> Learner:
        own = [GradientAccumulation(BATCH + 1), GradientClip(0.5), *extra(), *callbacks]
        settings = {"lr": slice(LR, 10 * LR), "splitter": halves, **options}
        return Learner(dls, network, loss_func=loss, cbs=own, **settings)

    def note(event: str) -> Any:
        return lambda self: fired.append(event)

    spy = type("Spy", (Callback,), {event: note(event) for event in EVENTS})
    saves = SaveModelCallback(monitor="train_loss")
    given = learner(spy(), saves)
    given.logger = lambda *_: fired.append("logger")

    def own(rates: list[float], learn: Learner) -> Rates:
        keeper = Rates(rates, BATCH + 1)
        with learn.no_logging(), learn.no_bar():
            learn.fit(max(1, len(rates)), cbs=[keeper])
        return keeper

    return Case(
        plan,
        (given,),
        {},
        lambda: {
            "model": network,
            "learner": vars(given),
            "loader": vars(loader),
            "order": str(loader.rng.getstate()),
            "files": str(sorted(p.name for p in folder.rglob("*"))),
            **{f"callback {callback.name}": vars(callback) for callback in given.cbs},
        },
        fired,
        lambda rates: own(rates, learner()).kept,
        lambda: own([], given).used[0],
    )
