"""The training task: a model, its optimizer, its batches, and the training step."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, get_args

import torch
from torch import nn

from lrwidget.backup.objects import objects_also
from lrwidget.data.batches import as_loader, asked_size
from lrwidget.data.reading import batch_size_of
from lrwidget.task.misplaced import refuse_misplaced, refuse_other_arguments, way_out
from lrwidget.task.optimizers import (
    checked_others,
    is_optimizer,
    made_by,
    made_optimizer,
    not_an_optimizer,
    refuse_maximizing,
    refuse_two_passes,
    refuse_without_rate,
    unwrapped,
)
from lrwidget.task.rates import apply_rate, refuse_undefined_ratios
from lrwidget.text.articles import a_kind
from lrwidget.validation import is_rate, number, whole_number

Others = Literal["keep", "follow"]
SnapshotPlace = Literal["auto", "device", "cpu", "disk"]

BATCH_SIZE = 32

FUNCTIONS = {
    "loss_fn": "a function loss_fn(output, target) such as torch.nn.CrossEntropyLoss()",
    "step": "a function step(batch) that returns the loss",
    "metric": "a function metric(output, target)",
    "evaluate": "a function evaluate(batch) that returns the loss",
}


class TrainingTask:
    """The objects and options that define one training step.

    Args:
        model: the module to train.
        optimizer: an optimizer over the model's parameters, or a class or factory that is called
            with the trainable parameters (and `lr=` where it takes one).
        loss_fn: `loss_fn(output, target)`, or None if the model returns its own loss. For a loss
            that compares outputs, such as TripletMarginLoss, the model is applied to each input.
        data: a DataLoader, a data set (of torch, Hugging Face or any that indexes like one),
            samples in a list, `(X, y)`, or any iterable of batches; read again when it ends. NumPy
            arrays in `(X, y)` become tensors: floats in torch's default precision, classes int64.
        step: `step(batch) -> loss`, in place of the usual step. It gets a batch on the device and
            either only computes the loss (backward and update follow), or does the whole step, up
            to `optimizer.step()` or its own update; it does the whole step if backward runs in its
            first call. If parameters change only every few calls, these calls are one step, with
            the mean of their losses. The loss may be the first item of a tuple, or "loss" in a
            mapping. A task with a custom step is swept in place, since the step refers to its own
            model.
        batch_size, loader_options: options of the DataLoader that is created for samples (32;
            shuffled). A given DataLoader is created again if it has another batch size, which may
            also be among the options.
        accumulate: batches whose gradients are averaged in one optimizer step (1). The recorded
            loss is the mean of theirs.
        autocast: None, True (the device's default) or a dtype: run the forward pass in autocast.
        scaler: a `torch.amp.GradScaler`. A step that it skips is repeated at the same rate.
        clip_grad_norm: clip the norm of the gradients of all optimizers' parameters, together, at
            this value before each step.
        val_data: batches (as `data`) for a validation loss, measured in eval mode. A given loader
            keeps its batch size.
        val_batches: number of batches of `val_data` to use, the same ones each time (4): the first
            ones, or of a DataLoader that does not shuffle as many samples from everywhere.
        val_every: steps of the sweep between two measurements (10).
        metric: `metric(output, target) -> number`, averaged over the validation batches.
        evaluate: `evaluate(batch) -> loss`, called in eval mode and without gradients, to measure
            held-out batches (`val_data`, `refine`); needed if a custom step, rather than model and
            loss_fn, determines the loss. By default model and loss_fn.
        device: device of the sweep; by default that of the model.
        other_optimizers: optimizers of the same training step that are not swept, such as a
            discriminator's; they step with the swept one unless `step` steps them itself. They
            cannot be combined with an optimizer that needs a closure (LBFGS).
        others: "keep" does not change their rates, "follow" keeps their ratio to the swept one.
        accumulate_in_step: calls of `step` that make one optimizer step, if it accumulates over its
            calls; by default detected, up to 64 calls. A number that leaves rates without a step is
            an error.
        snapshot: "auto" sweeps a deep copy if the model can be copied, and otherwise sweeps the
            model itself and keeps a backup on its device; "device", "cpu" and "disk" sweep the
            model itself and keep the backup there.
        also: further objects that training changes, in a list: a large memory, a history. What
            `step` or `loss_fn` reaches need not be named, unless it is what they add to a list or
            dict without tensors. They are restored with the
            model: modules and optimizers, objects with their attributes and containers, arrays and
            tensors by value, and hidden state by the object's own `load_state_dict`. The items of a
            list or dict of more than 1000 are not searched. If one of them shares something with
            the model, as an average that refers to it does, the model itself is swept.

    Raises:
        TypeError, ValueError: an invalid argument; the message says what is expected.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | Callable[..., torch.optim.Optimizer],
        loss_fn: Callable[..., Any] | None = None,
        data: Any = None,
        *,
        step: Callable[[Any], Any] | None = None,
        batch_size: int | None = None,
        loader_options: Mapping[str, Any] | None = None,
        accumulate: int = 1,
        autocast: bool | torch.dtype | None = None,
        scaler: Any = None,
        clip_grad_norm: float | None = None,
        val_data: Any = None,
        val_batches: int = 4,
        val_every: int = 10,
        metric: Callable[[Any, Any], Any] | None = None,
        evaluate: Callable[[Any], Any] | None = None,
        device: torch.device | str | None = None,
        other_optimizers: Sequence[torch.optim.Optimizer] = (),
        others: Others = "keep",
        accumulate_in_step: int | None = None,
        snapshot: SnapshotPlace = "auto",
        also: Sequence[Any] = (),
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(
                f"model is {a_kind(model)}; expected a torch.nn.Module or a TrainingTask"
                f"{way_out(model)}"
            )
        _refuse_without_values(model)
        refuse_misplaced(model, optimizer, loss_fn)
        functions = {"loss_fn": loss_fn, "step": step, "metric": metric, "evaluate": evaluate}
        for name, function in functions.items():
            if function is not None and not callable(function):
                raise TypeError(f"{name} is {function!r}; expected {FUNCTIONS[name]}, or None")
            refuse_other_arguments(name, function)
        if data is None:
            raise TypeError("data is missing; expected a DataLoader, a Dataset or batches")
        if val_data is None and metric is not None:
            raise ValueError("metric is measured on val_data, which is None; give val_data too")
        floats = isinstance(autocast, torch.dtype) and autocast.is_floating_point
        if not (autocast is None or isinstance(autocast, bool) or floats):
            raise TypeError(
                f"autocast is {autocast!r}; expected True, False, a dtype such as "
                "torch.bfloat16, or None"
            )
        if clip_grad_norm is not None:
            refuse_no_norm(clip_grad_norm)
        if scaler is not None and not (hasattr(scaler, "scale") and hasattr(scaler, "step")):
            raise TypeError(f"scaler is {scaler!r}; expected a torch.amp.GradScaler, or None")
        if others not in get_args(Others):
            raise ValueError(f"others is {others!r}; expected 'keep' or 'follow'")
        if snapshot not in get_args(SnapshotPlace):
            raise ValueError(
                f"snapshot is {snapshot!r}; expected 'auto', 'device', 'cpu' or 'disk'"
            )
        batch_size, loader_options = asked_size(batch_size, loader_options)
        given = batch_size is not None
        size = whole_number("batch_size", batch_size, 1) if given else BATCH_SIZE
        own_step = step is not None
        self.model = model
        self.loss_fn: Callable[..., Any] | None = loss_fn
        self.data: Any = as_loader(data, size, loader_options, given=given, own_step=own_step)
        self.step = step
        self.accumulate: int = whole_number("accumulate", accumulate, 1)
        self.autocast = autocast
        self.scaler: Any = scaler
        self.clip_grad_norm = clip_grad_norm
        self.val_data: Any = None
        if val_data is not None:
            self.val_data = as_loader(val_data, size, None, own_step=own_step, name="val_data")
        self.val_batches: int = whole_number("val_batches", val_batches, 1)
        self.val_every: int = whole_number("val_every", val_every, 1)
        self.metric = metric
        self.evaluate = evaluate
        self.optimizer_is_ours: bool = not is_optimizer(optimizer)
        self.optimizer: torch.optim.Optimizer = _ready_optimizer(optimizer, model, loss_fn)
        if step is None:
            refuse_two_passes(self.optimizer)
            refuse_maximizing(self.optimizer)
            if accumulate_in_step is not None:
                raise ValueError("accumulate_in_step is about a step of your own; give step= too")
        self.accumulate_in_step: int | None = (
            None
            if accumulate_in_step is None
            else whole_number("accumulate_in_step", accumulate_in_step, 1)
        )
        self.other_optimizers: tuple[Any, ...] = checked_others(other_optimizers, self.optimizer)
        self.others: Others = others
        self.snapshot: SnapshotPlace = snapshot
        self.also: tuple[Any, ...] = objects_also(also)
        self.device: torch.device = _device_of(model) if device is None else _numbered(device)
        # With several processes, a custom step that does the whole step calls this before a
        # backward in which ranks wait for each other: it raises if another rank has failed.
        self.sync_ranks: Callable[[], object] = no_ranks

    def session(self) -> AbstractContextManager[None]:
        """Return a context for a sweep, entered by its thread before the state is saved.

        Tasks made from objects of another framework prepare in it what the training step of that
        framework needs, and restore it.
        """
        return nullcontext()

    # Whether the step reads its batches from a loader of its own, as other frameworks' do.
    reads_itself = False

    @property
    def read_from(self) -> Any:
        """The loader of the samples that are trained on; of some tasks only in a session."""
        return self.data

    @property
    def samples_named(self) -> Any:
        """The data whose samples `held_out` names, if it is known before a session; else None."""
        return self.data

    # Further objects that training changes, which neither model nor optimizers hold; of some tasks
    # only in a session.
    trained_beside: Sequence[Any] = ()

    # Models that the step asks and nobody trains, though their parameters could be.
    teachers: Sequence[nn.Module] = ()

    # Returns the loss on all of some held-out batches, where a framework measures them together.
    evaluate_all: Callable[[Sequence[Any]], Any] | None = None

    # What `evaluate_all` has taken for the loss, in words that follow those of the data.
    judged_by: str = ""

    # What a user can do if nothing tells the loss on held-out data.
    tells_loss_if = "describe it as a TrainingTask(model, optimizer, loss_fn, loader)"

    # What `validation` is called in messages.
    validation_name = "val_data"

    @property
    def validation(self) -> Any:
        """The loader of the validation data, of some tasks only in a session; None without any."""
        return self.val_data

    def remember(self) -> Callable[[], object]:
        """Save what else a training step counts; return a function that restores it."""
        return _nothing_else

    def held_out_loader(self, data: Any) -> Any:
        """Return batches of data that the user gave to judge trials by, in a session."""
        own_step = self.step is not None and not self.reads_itself
        return as_loader(data, BATCH_SIZE, None, own_step=own_step, name="held_out")

    def apply(self, lr: float, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Set `lr` on the first param group, and the others in their ratio to it.

        The ratio is that of the configured rates, even if a scheduler has changed them. A scheduler
        created afterwards starts at `lr`.

        Args:
            lr: a learning rate.
            optimizer: the optimizer to set; by default the task's own.

        Raises:
            ValueError: `lr` is not a rate, or the task made its optimizer itself, from a class or
                factory.
            TypeError: `optimizer` is not an optimizer.
        """
        rate = number(lr)
        if not is_rate(rate):
            raise ValueError(
                f"lr is {lr!r}; expected a positive, finite learning rate such as 1e-3"
            )
        if optimizer is None and self.optimizer_is_ours:
            raise ValueError(
                f"the {type(self.optimizer).__name__} was made for the sweep from a class or "
                "factory; give the optimizer that you train with: apply(optimizer)"
            )
        apply_rate(self.optimizer if optimizer is None else made_optimizer(optimizer), rate)

    @property
    def loaders(self) -> list[Any]:
        """The training and validation loaders, whose state is restored after a sweep."""
        return [data for data in (self.data, self.val_data) if data is not None]

    @property
    def batch_size(self) -> int | None:
        """Samples in a batch; None if the loader does not say."""
        return batch_size_of(self.data)


def no_ranks() -> None:
    """Do nothing: the `sync_ranks` of a single process."""


def _nothing_else() -> None:
    """Restore nothing: model, optimizers and loaders are all that a step changes."""


def _ready_optimizer(optimizer: Any, model: nn.Module, loss_fn: Any) -> torch.optim.Optimizer:
    trainable = [p for p in model.parameters() if p.requires_grad]
    own = list(model.parameters())
    if isinstance(loss_fn, nn.Module):
        trainable += [p for p in loss_fn.parameters() if p.requires_grad]
        own += list(loss_fn.parameters())
    if not own:
        raise ValueError(
            f"model {type(model).__name__} has no parameter; keep its layers in attributes of "
            "their own or in an nn.ModuleList, since a module does not find those in a plain list"
        )
    trains_beside = is_optimizer(optimizer) and any(
        p.requires_grad for group in optimizer.param_groups for p in group["params"]
    )
    if not trainable and not trains_beside:
        raise ValueError(
            f"model {type(model).__name__} has no trainable parameter ({len(own)} in all); "
            "set requires_grad = True on those to train"
        )
    ready: Any = optimizer
    if not is_optimizer(optimizer):
        if not callable(optimizer):
            raise not_an_optimizer(optimizer)
        ready = made_by(optimizer, trainable)
        if not is_optimizer(ready):
            raise TypeError(f"optimizer returned {a_kind(ready)}; expected a torch.optim.Optimizer")
    ready = unwrapped(ready)
    refuse_without_rate(ready)
    known = {id(p) for p in own}
    swept = [p for group in ready.param_groups for p in group["params"]]
    # Of a frozen model a prompt, an image or an adapter in hooks is trained.
    if trainable and not any(id(p) in known for p in swept):
        raise ValueError(
            f"optimizer {type(ready).__name__} holds {len(swept)} parameters, none of them "
            f"the model's; make it from model.parameters() of this {type(model).__name__}"
        )
    if not any(p.requires_grad for p in swept):
        raise ValueError(
            f"no trainable parameter: optimizer {type(ready).__name__} holds {len(swept)}, "
            "all with requires_grad = False"
        )
    refuse_undefined_ratios(ready)
    made: torch.optim.Optimizer = ready
    return made


def _numbered(device: torch.device | str) -> torch.device:
    """Return `device` with its index: "cuda" becomes the current device, such as "cuda:0"."""
    try:
        named = torch.device(device)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(
            f"device is {device!r}; expected a torch device, such as 'cpu' or 'cuda:0'"
        ) from error
    try:
        return torch.empty(0, device=named).device
    except Exception as error:  # of a build without such a device, an AssertionError
        why = str(error).partition("\n")[0].partition(". ")[0]
        raise ValueError(
            f"device is {device!r}, which cannot be used here: {why}. Leave it out to sweep where "
            "the model is"
        ) from error


def _device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def refuse_no_norm(norm: Any) -> None:
    """Refuse a `clip_grad_norm` that is no positive number.

    Raises:
        TypeError, ValueError: it is none.
    """
    if not number(norm) > 0:
        is_number = isinstance(norm, float) or not math.isnan(number(norm))
        wrong = ValueError if is_number else TypeError
        raise wrong(f"clip_grad_norm is {norm!r}; expected a positive norm, or None")


def _refuse_without_values(model: nn.Module) -> None:
    parameters = list(model.parameters())
    if parameters and all(parameter.is_meta for parameter in parameters):
        raise ValueError(
            "the model is on the device 'meta', without values; expected a model with weights: "
            "load them, or make it outside of torch.device('meta') and of init_empty_weights()"
        )
