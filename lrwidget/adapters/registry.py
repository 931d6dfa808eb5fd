"""Choose the adapter for an object of another framework; `lrwidget.adapters` lists the forms."""

import sys
from collections.abc import Mapping
from typing import Any

from lrwidget.process_group.processes import process_count
from lrwidget.task.task import TrainingTask

ACCEPTED = (
    "a torch.nn.Module (with optimizer, loss_fn and data), a TrainingTask, a LightningModule "
    "(with trainer= or data), a transformers.Trainer, a fastai Learner, a skorch net (with X and "
    "y), or a model, optimizer and loader prepared by Accelerate"
)

# By framework: the modules that define its class, and the name of the class.
_CLASSES = {
    "lightning": (("lightning.pytorch", "pytorch_lightning"), "LightningModule"),
    "transformers": (("transformers.trainer",), "Trainer"),
    "fastai": (("fastai.learner",), "Learner"),
    "skorch": (("skorch.net",), "NeuralNet"),
    "accelerate": (("accelerate.optimizer",), "AcceleratedOptimizer"),
}
_KEYWORDS = {
    "lightning": ("trainer", "datamodule"),
    "skorch": ("X", "y"),
    "accelerate": ("clip_grad_norm",),
}


def adapt(
    model: Any, optimizer: Any, loss_fn: Any, data: Any, options: Mapping[str, Any]
) -> TrainingTask | None:
    """Return the task made from another framework's object; None if `model` is not one.

    Args:
        model, optimizer, loss_fn, data: the arguments of `lr_find`.
        options: its further keywords, without the options of the sweep.

    Raises:
        TypeError, ValueError: an argument is missing, or the object does not take it.
    """
    framework = _framework_of(model, optimizer, loss_fn)
    if framework is None:
        return None
    keywords = _KEYWORDS.get(framework, ())
    beside = [name for name in options if name not in keywords]
    if framework in ("transformers", "fastai"):
        given = {"optimizer": optimizer, "loss_fn": loss_fn, "data": data}
        beside += [name for name, value in given.items() if value is not None]
    if beside:
        takes = f"{', '.join(keywords)} and the options" if keywords else "only the options"
        raise TypeError(
            f"{', '.join(beside)} beside a {type(model).__name__}, which carries what a step "
            f"needs; beside it you may give {takes} of a sweep"
        )
    if framework in ("fastai", "skorch") and process_count() > 1:
        raise ValueError(
            f"this is one of {process_count()} processes, and a {type(model).__name__} is swept in "
            "one only: its step would not train them together. Wrap its model in "
            "DistributedDataParallel and give that, with its optimizer, loss and loader"
        )
    if framework == "lightning":
        from lrwidget.adapters.lightning import LightningTask

        return LightningTask(model, data=data, **options)
    if framework == "transformers":
        from lrwidget.adapters.transformers import TransformersTask

        return TransformersTask(model)
    if framework == "fastai":
        from lrwidget.adapters.fastai import FastaiTask

        return FastaiTask(model)
    if framework == "skorch":
        from lrwidget.adapters.skorch import SkorchTask

        return SkorchTask(model, *_skorch_data(optimizer, loss_fn, data, options))
    from lrwidget.adapters.accelerate import AccelerateTask

    return AccelerateTask(model, optimizer, loss_fn, data, **options)


def _framework_of(model: Any, optimizer: Any, loss_fn: Any) -> str | None:
    for framework, (modules, name) in _CLASSES.items():
        subject = optimizer if framework == "accelerate" else model
        for module in modules:
            kind = getattr(sys.modules.get(module), name, None)
            if kind is None or not isinstance(subject, kind):
                continue
            # With an optimizer or a loss, a LightningModule is treated as a plain module.
            if framework == "lightning" and not (optimizer is None and loss_fn is None):
                return None
            return framework
    return None


def _skorch_data(first: Any, second: Any, data: Any, options: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return X and y, which may be given by position or keyword."""
    given_x = [value for value in (first, options.get("X"), data) if value is not None]
    given_y = [value for value in (second, options.get("y")) if value is not None]
    if len(given_x) > 1 or len(given_y) > 1:
        raise TypeError("the data are given twice; expected lr_find(net, X, y)")
    x, y = given_x[0] if given_x else None, given_y[0] if given_y else None
    if data is not None and isinstance(data, tuple) and len(data) == 2 and y is None:
        return data[0], data[1]
    return x, y
