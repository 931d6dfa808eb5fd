"""The source of a custom `step` for a batch of any structure, for error messages."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from lrwidget.data.structure import TARGET_NAMES, by_name, is_text, named_fields


def suggested_step(
    batch: Any,
    inputs: int,
    with_loss_fn: bool,
    output: Any = None,
    *,
    alone: bool = False,
    targets: int = 1,
) -> str:
    """Return a call of TrainingTask with a step that suits the batch, to copy and adapt.

    Args:
        batch: one batch.
        inputs: number of arguments that the model requires.
        with_loss_fn: whether there is a loss function.
        output: the model's output, if known; the loss function gets its first tensor.
        alone: whether the loss function takes the output alone.
        targets: number of arguments that the loss function requires after the output.
    """
    wanted = max(inputs, 1), max(targets, 1)
    loss = _loss_of(batch, wanted, with_loss_fn, first_tensor(output))
    if alone and loss.startswith("loss_fn("):
        loss = f"{loss.rsplit(', ', 1)[0]})"
    return f"TrainingTask(model, optimizer, data=data, step=lambda batch: {loss})"


def comparing_step(sources: list[str], count: int, together: bool, part: str = "") -> str:
    """Return a call of TrainingTask with a step whose loss compares several outputs of the model.

    Args:
        sources: the source of each field of a batch; empty if it is not known.
        count: number of outputs that are compared.
        together: whether the model takes all inputs in one call.
        part: what follows the call of a model that takes one input.
    """
    at = sources or [f"batch[{place}]" for place in range(3)]
    if together:
        given = [f"*model({', '.join(at[:count])})"]
    else:
        given = [f"model({place}){part}" for place in at[:count]]
    loss = f"loss_fn({', '.join([*given, *at[count:3]])})"
    return f"TrainingTask(model, optimizer, data=data, step=lambda batch: {loss})"


def _loss_of(batch: Any, wanted: tuple[int, int], with_loss_fn: bool, part: str) -> str:
    inputs, targets = wanted
    name, fields = "batch", batch
    if isinstance(batch, (tuple, list)) and len(batch) == 1 and isinstance(batch[0], Mapping):
        name, fields = "batch[0]", batch[0]
    if isinstance(fields, Mapping):
        fields = by_name(fields)
        if not with_loss_fn:
            return f'model(**{name})["loss"]'
        goal = next((key for key in TARGET_NAMES if key in fields), None)
        places = [key for key, value in fields.items() if key != goal and not is_text(value)]
        given = [f"{name}[{key!r}]" for key in places[:inputs]]
        rest = places[inputs:]
        goals = [goal, *rest] if goal is not None or not places else rest or places[-1:]
        target = ", ".join(f"{name}[{key!r}]" for key in goals[:targets])
    elif isinstance(batch, (tuple, list)) and not isinstance(batch, PackedSequence) and batch:
        places = [place for place, value in enumerate(batch) if not is_text(value)] or [0]
        if _is_detection_target(batch[places[-1]]) and len(places) > 1:
            return "sum(model(*batch).values())"
        if not with_loss_fn:
            arguments = ", ".join(f"batch[{place}]" for place in places)
            return f"model({arguments})"
        given = [f"batch[{place}]" for place in places[:inputs]]
        rest = places[inputs:] or places[-1:]
        together = len(rest) == 1 and targets > 1 and isinstance(batch[rest[0]], (tuple, list))
        target = "*" * together + ", ".join(f"batch[{place}]" for place in rest[:targets])
    else:
        if not with_loss_fn:
            return "model(batch)"
        names = named_fields(batch) or {}
        goal = next((key for key in TARGET_NAMES if key in names or hasattr(batch, key)), None)
        given, target = ["batch"], "batch" if goal is None else f"batch.{goal}"
    return f"loss_fn(model({', '.join(given)}){part}, {target})"


def first_tensor(output: Any) -> str:
    """Return the source that selects the first tensor of an output; empty for a tensor itself."""
    if isinstance(output, torch.Tensor):
        return ""
    if isinstance(output, Mapping):
        found = next(
            (key for key, value in output.items() if isinstance(value, torch.Tensor)), None
        )
        return "" if found is None else f"[{found!r}]"
    if isinstance(output, (tuple, list)):
        places = [place for place, value in enumerate(output) if isinstance(value, torch.Tensor)]
        names = getattr(output, "_fields", None)
        if not places:
            return ""
        return f"[{places[0]}]" if names is None else f".{names[places[0]]}"
    return ".logits" if isinstance(getattr(output, "logits", None), torch.Tensor) else ""


def _is_detection_target(value: Any) -> bool:
    """Return whether it is a list with a mapping for each image, as in object detection."""
    return isinstance(value, (tuple, list)) and bool(value) and isinstance(value[0], Mapping)
