"""Runs the same sweep with a bare loop, lrwidget and the other finders.

Each function takes a new problem, sweeps `steps` rates and restores the model (the bare loop does
not). The other finders run without their stop rule, so that all take the same steps, and without
bars, logs and plots as far as these can be switched off.
"""

import contextlib
import functools
import io
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.workloads import END_LR, START_LR, Problem
from lrwidget import LRRecords, lr_find

Finder = Callable[[Problem, int], None]


def bare_loop(problem: Problem, steps: int) -> list[float]:
    """Set the rate, step, and read the loss, without a ladder, records or a restore."""
    model, optimizer, loss_fn, data = problem
    losses: list[float] = []
    batches = iter(data)
    for i in range(1, steps + 1):
        try:
            inputs, targets = next(batches)
        except StopIteration:
            batches = iter(data)
            inputs, targets = next(batches)
        for group in optimizer.param_groups:
            group["lr"] = START_LR * (END_LR / START_LR) ** (i / steps)
        optimizer.zero_grad()
        loss = loss_fn(model(inputs), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def ours(problem: Problem, steps: int, *, progress: bool = False) -> LRRecords:
    """Run all of `lr_find`."""
    records = lr_find(*problem, start_lr=START_LR, end_lr=END_LR, steps=steps, progress=progress)
    check(len(records), steps)
    return records


def widget(problem: Problem, steps: int) -> Any:
    """Run `LRFinderWidget` from its construction to the end of `wait`."""
    from lrwidget import LRFinderWidget

    made = LRFinderWidget(*problem, start_lr=START_LR, end_lr=END_LR, steps=steps)
    made.start()
    check(len(made.wait()), steps)
    return made


def torch_lr_finder(problem: Problem, steps: int) -> None:
    """Run torch-lr-finder; its tqdm bar cannot be switched off."""
    from torch_lr_finder import LRFinder

    model, optimizer, loss_fn, data = problem
    finder = LRFinder(model, optimizer, loss_fn)
    finder.range_test(data, start_lr=START_LR, end_lr=END_LR, num_iter=steps, diverge_th=math.inf)
    finder.reset()
    check(len(finder.history["loss"]), steps)


def ignite(problem: Problem, steps: int) -> None:
    """Run FastaiLRFinder of pytorch-ignite."""
    from ignite.engine import create_supervised_trainer
    from ignite.handlers import FastaiLRFinder

    model, optimizer, loss_fn, data = problem
    trainer = create_supervised_trainer(model, optimizer, loss_fn)
    finder = FastaiLRFinder()
    with finder.attach(
        trainer,
        to_save={"model": model, "optimizer": optimizer},
        num_iter=steps,
        start_lr=START_LR,
        end_lr=END_LR,
        diverge_th=math.inf,
    ) as attached:
        attached.run(data)
    check(len(finder.get_results()["loss"]), steps)


def lightning(problem: Problem, steps: int) -> None:
    """Run Tuner.lr_find of Lightning."""
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.tuner.tuning import Tuner

    model, optimizer, loss_fn, data = problem

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            inputs, targets = batch
            loss: torch.Tensor = loss_fn(self.model(inputs), targets)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return optimizer

    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    finder = Tuner(trainer).lr_find(
        Module(),
        train_dataloaders=data,
        min_lr=START_LR,
        max_lr=END_LR,
        num_training=steps,
        early_stop_threshold=None,
        update_attr=False,
    )
    check(len(finder.results["loss"]) if finder else 0, steps)


def fastai(problem: Problem, steps: int) -> None:
    """Run Learner.lr_find of fastai, with torch's own Adam."""
    from fastai.callback import schedule  # noqa: F401 - gives Learner its lr_find
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.optimizer import OptimWrapper

    model, optimizer, loss_fn, data = problem
    learner = Learner(
        DataLoaders(data, data),
        model,
        loss_func=loss_fn,
        opt_func=functools.partial(OptimWrapper, opt=type(optimizer)),
    )
    with learner.no_bar():
        learner.lr_find(START_LR, END_LR, steps, stop_div=False, show_plot=False)
    check(len(learner.recorder.lrs), steps)


OTHERS: dict[str, tuple[str, Finder]] = {
    "torch-lr-finder": ("torch_lr_finder", torch_lr_finder),
    "ignite": ("ignite", ignite),
    "Lightning": ("lightning", lightning),
    "fastai": ("fastai", fastai),
}


def check(taken: int, steps: int) -> None:
    """Raise if a finder took another number of steps: with fewer it would seem fast."""
    if taken != steps:
        raise RuntimeError(f"the finder took {taken} steps; {steps} were asked for")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep bars, logs and warnings of the finders out of the output."""
    for name in ("lightning.pytorch", "ignite"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with (
        warnings.catch_warnings(action="ignore"),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        yield
