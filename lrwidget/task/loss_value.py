"""The loss in the return value of a step or a loss function."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from lrwidget.data.structure import describe
from lrwidget.text.articles import a


def loss_of(value: Any) -> Any:
    """Return the unchecked loss in `value`: itself, its "loss", or its first item if a scalar.

    If `value` holds no loss, it is returned itself.
    """
    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, Mapping):
        return value.get("loss", value)
    if getattr(value, "loss", None) is not None:
        return value.loss
    if isinstance(value, (tuple, list)) and value and _is_scalar(value[0]):
        return value[0]
    return value


def trainable_loss(value: Any) -> torch.Tensor:
    """Return the loss in `value` as a scalar tensor with a graph, shape ().

    Raises:
        TypeError, ValueError: the loss is not a scalar tensor that requires grad.
    """
    loss = loss_of(value)
    if not isinstance(loss, torch.Tensor):
        if callable(getattr(loss, "backward", None)):
            raise TypeError(
                f"the loss is {described(loss)}, with a backward() of its own; expected a scalar "
                "tensor: give a step that does all of it, up to optimizer.step(), and returns "
                "loss.item(): TrainingTask(model, optimizer, data=data, step=step)"
            )
        raise TypeError(
            f"the loss is {described(loss)}; expected a scalar tensor that requires grad (return "
            f"the tensor, not loss.item()){_ALSO}"
        )
    _refuse_several(loss)
    if not loss.requires_grad:
        raise ValueError(
            "the loss does not require grad, so no gradient reaches the model; remove "
            ".detach(), .item() or torch.no_grad() on the way from the parameters to the loss"
        )
    return loss.reshape(())


def recorded_loss(value: Any, function: str = "step") -> torch.Tensor:
    """Return the loss in the return value of a step that trains by itself, detached, shape ().

    Args:
        value: the return value.
        function: what the user's function is called in messages.

    Raises:
        TypeError, ValueError: the loss is neither a scalar tensor nor a number.
    """
    loss = loss_of(value)
    if isinstance(loss, torch.Tensor):
        _refuse_several(loss)
        return loss.detach().reshape(())
    if not _is_scalar(loss):
        raise TypeError(
            f"the loss is {described(loss)}; expected a scalar tensor or a number: return the loss "
            f"of the batch from {function}{_ALSO}"
        )
    return torch.as_tensor(float(loss), dtype=torch.float64)


def measured(metric: Callable[[Any, Any], Any], output: Any, target: Any) -> Any:
    """Return the metric of a batch, a number or a tensor of one, which is not read yet.

    Raises:
        TypeError: it is neither.
        Exception: any exception of the metric, with a note on what it was called with.
    """
    try:
        value = metric(output, target)
    except Exception as error:
        error.add_note(
            f"This was metric(output, target), with the output {describe(output)} and the target "
            f"{describe(target)}."
        )
        raise
    if not isinstance(value, bool) and not _is_scalar(value):
        raise TypeError(
            f"metric returned {described(value)}; expected a number, or a tensor of one number, "
            "such as a mean over the batch"
        )
    return value


def mean_of(losses: list[torch.Tensor]) -> torch.Tensor:
    """Return the mean of scalar losses, without a synchronization with the device."""
    return torch.stack(losses).mean() if len(losses) > 1 else losses[0]


_ALSO = ", also as the first of a tuple or under 'loss' in a mapping"


def described(value: Any) -> str:
    """Return a short description of a value, for messages."""
    kind = type(value).__name__
    if value is None:
        return "None"
    if isinstance(value, Mapping):
        return f"a mapping with the keys {list(value)[:8]}"
    if isinstance(value, (tuple, list)):
        inner = ", ".join(type(item).__name__ for item in value[:4])
        return f"{a(kind)} of {len(value)} ({inner}{', …' if len(value) > 4 else ''})"
    shown = repr(value)
    return f"{shown}, {a(kind)}" if len(shown) <= 60 else f"{a(kind)}"


def _is_scalar(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.numel() == 1
    if isinstance(value, (bool, str, bytes)) or value is None:
        return False
    if getattr(value, "shape", ()) != ():  # an array of several values
        return False
    return hasattr(value, "__float__")


def _refuse_several(loss: torch.Tensor) -> None:
    if loss.numel() != 1:
        raise ValueError(
            f"the loss has the shape {tuple(loss.shape)}; expected a scalar: "
            "take its mean, or use reduction='mean' in the loss function"
        )
