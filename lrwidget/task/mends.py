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


def mend(
    model: Any, loss_fn: Any, batch: Any, output: Any = None, error: Exception | None = None
) -> str:
    """Return what to change, as a sentence; "" if nothing known is wrong.

    To be called after the model or the loss has raised, since much of this is valid elsewhere.

    Args:
        model, loss_fn, batch: what was called.
        output: the model's output if it was the loss that failed.
        error: the error.
    """
    if not isinstance(batch, (tuple, list)) or isinstance(batch, PackedSequence) or not batch:
        return ""
    told = str(error)
    tensors = [field for field in batch if isinstance(field, torch.Tensor)]
    parameters = model.parameters() if isinstance(model, torch.nn.Module) else ()
    kinds = {parameter.dtype for parameter in parameters}
    narrow = NARROW in kinds
    if narrow and any(tensor.dtype == WIDE for tensor in tensors):
        return (
            "The data is float64, as numpy makes it, and the model float32: give data=(X, y), a "
            "pair of arrays, which is converted, or convert it yourself, x.float()."
        )
    if kinds == {WIDE} and tensors and tensors[0].dtype == NARROW:
        return (
            "The data is float32, as arrays become here, and the model float64: give the data as "
            "tensors of float64, or sweep and train the model in float32, model.float()."
        )
    if tensors and "more than 1 value per channel" in told:
        return (
            "Batch norm cannot train on a single value: use a batch_size above 1, and leave out a "
            "last batch of one sample with DataLoader(..., drop_last=True), or "
            "loader_options={'drop_last': True}."
        )
    if "train on the training inputs" in told:  # of GPyTorch
        return (
            "An exact Gaussian process trains on all of its data at once, in their order: give "
            "them as one batch, data=[(train_x, train_y)]."
        )
    if output is None and loss_fn is not None and "values to unpack" in told:
        return (
            "The model was called with the input alone. One that takes the whole batch needs a "
            "step of its own: TrainingTask(model, optimizer, data=loader, step=lambda batch: "
            "loss_fn(model(batch), batch[1]))."
        )
    if output is None:
        return _other_inputs(tensors, told) if narrow else ""
    target = batch[-1]
    of_text = isinstance(target, (tuple, list)) and target and isinstance(target[0], str)
    if of_text and "argument 'target'" in told:  # of a loss of classes; others ask for a size
        return (
            f"The targets are text, such as {target[0][:20]!r}: let the data set give each class "
            "its index, classes.index(label), classes being the list of all."
        )
    if not isinstance(target, torch.Tensor) or not isinstance(output, torch.Tensor):
        return ""
    if isinstance(loss_fn, _OF_PROBABILITIES) or loss_fn in _PROBABILITY_FUNCTIONS:
        return _other_probabilities(output, target)
    classes = isinstance(loss_fn, (torch.nn.CrossEntropyLoss, torch.nn.NLLLoss))
    classes |= loss_fn in (torch.nn.functional.cross_entropy, torch.nn.functional.nll_loss)
    return _other_classes(output, target) if classes else ""


_OF_PROBABILITIES = (torch.nn.BCELoss, torch.nn.BCEWithLogitsLoss)
_PROBABILITY_FUNCTIONS = (
    torch.nn.functional.binary_cross_entropy,
    torch.nn.functional.binary_cross_entropy_with_logits,
)


def _other_inputs(tensors: list[torch.Tensor], told: str) -> str:
    """Say how to convert the input of a model that computes in float32."""
    first = tensors[0].dtype if tensors else NARROW
    if first == NARROW or first.is_complex or not ("same dtype" in told or "Input type" in told):
        return ""
    scaled = ", for images x.float() / 255" if first == torch.uint8 else ""
    return (
        f"The data is {_plain(tensors[0])}, and the model float32: convert it, x.float(){scaled}."
    )


def _other_probabilities(output: torch.Tensor, target: torch.Tensor) -> str:
    """Say how targets of a binary cross-entropy should be."""
    if output.numel() == target.numel() and output.shape != target.shape:
        floats = "" if target.is_floating_point() else ".float()"
        return (
            f"The outputs are {tuple(output.shape)} and the targets {tuple(target.shape)}: this "
            f"loss takes them in one shape, y.view_as(output){floats}."
        )
    if not target.is_floating_point():
        return f"The targets are {_plain(target)}, and this loss takes floats: y.float()."
    return ""


def _other_classes(output: torch.Tensor, target: torch.Tensor) -> str:
    """Say how targets of a cross-entropy should be."""
    if output.ndim < 2 or not target.numel():
        return ""
    if target.shape == output.shape:
        if target.is_floating_point():
            return ""
        return (
            f"The targets are {_plain(target)} with a column for each class: give the classes "
            "alone, y.argmax(1), or probabilities, y.float()."
        )
    last = output.ndim > 2 and output.shape[:-1] == target.shape != output[:, 0].shape
    if last and not target.is_floating_point():
        return (
            f"The outputs are {tuple(output.shape)} and the targets {tuple(target.shape)}: the "
            "classes must be the second dimension, loss_fn(output.movedim(-1, 1), target)."
        )
    if target.is_floating_point():
        return f"The targets are {_plain(target)}, but classes are integers: y.long()."
    if target.shape == (len(output), 1):
        return f"The targets are {tuple(target.shape)}, but classes are one number each: y[:, 0]."
    if target.dtype not in (torch.int64, torch.uint8):
        return f"The targets are {_plain(target)}, but classes are int64: y.long()."
    # A failed assertion on another device leaves nothing that could be read there.
    if target.device.type == "cpu" and int(target.max()) >= output.shape[1]:
        return (
            f"The targets go up to {int(target.max())}, and the model has {output.shape[1]} "
            "outputs: classes count from 0 and need an output each."
        )
    if target.device.type == "cpu" and int(target.min()) == -1:  # -100 is one to ignore
        return "The targets go down to -1, but classes count from 0."
    return ""


def _plain(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
