"""The loss in what a step or a loss function returned."""

from collections.abc import Mapping
from typing import Any

import torch


def loss_of(value: Any) -> Any:
    """The loss in `value`: itself, its "loss", or the scalar that it begins with.

    Returns:
        The loss, not yet checked; `value` itself where it holds none.
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
    """The loss as a scalar tensor with a graph.

    Raises:
        TypeError, ValueError: what it is instead, and how to mend it.
    """
    loss = loss_of(value)
    if not isinstance(loss, torch.Tensor):
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


def recorded_loss(value: Any) -> torch.Tensor:
    """The loss that a step which trains by itself returned, as a detached scalar.

    Raises:
        TypeError, ValueError: what it is instead, and how to mend it.
    """
    loss = loss_of(value)
    if isinstance(loss, torch.Tensor):
        _refuse_several(loss)
        return loss.detach().reshape(())
    if not _is_scalar(loss):
        raise TypeError(
            f"the loss is {described(loss)}; expected a scalar tensor or a number: return the loss "
            f"of the batch from step{_ALSO}"
        )
    return torch.as_tensor(float(loss), dtype=torch.float64)


def mean_of(losses: list[torch.Tensor]) -> torch.Tensor:
    """The mean of scalar losses, without waiting for them."""
    return torch.stack(losses).mean() if len(losses) > 1 else losses[0]


_ALSO = ", also as the first of a tuple or under 'loss' in a mapping"


def described(value: Any) -> str:
    """What kind of value it is, in a few words."""
    kind = type(value).__name__
    if value is None:
        return "None"
    if isinstance(value, Mapping):
        return f"a mapping with the keys {list(value)[:8]}"
    if isinstance(value, (tuple, list)):
        inner = ", ".join(type(item).__name__ for item in value[:4])
        return f"a {kind} of {len(value)} ({inner}{', …' if len(value) > 4 else ''})"
    shown = repr(value)
    return f"{shown}, a {kind}" if len(shown) <= 60 else f"a {kind}"


def _is_scalar(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.numel() == 1
    if isinstance(value, (bool, str, bytes)) or value is None:
        return False
    if getattr(value, "shape", ()) != ():  # an array of several
        return False
    return hasattr(value, "__float__")


def _refuse_several(loss: torch.Tensor) -> None:
    if loss.numel() != 1:
        raise ValueError(
            f"the loss has the shape {tuple(loss.shape)}; expected a scalar: "
            "take its mean, or use reduction='mean' in the loss function"
        )
