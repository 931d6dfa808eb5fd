"""Compute the loss of a batch, for every form of batch that needs no custom step."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from lrwidget.backup.origin import module_of, root_of
from lrwidget.data.structure import TARGET_NAMES, by_name, describe, is_text
from lrwidget.task.comparing import Comparison, compared, outputs_compared
from lrwidget.task.ended_iterator import ended_iterator
from lrwidget.task.mends import Mend, mend
from lrwidget.task.own_step import suggested_step
from lrwidget.task.signatures import Takes, takes

HANDLED = (
    "a pair (input, target), a longer tuple (*inputs, target), a mapping or an object with a "
    f"target under one of {', '.join(TARGET_NAMES)}, or a single tensor that the model "
    "reconstructs; for anything else give TrainingTask(..., step=lambda batch: loss)"
)

_NO_TARGET: Any = object()


class _Targets(tuple[Any, ...]):
    """The arguments of a loss function after the output, if there is more than the target."""

    __slots__ = ()


def outputs_and_loss(
    model: Callable[..., Any], loss_fn: Callable[..., Any] | None, batch: Any
) -> tuple[Any, Any, Any]:
    """Run the model and the loss function on one batch.

    Args:
        model: called with the batch's inputs (`*inputs` or `**inputs`).
        loss_fn: `loss_fn(output, target)`, `loss_fn(output)`, `loss_fn(output, target, weight)`, a
            loss that compares outputs, for which the model is applied to each input, or None if the
            model returns its own loss (a tensor, a tuple that begins with it, `loss` as key or
            attribute, or a mapping of losses, which are summed).
        batch: one batch, on the device.

    Returns:
        The model's output, the target (None if there is none) and the unchecked loss.

    Raises:
        TypeError: the form of the batch is not supported.
        Exception: any exception of the model or the loss function. A note on it says what to
            change if that is known; if the batch is not a pair of tensors, it describes the batch.
    """
    if loss_fn is None:
        inputs = _whole(model, batch)
        try:
            output = _call(model, inputs)
        except StopIteration as error:
            raise ended_iterator(error, "the model") from error
        except Exception as error:
            _note(error, model, None, batch)
            raise
        return output, _find_target(batch), loss_in(output, model)
    if not _is_plain_pair(batch):
        call = lambda one: _call(model, _inputs(model, one, None))  # noqa: E731
        several = compared(model, loss_fn, batch, call)
        if several is not None:
            return several
    inputs, target = split(model, batch, loss_fn)
    output = _NO_TARGET
    try:
        output = _call(model, inputs)
        if target is not _NO_TARGET:
            if type(target) is _Targets:
                return output, target[0], loss_fn(output, *target)
            return output, target, loss_fn(output, target)
        if _takes_output_only(loss_fn):
            return output, None, loss_fn(output)
        single = inputs[0] if isinstance(inputs, (tuple, list)) else inputs
        if isinstance(single, torch.Tensor) and getattr(output, "shape", None) == single.shape:
            return output, single, loss_fn(output, single)
    except StopIteration as error:
        raise ended_iterator(error, "the model or the loss") from error
    except Exception as error:
        _note(error, model, loss_fn, batch, output)
        raise
    raise TypeError(f"a batch is {describe(batch)} and has no target; expected {HANDLED}")


def split(model: Any, batch: Any, loss_fn: Any = None) -> tuple[Any, Any]:
    """Return the model's inputs and the target in a batch; without a target, a private marker."""
    if isinstance(batch, (tuple, list)) and batch:  # first: the usual case
        if _is_plain_pair(batch):
            return (batch[0],), batch[1]
        return _split_sequence(model, batch, loss_fn)
    if isinstance(batch, torch.Tensor):
        return (batch,), _NO_TARGET
    if isinstance(batch, Mapping):
        return _split_mapping(model, batch, loss_fn)
    target = _find_target(batch)
    if target is not None:
        return (batch,), target
    raise TypeError(f"a batch is {describe(batch)}; expected {HANDLED}")


def _is_plain_pair(batch: Any) -> bool:
    pair = isinstance(batch, (tuple, list)) and len(batch) == 2
    return pair and isinstance(batch[0], torch.Tensor)


def loss_in(output: Any, model: Any = None) -> Any:
    """Return the loss in the output of a model that computes its own loss.

    Raises:
        TypeError: the output holds no loss.
    """
    if isinstance(output, torch.Tensor):
        return output
    if isinstance(output, Mapping) and "loss" in output.keys():  # noqa: SIM118 - a TensorDict
        return output["loss"]
    if getattr(output, "loss", None) is not None:
        return output.loss
    if isinstance(output, (tuple, list)) and output and isinstance(output[0], torch.Tensor):
        _refuse_late_loss(output)
        return output[0]
    if isinstance(output, Mapping) and _to_be_summed(by_name(output), model):
        return sum(output.values())
    text = (
        f"loss_fn is None, so the model must return its loss, but it returned {describe(output)}; "
        "expected a tensor, a tuple that begins with the loss, an output with `loss`, or a mapping "
        "of scalars that are all named loss…: give a loss_fn(output, target), or targets that make "
        "the model compute its loss"
    )
    if isinstance(output, Mapping) and len(output) and all(map(_is_scalar, output.values())):
        text += (
            ", or say which of these to add up: TrainingTask(model, optimizer, data=data, "
            "step=lambda batch: sum(model(*batch).values())), or model(**batch)"
        )
    if not getattr(model, "training", True):
        text += (
            "; this was in eval mode, in which val_data is measured, and what refine holds out: "
            "where the model computes a loss in train mode only, leave val_data out, or give "
            "evaluate="
        )
    raise TypeError(text)


def _refuse_late_loss(output: Any) -> None:
    """Raise a TypeError if a tuple begins with outputs, as (logits, loss) does."""
    if output[0].numel() == 1:
        return
    scalars = [at for at, value in enumerate(output) if _is_scalar(value)]
    found = (
        f"its item {scalars[0]} is a scalar: where that is the loss"
        if scalars
        else "none of its items is a scalar: where the loss is computed of them"
    )
    loss = f"model(*batch)[{scalars[0]}]" if scalars else "loss_fn(model(batch[0])[0], batch[1])"
    raise TypeError(
        f"loss_fn is None, so the model must return its loss, alone or first, but it returned "
        f"{describe(output)}; {found}, give a step of your own: "
        f"TrainingTask(model, optimizer, data=data, step=lambda batch: {loss})"
    )


def _to_be_summed(output: Mapping[Any, Any], model: Any) -> bool:
    """Return whether the values are terms of one loss: all are scalars, and named loss….

    The detection models of torchvision, some of which use other names, document the sum.
    """
    values = list(output.values())
    if not values or not all(map(_is_scalar, values)):
        return False
    if len({value.requires_grad for value in values}) > 1:
        return False  # a value without a gradient is a metric
    if module_of(type(model)).startswith("torchvision.models.detection"):
        return True
    names = [str(name).lower() for name in output]
    whole = ("total", "sum", "all", "overall")
    return all(
        name.startswith("loss") and not any(part in whole for part in name.split("_"))
        for name in names
    )


def _is_scalar(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.numel() == 1


def _split_sequence(model: Any, batch: Any, loss_fn: Any) -> tuple[Any, Any]:
    if isinstance(batch, PackedSequence):
        return (batch,), _NO_TARGET
    if len(batch) == 1:
        by_names = by_name(batch[0]) if isinstance(batch[0], Mapping) else {}
        if any(name in by_names for name in TARGET_NAMES):
            return _split_mapping(model, batch[0], loss_fn)
        return _inputs(model, batch[0], None), _NO_TARGET
    if len(batch) == 2:
        return _inputs(model, batch[0], batch[1]), batch[1]
    accepted = takes(model)
    plain = type(batch) in (tuple, list) and isinstance(batch[-1], torch.Tensor)
    if plain and accepted.fits(len(batch) - 1):
        return tuple(batch[:-1]), batch[-1]
    fields = _target_last(batch)
    if accepted.fits(len(fields) - 1) and not (is_text(fields[-1]) and _of_torch(loss_fn)):
        return tuple(fields[:-1]), fields[-1]
    told = [field for field in fields if not is_text(field)]
    if len(told) == 2:
        return _inputs(model, *told), told[1]
    if len(told) > 2:
        if len(told) < len(fields) and accepted.fits(len(told) - 1):
            return tuple(told[:-1]), told[-1]
        if takes(loss_fn).least == 3 and accepted.fits(len(told) - 2):
            return tuple(told[:-2]), _Targets(told[-2:])
    raise _unreadable_batch(model, batch, accepted, loss_fn)


def _target_last(batch: Any) -> list[Any]:
    """Return the fields of a tuple, moving the target to the end if a field is named as one."""
    names = getattr(batch, "_fields", ())
    if names and names[-1] not in TARGET_NAMES:
        for name in TARGET_NAMES:
            if name in names:
                place = names.index(name)
                return [*batch[:place], *batch[place + 1 :], batch[place]]
    return list(batch)


def _split_mapping(model: Any, batch: Mapping[Any, Any], loss_fn: Any) -> tuple[Any, Any]:
    accepted, fields = takes(model), by_name(batch)
    goal = next((name for name in TARGET_NAMES if name in fields), None)
    target = _NO_TARGET if goal is None else fields[goal]
    if _is_for_all(accepted, batch, fields):
        return (batch,), target
    if goal is None:
        rest: Any = fields
    else:
        # A model that requires the target as an argument gets it too.
        rest = {k: v for k, v in fields.items() if k != goal or goal in accepted.required}
    if accepted.fits_names(rest):
        return rest, target
    told = {name: value for name, value in rest.items() if not is_text(value)}
    if len(told) < len(rest) and accepted.fits_names(told):
        return told, target
    if len(told) == 1 and accepted.fits(1):
        return _inputs(model, next(iter(told.values())), target), target
    raise _unreadable_batch(model, batch, accepted, loss_fn)


def _unreadable_batch(model: Any, batch: Any, accepted: Takes, loss_fn: Any) -> TypeError:
    names = "any names" if accepted.names is None else ", ".join(sorted(accepted.names))
    step = suggested_step(batch, accepted.least, True, targets=takes(loss_fn).least - 1)
    return TypeError(
        f"a batch is {describe(batch)}, which does not fit {type(model).__name__}.forward({names})"
        f"; expected {HANDLED}, such as {step}"
    )


def _inputs(model: Any, value: Any, target: Any) -> Any:
    """Return the arguments of the model for the input field of a batch.

    A tuple or list may be several inputs or one, such as a list of images of different sizes.
    """
    # The check against Mapping, an abstract class, is slower than all others, so it comes last.
    if isinstance(value, (torch.Tensor, PackedSequence)):
        return (value,)
    if isinstance(value, (tuple, list)):
        accepted = takes(model)
        if not accepted.fits(1):
            return value
        if not accepted.fits(len(value)):
            one = True
        elif len(value) > 1 or isinstance(target, (tuple, list)):
            one = _one_for_each_sample(value, target)
        else:  # a single sequence in the last batch, or a single input in a list
            one = not _has_rows(value[0], 1) and _has_rows(target, 1)
        if one and "targets" in (accepted.names or ()) and _is_detection_target(target):
            return (value, target)  # torchvision's detection: the losses are in the output
        return (value,) if one else value
    if isinstance(value, Mapping):
        accepted, fields = takes(model), by_name(value)
        return (value,) if not accepted.fits_names(fields) and accepted.fits(1) else fields
    return (value,)


def _one_for_each_sample(value: Any, target: Any) -> bool:
    """Return whether a list holds one item for each sample of the batch.

    Otherwise its items are several inputs, each with a row for each sample.
    """
    if hasattr(value, "_fields"):
        return False
    if isinstance(target, (tuple, list)):
        things = _is_detection_target(target) or is_text(target)
        return things and len(target) == len(value)
    alike = len({(getattr(v, "dtype", None), tuple(getattr(v, "shape", ())[1:])) for v in value})
    rows = len(value)
    return alike == 1 and _has_rows(target, rows) and not all(_has_rows(v, rows) for v in value)


def _has_rows(value: Any, rows: int) -> bool:
    return isinstance(value, torch.Tensor) and value.dim() > 0 and len(value) == rows


def _is_detection_target(target: Any) -> bool:
    """Return whether it holds a mapping for each image, as in object detection."""
    return isinstance(target, (tuple, list)) and all(isinstance(t, Mapping) for t in target)


def _whole(model: Any, batch: Any) -> Any:
    """Return the arguments of a model that computes its own loss: the whole batch."""
    if isinstance(batch, (tuple, list)) and not isinstance(batch, PackedSequence):
        accepted = takes(model)
        if accepted.fits(len(batch)):
            return batch
        if len(batch) == 1 and isinstance(batch[0], Mapping):
            return _whole(model, batch[0])
        told = [field for field in batch if not is_text(field)]
        if len(told) < len(batch) and accepted.fits(len(told)):
            return told
        return (batch,) if accepted.fits(1) else batch
    if isinstance(batch, Mapping):
        accepted, fields = takes(model), by_name(batch)
        if _is_for_all(accepted, batch, fields):
            return (batch,)
        if accepted.fits_names(fields):
            return fields
        told_by_name = {name: value for name, value in batch.items() if not is_text(value)}
        if accepted.fits_names(told_by_name):
            return told_by_name
        whole = accepted.least == 1 or fields is not batch
        return (batch,) if accepted.fits(1) and whole else fields
    return (batch,)


def _is_for_all(accepted: Takes, batch: Any, fields: Any) -> bool:
    """Return whether a model takes a TensorDict whole, as those do that accept any names."""
    return fields is not batch and accepted.names is None and accepted.fits(1)


def _call(model: Callable[..., Any], inputs: Any) -> Any:
    if isinstance(inputs, (tuple, list)):
        return model(*inputs)
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(inputs)


def _find_target(batch: Any) -> Any:
    if isinstance(batch, Mapping):
        fields = by_name(batch)
        return next((fields[name] for name in TARGET_NAMES if name in fields), None)
    if isinstance(batch, (tuple, list)):
        return batch[-1] if len(batch) > 1 else None
    if isinstance(batch, (torch.Tensor, str, bytes, int, float)):
        return None
    found = (getattr(batch, name, None) for name in TARGET_NAMES)
    return next((target for target in found if target is not None), None)


def _takes_output_only(loss_fn: Callable[..., Any]) -> bool:
    accepted = takes(loss_fn)
    return accepted.least == 1 and accepted.most is not None


def _of_torch(function: Any) -> bool:
    """Return whether a loss function is one of torch's own, which take tensors only."""
    return root_of(getattr(function, "__module__", None) or type(function).__module__) == "torch"


def _note(error: Exception, model: Any, loss_fn: Any, batch: Any, output: Any = _NO_TARGET) -> None:
    """Say in a note on the error what to change, or describe the batch if that may be the cause."""
    known = mend(model, loss_fn, batch, None if output is _NO_TARGET else output, error)
    if known:
        error.add_note(Mend(known))
        return
    if count := outputs_compared(loss_fn):
        error.add_note(Comparison(loss_fn, count, []).note(batch))
        return
    plain = type(batch) in (tuple, list) and len(batch) == 2
    plain = plain and all(isinstance(field, torch.Tensor) for field in batch)
    missing = isinstance(error, TypeError) and "required positional argument" in str(error)
    quiet = plain and loss_fn is not None and not missing
    told = [] if quiet else [f"the batch is {describe(batch)}"]
    if output is not _NO_TARGET and not isinstance(output, torch.Tensor):
        told.append(f"the model returned {describe(output)}")
    if told:
        if loss_fn is None:
            told.append(
                "loss_fn is None, so the model gets all of it and is to return its loss; where it "
                "returns its output, give a loss_fn such as nn.CrossEntropyLoss()"
            )
        returned = None if output is _NO_TARGET else output
        alone = missing and loss_fn is not None and _takes_output_only(loss_fn)
        given, goals = takes(model).least, 1 if loss_fn is None else takes(loss_fn).least - 1
        step = suggested_step(
            batch, given, loss_fn is not None, returned, alone=alone, targets=goals
        )
        error.add_note(
            f"{'; '.join(told)}. To read it in another way give a step of your own: {step}"
        )
