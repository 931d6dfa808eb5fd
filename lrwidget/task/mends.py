"""What to change where the first batch of a new user's data makes the model or the loss fail."""

from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

WIDE, NARROW = torch.float64, torch.float32


class Mend(str):
    """A note on an exception that says what to change; a widget shows it beside the message."""

    __slots__ = ()


def mend_in(error: BaseException) -> str:
    """Return what the notes of an exception say to change; "" if they say nothing of it."""
    notes = getattr(error, "__notes__", ())
    return next((note for note in notes if isinstance(note, Mend)), "")


def mend(model: Any, loss_fn: Any, batch: Any, output: Any = None) -> str:
    """Return what to change, as a sentence; "" if nothing known is wrong.

    To be called after the model or the loss has raised, since much of this is valid elsewhere.

    Args:
        model, loss_fn, batch: what was called.
        output: the model's output if it was the loss that failed.
    """
    if not isinstance(batch, (tuple, list)) or isinstance(batch, PackedSequence) or not batch:
        return ""
    tensors = [field for field in batch if isinstance(field, torch.Tensor)]
    parameters = model.parameters() if isinstance(model, torch.nn.Module) else ()
    narrow = any(parameter.dtype == NARROW for parameter in parameters)
    if narrow and any(tensor.dtype == WIDE for tensor in tensors):
        return (
            "The data is float64, as numpy makes it, and the model float32: give data=(X, y), a "
            "pair of arrays, which is converted, or convert it yourself, x.float()."
        )
    target = batch[-1]
    if not isinstance(target, torch.Tensor) or not isinstance(output, torch.Tensor):
        return ""
    classes = isinstance(loss_fn, (torch.nn.CrossEntropyLoss, torch.nn.NLLLoss))
    classes |= loss_fn in (torch.nn.functional.cross_entropy, torch.nn.functional.nll_loss)
    if not classes or target.shape == output.shape or output.ndim < 2 or not target.numel():
        return ""
    last = output.ndim > 2 and output.shape[:-1] == target.shape != output[:, 0].shape
    if last and not target.is_floating_point():
        return (
            f"The outputs are {tuple(output.shape)} and the targets {tuple(target.shape)}: the "
            "classes must be the second dimension, loss_fn(output.movedim(-1, 1), target)."
        )
    if target.is_floating_point():
        return f"The targets are {_plain(target)}, but classes are integers: y.long()."
    # A failed assertion on another device leaves nothing that could be read there.
    if target.device.type == "cpu" and int(target.max()) >= output.shape[1]:
        return (
            f"The targets go up to {int(target.max())}, and the model has {output.shape[1]} "
            "outputs: classes count from 0 and need an output each."
        )
    return ""


def _plain(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
