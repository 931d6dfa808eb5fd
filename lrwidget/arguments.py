"""Turn the arguments of `lr_find` and the widget into a task and the options of its sweep."""

import difflib
import inspect
from collections.abc import Sequence
from typing import Any

from torch import nn

from lrwidget.backup.objects import objects_also
from lrwidget.task.misplaced import OWN_STEP, refuse_misplaced, way_out
from lrwidget.task.optimizers import is_optimizer, made_by
from lrwidget.task.options import SWEEP_OPTIONS, SweepOptions
from lrwidget.task.task import TrainingTask
from lrwidget.text.articles import a_kind

TASK_OPTIONS = tuple(
    name
    for name, parameter in inspect.signature(TrainingTask).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY and name not in ("step", "accumulate_in_step")
)


def task_and_options(
    model: Any, optimizer: Any = None, loss_fn: Any = None, data: Any = None, **options: Any
) -> tuple[TrainingTask, SweepOptions]:
    """Return the task and the options of a sweep from the arguments of `lr_find` and the widget.

    Args:
        model: a module, with `optimizer`, `loss_fn` and `data`; a TrainingTask alone; or an object
            of another framework, in one of the forms that `lrwidget.adapters` lists.
        options: options of `SweepOptions`, and options of `TrainingTask` if `model` is not one.

    Raises:
        TypeError: an unknown keyword, or arguments that the given TrainingTask already has.
    """
    from lrwidget.adapters.registry import ACCEPTED, adapt

    sweep = SweepOptions(**{name: options[name] for name in SWEEP_OPTIONS if name in options})
    rest = {name: value for name, value in options.items() if name not in SWEEP_OPTIONS}
    of_framework = {name: value for name, value in rest.items() if name != "also"}
    adapted = adapt(model, optimizer, loss_fn, data, of_framework)
    if adapted is not None:
        adapted.also = objects_also(rest.get("also", ()))
        return adapted, sweep
    known = {*SWEEP_OPTIONS, *TASK_OPTIONS}
    unknown = [name for name in options if name not in known]
    if unknown:
        raise _unknown_options(unknown, known)
    if isinstance(model, TrainingTask):
        positional = {"optimizer": optimizer, "loss_fn": loss_fn, "data": data}
        beside = [name for name, value in positional.items() if value is not None] + list(rest)
        if beside:
            raise TypeError(
                f"{', '.join(beside)} beside a TrainingTask, which carries everything; "
                "give them to TrainingTask(...) instead"
            )
        return model, sweep
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is {a_kind(model)}; expected {ACCEPTED}{way_out(model)}")
    if optimizer is None:
        raise TypeError(
            "optimizer is missing; expected an optimizer over the model's parameters, or a class "
            f"such as torch.optim.Adam{way_out(model)}"
        )
    refuse_misplaced(model, optimizer, loss_fn)
    if not is_optimizer(optimizer) and callable(optimizer):
        factory = optimizer
        optimizer = lambda parameters: made_by(factory, parameters, sweep.start_lr)  # noqa: E731
    return TrainingTask(model, optimizer, loss_fn, data, **rest), sweep


# What the finders of other libraries call it.
_NAMES_ELSEWHERE = {
    **dict.fromkeys(("min_lr", "init_value", "lr", "lr_min", "start_learning_rate"), "start_lr"),
    **dict.fromkeys(("max_lr", "final_value", "lr_max", "end_learning_rate"), "end_lr"),
    **dict.fromkeys(("num_iter", "num_it", "num_steps", "num_training", "iterations"), "steps"),
    **dict.fromkeys(("mode", "step_mode", "schedule_type"), "spacing"),
    **dict.fromkeys(
        ("diverge_th", "early_stop_threshold", "stop_div", "stop_factor"), "stop_at_divergence"
    ),
    **dict.fromkeys(("criterion", "loss", "loss_func", "loss_function"), "loss_fn"),
    **dict.fromkeys(
        ("dataloader", "dataset", "loader", "train_dataloader", "train_dataloaders"), "data"
    ),
    **dict.fromkeys(("train_dataset", "train_dl", "train_loader", "trainloader"), "data"),
    **dict.fromkeys(
        ("val_dataloader", "val_dataloaders", "val_loader", "valid_loader"), "val_data"
    ),
    **dict.fromkeys(
        ("accumulate_grad_batches", "accumulation_steps", "gradient_accumulation_steps"),
        "accumulate",
    ),
    **dict.fromkeys(("gradient_clip_val", "max_grad_norm"), "clip_grad_norm"),
    **dict.fromkeys(("amp", "amp_config"), "autocast"),
}


def _unknown_options(unknown: Sequence[str], known: set[str]) -> TypeError:
    said = f"unknown option{'s' if len(unknown) > 1 else ''} {', '.join(map(repr, unknown))}; "
    if {"step", "accumulate_in_step"} & set(unknown):
        return TypeError(f"{said}a step of your own goes with {OWN_STEP}")
    for name in unknown:
        here = difflib.get_close_matches(name, {*known, "optimizer", "loss_fn", "data"}, n=1)
        if meant := _NAMES_ELSEWHERE.get(name) or (here[0] if here else None):
            said += f"for {name}= " if len(unknown) > 1 else ""
            said += f"did you mean {meant}=? "
        elif name == "progress":
            said += "progress= is for lr_find: a widget shows how far it is; "
    return TypeError(f"{said}expected some of {', '.join(sorted(known))}")
