"""Errors for misplaced arguments and for objects that train in their own loop."""

from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import LRFinderWidget, TrainingTask, lr_find
from lrwidget.records.table import StopReason
from tests.tasks import problem

model, sgd, ce, loader = problem()
X = torch.randn(16, 4)


def made(name: str, module: str, base: type = object, **attributes: Any) -> Any:
    """Return a class whose module is that of a library."""
    return type(name, (base,), {"__module__": module, **attributes})


def loop(self: Any) -> None:
    """A training loop."""


LIGHTNING = made("LightningModule", "stand_in", nn.Linear)
TRAINER = made("Trainer", "lightning.pytorch.trainer.trainer", fit=loop)
MODULES = made("Digits", "mine", train_dataloader=loop)


@pytest.mark.parametrize(
    ("arguments", "instead"),
    [
        ((LIGHTNING(2, 2), TRAINER()), r"lr_find\(module, trainer=trainer\)"),
        ((LIGHTNING(2, 2), loader), r"lr_find\(module, data=loader\)"),
        ((LIGHTNING(2, 2), loader.dataset), r"lr_find\(module, data=loader\)"),
        ((LIGHTNING(2, 2), MODULES()), r"lr_find\(module, datamodule=datamodule\)"),
        ((model, TRAINER()), r"lr_find\(lightning_module, trainer=trainer\)"),
        (
            (model, made("Trainer", "transformers.trainer")()),
            r"carries its model: lr_find\(trainer",
        ),
        ((model, made("Own", "mine", made("Trainer", "transformers.trainer"))()), r"lr_find\(tr"),
        ((model, made("Learner", "fastai.learner")()), r"lr_find\(learn\)"),
        ((model, made("Accelerator", "accelerate.accelerator")()), r"accelerator.prepare returned"),
        ((model, loader), r"lr_find\(model, optimizer, loss_fn, data\)"),
        ((model, ce, sgd, loader), "the optimizer comes before the loss function"),
        ((model, nn.functional.mse_loss, sgd, loader), "the optimizer comes before"),
        ((model, sgd, loader), r"loss_fn is a DataLoader; .*loss_fn, data\).*data=loader"),
        ((model, sgd, sgd, loader), r"loss_fn is an SGD; expected lr_find\(model, optimizer"),
        ((model, made("Adam", "keras.src.optimizers")(), ce, loader), r"TrainingTask\(.*step="),
        (
            (model, made("PyroOptim", "pyro.optim.optim", __call__=loop)(), None, loader),
            r"optimizer is a PyroOptim; .* lr_find\(Trace_ELBO\(\)\(model, guide\), torch",
        ),
        ((TRAINER(),), r"lr_find\(module, trainer=trainer\)"),
        ((made("Accelerator", "accelerate")(),), "accelerator.prepare returned"),
        ((model, sgd, nn.MSELoss, loader), r"loss_fn is a class; make one: MSELoss\(...\)"),
        ((nn.Linear, sgd, ce, loader), r"this is the class: make one, Linear\(...\)"),
        ((model.state_dict(), sgd, ce, loader), r"these are weights: load them"),
        (([nn.Linear(8, 4), nn.ReLU()], sgd, ce, loader), r"as nn.Sequential\(\*layers\)"),
    ],
)
def test_what_people_write_first_is_told_what_to_write(arguments: Any, instead: str) -> None:
    for call in (lr_find, LRFinderWidget):
        with pytest.raises(TypeError, match=instead):
            call(*arguments)


def test_a_step_is_told_to_go_with_a_task() -> None:
    for options in ({"step": lambda _: 1.0}, {"step": lambda _: 1.0, "accumulate_in_step": 2}):
        for call in (lr_find, LRFinderWidget):
            with pytest.raises(TypeError, match=r"unknown option.*'step'.*TrainingTask\(.*step="):
                call(model, sgd, ce, loader, **options)


@pytest.mark.parametrize("data", [loader, [loader.dataset[:8]]], ids=["list", "tuple"])
def test_a_loss_function_that_was_forgotten_is_named(data: Any) -> None:
    with pytest.raises(TypeError) as caught:
        lr_find(model, sgd, data=data, steps=2, progress=False)
    assert "loss_fn is None, so the model gets all of it" in caught.value.__notes__[0]


def test_so_it_is_for_val_data_beside_a_step_of_ones_own() -> None:
    def step(batch: Any) -> Any:
        return ce(model(batch[0]), batch[1])

    task = TrainingTask(model, sgd, data=loader, step=step, val_data=loader)
    with pytest.raises(TypeError) as caught:
        lr_find(task, steps=2, progress=False)
    assert any("val_data, which is measured with the model" in n for n in caught.value.__notes__)


ENGINE = made("Engine", "ignite.engine.engine", run=loop)
FACADES = {
    "ignite": (ENGINE, r"step=lambda batch: train_step\(engine, batch\)"),
    "monai": (made("SupervisedTrainer", "monai.engines.trainer", ENGINE), "train_step"),
    "darts": (made("NBEATSModel", "darts.models", fit=loop), r"nbeatsmodel.network"),
    "sklearn": (made("SVC", "sklearn.svm", fit=loop), r"a loop of its own, fit\(\)"),
    "others": (made("Algorithm", "mine", learn=loop), r"a loop of its own, learn\(\)"),
}


@pytest.mark.parametrize("library", FACADES)
def test_a_facade_is_told_of_a_step_of_its_own(library: str) -> None:
    kind, inside = FACADES[library]
    facade = kind()
    facade.network = nn.Linear(2, 2)
    for call in (lr_find, LRFinderWidget, lambda facade: TrainingTask(facade, sgd, ce, loader)):
        with pytest.raises(TypeError) as caught:
            call(facade)
        assert "TrainingTask(model, optimizer, data=batches, step=lambda batch: loss)" in str(
            caught.value
        )
        assert caught.match(inside)


def test_a_module_with_a_loop_of_its_own_is_told_so_only_where_it_lacks_an_optimizer() -> None:
    keras = made("Functional", "keras.src.models.functional", nn.Linear, fit=loop)
    with pytest.raises(TypeError, match=r"optimizer is missing.*fit\(\): give TrainingTask"):
        lr_find(keras(8, 4))
    with pytest.raises(TypeError, match="optimizer is missing") as caught:
        lr_find(nn.Linear(8, 4))
    assert "loop of its own" not in str(caught.value)
    assert len(lr_find(keras(8, 4), torch.optim.SGD, ce, loader, steps=2, progress=False)) == 2


# -- too few rows


def reason(loss_fn: Any, data: Any, steps: int = 60, **options: Any) -> str:
    records = lr_find(model, sgd, loss_fn, data, steps=steps, progress=False, **options)
    return records.suggestion.reason


def test_who_asked_for_enough_steps_is_told_why_there_are_so_few_rows() -> None:
    nan = lambda output, target: ce(output, target) * float("nan")  # noqa: E731
    assert "the loss was not finite at 1.4e-7, after 1 of 60 steps" in reason(nan, loader)
    ended = reason(ce, iter(list(loader)[:5]))
    assert "the data ended after 5 of 60 steps: give data that can be read again" in ended
    w = LRFinderWidget(model, sgd, nan, loader, steps=60)
    w.start()
    assert "not finite" in w.wait(60).suggestion.reason
    w.close()


def test_who_asked_for_too_few_steps_is_told_to_use_more() -> None:
    assert "5 usable points cannot show" in reason(ce, loader, steps=5)


def test_the_words_follow_the_end_of_the_sweep() -> None:
    records = lr_find(model, sgd, ce, iter(list(loader)[:5]), steps=60, progress=False)
    records.stop_reason = None
    assert records.suggestion.reason.startswith("5 of 60 steps so far")
    for stop, words in [("stopped", "stopped after 5"), ("failed", "by an error after 5")]:
        records.stop_reason = StopReason(stop)
        assert words in records.suggestion.reason


@pytest.mark.parametrize(
    ("name", "function", "words"),
    [
        (
            "step",
            lambda x, y: x,
            r"step takes \(x, y\), but is called with one batch.*batch\): x, y",
        ),
        ("step", lambda: 0, r"step takes \(no arguments\), but is called with one batch"),
        (
            "evaluate",
            lambda model, batch: 0,
            r"evaluate takes \(model, batch\), but is called with",
        ),
        (
            "metric",
            lambda output: 0,
            r"metric takes \(output\), but is called with the model's out",
        ),
        ("metric", nn.MSELoss, r"metric is a class; make one: MSELoss\(\.\.\.\)"),
    ],
)
def test_a_function_with_other_arguments_is_told_with_what_it_is_called(
    name: str, function: Any, words: str
) -> None:
    arguments: dict[str, Any] = {"loss_fn": nn.MSELoss(), "data": (X, X), "val_data": (X, X)}
    with pytest.raises(TypeError, match=words):
        TrainingTask(nn.Linear(4, 4), torch.optim.SGD, **arguments, **{name: function})


@pytest.mark.parametrize("function", [lambda *a: a[0].mean(), lambda o, t, scale=2.0: scale])
def test_a_function_with_optional_arguments_is_called(function: Any) -> None:
    task = TrainingTask(
        nn.Linear(4, 4), torch.optim.SGD, nn.MSELoss(), (X, X), val_data=(X, X), metric=function
    )
    assert "metric" in lr_find(task, steps=2, progress=False).frame
