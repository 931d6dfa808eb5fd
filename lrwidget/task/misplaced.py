"""Messages for misplaced arguments and for objects that train in their own loop."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lrwidget.backup.origin import library_of
from lrwidget.task.signatures import takes
from lrwidget.text.articles import a, a_kind

ORDER = "lr_find(model, optimizer, loss_fn, data), or the widget with the same"
OWN_STEP = "TrainingTask(model, optimizer, data=batches, step=lambda batch: loss)"

# Methods of objects that train in their own loop.
_LOOPS = ("fit", "train", "run", "learn")


def refuse_misplaced(model: Any, optimizer: Any, loss_fn: Any) -> None:
    """Raise a TypeError if `optimizer` or `loss_fn` is an object that belongs to another argument.

    Args:
        model: a module; nothing is checked for any other object.
        optimizer, loss_fn: the given arguments.
    """
    if not isinstance(model, nn.Module):
        return
    if optimizer is not None and not isinstance(optimizer, (torch.optim.Optimizer, type)):
        instead = _of_framework(model, optimizer) or _of_parts(model, optimizer)
        if instead is not None:
            raise TypeError(f"optimizer is {a_kind(optimizer)}; {instead}")
    if isinstance(loss_fn, type) and issubclass(loss_fn, nn.Module):
        raise TypeError(f"loss_fn is a class; make one: {loss_fn.__name__}(...)")
    if isinstance(loss_fn, (torch.optim.Optimizer, DataLoader, Dataset, list, tuple)):
        data = "" if isinstance(loss_fn, torch.optim.Optimizer) else "; loss_fn=None is for models "
        data += "that return their own loss: give data by name, data=loader" if data else ""
        raise TypeError(f"loss_fn is {a_kind(loss_fn)}; expected {ORDER}{data}")


# How many arguments the functions of a task are called with, and what they are.
_CALLED_WITH = {
    "step": (1, "one batch, as the loader gives it", "def step(batch): x, y = batch"),
    "evaluate": (1, "one batch, as the loader gives it", "def evaluate(batch): x, y = batch"),
    "metric": (2, "the model's output and the target", "def metric(output, target)"),
}


def refuse_other_arguments(name: str, function: Any) -> None:
    """Raise a TypeError if a function of a task cannot be called as the task does.

    Args:
        name: the argument that it was given as.
        function: the function; None is not checked.
    """
    if function is None or name not in _CALLED_WITH:
        return
    if isinstance(function, type):
        raise TypeError(f"{name} is a class; make one: {function.__name__}(...)")
    count, what, form = _CALLED_WITH[name]
    accepted = takes(function)
    if not accepted.fits(count):
        needed = ", ".join(accepted.required) or "no arguments"
        raise TypeError(f"{name} takes ({needed}), but is called with {what}: {form}")


def way_out(model: Any) -> str:
    """Return advice on an unsupported object given as model; empty if there is none."""
    if isinstance(model, type):
        return f"; this is the class: make one, {model.__name__}(...)"
    if isinstance(model, Mapping) and any(isinstance(v, torch.Tensor) for v in model.values()):
        return "; these are weights: load them, model.load_state_dict(...), and give that model"
    if isinstance(model, (list, tuple)) and any(isinstance(layer, nn.Module) for layer in model):
        return "; layers in a list make a module as nn.Sequential(*layers)"
    framework = _framework_of(model)
    if framework == "lightning":
        return "; a Trainer goes beside its module: lr_find(module, trainer=trainer)"
    if framework == "accelerate":
        return (
            "; give what accelerator.prepare returned: lr_find(model, optimizer, loss_fn, loader)"
        )
    name = type(model).__name__
    if "ignite" in _packages(model):
        return (
            f"; {a(name)} has a loop of its own: give {OWN_STEP}, or the function that it calls, "
            "step=lambda batch: train_step(engine, batch), if that returns the loss"
        )
    loop = next((m for m in _LOOPS if callable(getattr(type(model), m, None))), None)
    own = isinstance(model, nn.Module)
    if loop is None or (own and type(model).train is nn.Module.train and loop == "train"):
        return ""
    held = [] if own else [k for k, v in _held_by(model) if isinstance(v, nn.Module)]
    inside = f", model being its torch module ({name.lower()}.{held[0]})" if held else ""
    return f"; {a(name)} has a loop of its own, {loop}(): give {OWN_STEP}{inside}"


def _of_framework(model: Any, given: Any) -> str | None:
    """Return advice if an object of another framework was given as the optimizer, else None."""
    framework = _framework_of(given)
    if framework == "lightning":
        return f"a Trainer is given by name: {_call(model)}, trainer=trainer)"
    if framework == "transformers":
        return "a Trainer carries its model: lr_find(trainer)"
    if framework == "fastai":
        return "a Learner carries its model: lr_find(learn)"
    if framework == "accelerate":
        return "give what accelerator.prepare returned: lr_find(model, optimizer, loss_fn, loader)"
    if callable(getattr(given, "train_dataloader", None)):
        return f"a datamodule is given by name: {_call(model)}, datamodule=datamodule)"
    if "keras" in _packages(given):
        return f"expected one of torch's: for a model with a loop of its own give {OWN_STEP}"
    if "pyro" in _packages(given):
        return (
            "expected one of torch's: the bound as a module has the parameters of model and guide, "
            "lr_find(Trace_ELBO()(model, guide), torch.optim.Adam, data=batches), with the guide "
            "called once before"
        )
    return None


def _of_parts(model: Any, given: Any) -> str | None:
    """Return advice if data or a loss function was given as the optimizer, else None."""
    if isinstance(given, nn.Module) or _is_loss_function(given):
        return f"expected {ORDER}: the optimizer comes before the loss function"
    data = isinstance(given, (DataLoader, Dataset)) or (
        hasattr(given, "__iter__") and hasattr(given, "__len__") and not isinstance(given, str)
    )
    # Lists and mappings may hold optimizers; `not_an_optimizer` handles these.
    if not data or isinstance(given, (list, tuple, Mapping)):
        return None
    if "LightningModule" in {base.__name__ for base in type(model).__mro__}:
        return f"a loader is given by name: {_call(model)}, data=loader)"
    return f"expected {ORDER}"


def _call(model: Any) -> str:
    lightning = "LightningModule" in {base.__name__ for base in type(model).__mro__}
    return "lr_find(module" if lightning else "lr_find(lightning_module"


def _is_loss_function(given: Any) -> bool:
    return inspect.isfunction(given) and given.__module__ == "torch.nn.functional"


def _framework_of(given: Any) -> str | None:
    """Return the name of the framework whose trainer this object is, else None."""
    for base in type(given).__mro__:
        package = library_of(base)
        if base.__name__ == "Trainer" and package in ("lightning", "pytorch_lightning"):
            return "lightning"
        if (package, base.__name__) in _TRAINERS:
            return package
    return None


_TRAINERS = {
    ("transformers", "Trainer"),
    ("fastai", "Learner"),
    ("accelerate", "Accelerator"),
}


def _packages(given: Any) -> set[str]:
    return {library_of(base) for base in type(given).__mro__}


def _held_by(given: Any) -> list[tuple[str, Any]]:
    return list(getattr(given, "__dict__", {}).items())
