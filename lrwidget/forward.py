"""From a batch to its loss, for every form of batch that needs no custom step."""

import contextlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch

from lrwidget.structure import TARGET_NAMES, describe

HANDLED = (
    "a pair (input, target), a longer tuple (*inputs, target), a mapping or an object with a "
    f"target under one of {', '.join(TARGET_NAMES)}, or a single tensor that the model "
    "reconstructs; for anything else give TrainingTask(..., step=lambda batch: loss)"
)

_NO_TARGET: Any = object()


def outputs_and_loss(
    model: Callable[..., Any], loss_fn: Callable[..., Any] | None, batch: Any
) -> tuple[Any, Any, Any]:
    """Run the model on one batch.

    Args:
        model: called with the batch's inputs (`*inputs` or `**inputs`).
        loss_fn: `loss_fn(output, target)`, `loss_fn(output)`, or None where the model returns its
            own loss (a tensor, a tuple that begins with it, or `loss` as key or attribute).
        batch: one batch, on the device.

    Returns:
        The model's output, the target (None where there is none) and the loss, not yet checked.

    Raises:
        TypeError: a batch of a form that is not handled.
    """
    if loss_fn is None:
        output = _call(model, batch)
        return output, _find_target(batch), loss_in(output)
    inputs, target = split(model, batch)
    output = _call(model, inputs)
    if target is not _NO_TARGET:
        return output, target, loss_fn(output, target)
    if _takes_output_only(loss_fn):
        return output, None, loss_fn(output)
    single = inputs[0] if isinstance(inputs, (tuple, list)) else inputs
    if isinstance(single, torch.Tensor) and getattr(output, "shape", None) == single.shape:
        return output, single, loss_fn(output, single)
    raise TypeError(f"a batch is {describe(batch)} and has no target; expected {HANDLED}")


def split(model: Any, batch: Any) -> tuple[Any, Any]:
    """A batch as the model's inputs and the target of the loss.

    The target is a private marker where the batch holds none.
    """
    if isinstance(batch, (tuple, list)) and batch:  # first: the usual case
        if len(batch) == 1:
            return _inputs(batch[0]), _NO_TARGET
        return _inputs(batch[0]) if len(batch) == 2 else tuple(batch[:-1]), batch[-1]
    if isinstance(batch, torch.Tensor):
        return (batch,), _NO_TARGET
    if isinstance(batch, Mapping):
        for name in TARGET_NAMES:
            if name in batch:
                rest = {k: v for k, v in batch.items() if k != name or _requires(model, name)}
                return rest, batch[name]
        return batch, _NO_TARGET
    target = _find_target(batch)
    if target is not None:
        return (batch,), target
    raise TypeError(f"a batch is {describe(batch)}; expected {HANDLED}")


def loss_in(output: Any) -> Any:
    """The loss in the output of a model that computes its own.

    Raises:
        TypeError: the output holds no loss.
    """
    if isinstance(output, torch.Tensor):
        return output
    if isinstance(output, Mapping) and "loss" in output:
        return output["loss"]
    if getattr(output, "loss", None) is not None:
        return output.loss
    if isinstance(output, (tuple, list)) and output and isinstance(output[0], torch.Tensor):
        return output[0]
    raise TypeError(
        f"loss_fn is None, so the model must return its loss, but it returned {describe(output)}; "
        "expected a tensor, a tuple that begins with the loss, or an output with `loss`: "
        "give a loss_fn(output, target), or targets that make the model compute its loss"
    )


def _inputs(value: Any) -> Any:
    # A check against Mapping, an abstract class, takes longer than all others together.
    if isinstance(value, torch.Tensor):
        return (value,)
    return value if isinstance(value, (tuple, list, Mapping)) else (value,)


def _call(model: Callable[..., Any], inputs: Any) -> Any:
    if isinstance(inputs, (tuple, list)):
        return model(*inputs)
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(inputs)


def _find_target(batch: Any) -> Any:
    if isinstance(batch, Mapping):
        return next((batch[name] for name in TARGET_NAMES if name in batch), None)
    if isinstance(batch, (tuple, list)):
        return batch[-1] if len(batch) > 1 else None
    if isinstance(batch, (torch.Tensor, str, bytes, int, float)):
        return None
    found = (getattr(batch, name, None) for name in TARGET_NAMES)
    return next((target for target in found if target is not None), None)


def _requires(model: Any, name: str) -> bool:
    """Whether the model cannot be called without the keyword `name`."""
    return any(p.name == name for p in _required(getattr(model, "forward", model)))


def _takes_output_only(loss_fn: Callable[..., Any]) -> bool:
    positional = [
        p
        for p in _required(getattr(loss_fn, "forward", loss_fn))
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)
    ]
    return len(positional) == 1 and positional[0].kind is not inspect.Parameter.VAR_POSITIONAL


# Reading a signature takes as long as a small layer, and every batch asks. By function, and weakly:
# a bound method is a new object each time, and nothing here may keep a model alive.
_known: "WeakKeyDictionary[Any, list[inspect.Parameter]]" = WeakKeyDictionary()


def _required(function: Any) -> list[inspect.Parameter]:
    """The parameters that `function` cannot be called without; none where that is unknown."""
    key = getattr(function, "__func__", function)
    try:
        return _known[key]
    except (KeyError, TypeError):  # not asked before; cannot be hashed or referred to weakly
        pass
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    required = [p for p in parameters if p.default is p.empty]
    with contextlib.suppress(TypeError):
        _known[key] = required
    return required
