"""Measure held-out batches with a LightningModule: by `validation_step`, or else `training_step`.

A `validation_step` may return its loss or only log it. Logged values go to a record in place of the
Trainer's results, which exist only in its own loops.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch

# Names of the logged loss, the usual ones first. Any other name with "loss" in it comes after them.
LOSS_NAMES = ("val_loss", "valid_loss", "validation_loss", "val/loss", "valid/loss", "loss")


class LightningMeasure:
    """Computes the loss of single batches in eval mode.

    Args:
        package: `lightning.pytorch` or `pytorch_lightning`.
        module: the LightningModule.
        given: the user's Trainer, or None.
    """

    def __init__(self, package: str, module: Any, given: Any) -> None:
        self._package = package
        self._module = module
        base = import_module(package).LightningModule
        kind = type(module)
        self._validates = kind.validation_step is not base.validation_step
        # A step that optimizes manually trains when it is called.
        self._trains_only = not module.automatic_optimization
        self._monitored = list(_monitored(given))

    @property
    def possible(self) -> bool:
        """Whether the module has a step that computes a loss without training."""
        return self._validates or not self._trains_only

    def __call__(self, trainer: Any, batch: Any, source: int, number: int, sources: int) -> Any:
        """Return the loss of a batch.

        Args:
            trainer: the private Trainer, set up for the module.
            batch: the batch, as a loader yields it.
            source: number of its loader.
            number: number of the batch in the loader.
            sources: number of validation loaders.

        Raises:
            ValueError: no step of the module tells a loss.
        """
        call = import_module(f"{self._package}.trainer.call")
        batch = trainer.precision_plugin.convert_input(batch)
        batch = self._module._on_before_batch_transfer(batch, dataloader_idx=source)
        batch = call._call_strategy_hook(trainer, "batch_to_device", batch, dataloader_idx=source)
        logged: dict[str, Any] = {}
        with _recorded(self._module, logged), _validating(trainer):
            if self._validates:
                more = [number] if self._takes_number("validation_step") else []
                more += [source] if sources > 1 else []
                self._module.on_validation_epoch_start()
                output = trainer.strategy.validation_step(batch, *more)
                loss = self._loss_in(output, logged)
                if loss is None:  # many modules collect the outputs and log their mean at the end
                    self._module.on_validation_epoch_end()
                    loss = self._loss_in(None, logged)
                if loss is not None:
                    return loss
            if not self._trains_only:
                more = [number] if self._takes_number("training_step") else []
                loss = self._loss_in(trainer.strategy.training_step(batch, *more), {})
                if loss is not None:
                    return loss
        raise ValueError(
            f"{type(self._module).__name__} tells no loss on held-out data: its validation_step "
            f"returned none and logged {sorted(logged) or 'nothing'}; return the loss, or "
            "self.log('val_loss', loss)"
        )

    def _takes_number(self, step: str) -> bool:
        signatures = import_module(f"{self._package}.utilities.signature_utils")
        function = getattr(self._module, step)
        return bool(signatures.is_param_in_hook_signature(function, "batch_idx", min_args=2))

    def _loss_in(self, output: Any, logged: Mapping[str, Any]) -> Any:
        if isinstance(output, Mapping):
            output = output.get("loss")
        if isinstance(output, torch.Tensor) and output.numel() == 1:
            return output.detach().reshape(())
        names = [*self._monitored, *LOSS_NAMES]
        names += sorted((name for name in logged if "loss" in name.lower()), key=len)
        return next((logged[name] for name in names if name in logged), None)


def validation_loaders(package: str, trainer: Any, given: Any) -> list[Any]:
    """Return the validation loaders of a module or datamodule, or those of the last fit.

    Args:
        package: `lightning.pytorch` or `pytorch_lightning`.
        trainer: the private Trainer, set up for the module.
        given: the user's Trainer, or None.
    """
    connectors = import_module(f"{package}.trainer.connectors.data_connector")
    source = trainer.fit_loop.epoch_loop.val_loop._data_source
    held: Any = connectors._request_dataloader(source) if source.is_defined() else None
    if held is None and given is not None:
        held = given.val_dataloaders
    if held is None:
        return []
    combined = import_module(f"{package}.utilities.combined_loader").CombinedLoader
    validating = import_module(f"{package}.trainer.states").RunningStage.VALIDATING
    prepare = trainer._data_connector._prepare_dataloader
    loaders = combined(held, "sequential").flattened
    return [prepare(loader, shuffle=False, mode=validating) for loader in loaders]


def progress_of(loop: Any) -> Iterator[Any]:
    """Yield the objects that count the steps of a loop and of the loops in it."""
    waiting, seen = [loop], {id(loop)}
    while waiting:
        for value in list(vars(waiting.pop()).values()):
            kinds = {base.__name__ for base in type(value).__mro__}
            if id(value) in seen or not kinds & {"_Loop", "_BaseProgress"}:
                continue
            seen.add(id(value))
            waiting.append(value)
            if "_BaseProgress" in kinds:
                yield value


def _monitored(given: Any) -> Iterator[str]:
    """Yield the values that callbacks of the user's Trainer minimize."""
    for callback in getattr(given, "callbacks", ()):
        name, mode = getattr(callback, "monitor", None), getattr(callback, "mode", None)
        if isinstance(name, str) and mode == "min":
            yield name


@contextmanager
def _validating(trainer: Any) -> Iterator[None]:
    stage = trainer.state.stage
    trainer.validating = True
    try:
        yield
    finally:
        trainer.state.stage = stage


@contextmanager
def _recorded(module: Any, logged: dict[str, Any]) -> Iterator[None]:
    """Record what the module logs in the block."""

    def log(name: str, value: Any, *_: Any, **__: Any) -> None:
        compute: Callable[[], Any] | None = getattr(value, "compute", None)
        value = value if compute is None else compute()
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            logged[name] = value.detach().reshape(())
        elif isinstance(value, int | float):
            logged[name] = value

    def log_dict(values: Mapping[str, Any], *_: Any, **__: Any) -> None:
        for name, value in values.items():
            log(name, value)

    own = vars(module)
    held = {name: own[name] for name in ("log", "log_dict") if name in own}
    own.update(log=log, log_dict=log_dict)
    try:
        yield
    finally:
        for name in ("log", "log_dict"):
            own.pop(name)
        own.update(held)
