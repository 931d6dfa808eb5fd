"""The private Trainer of a sweep: the settings of the given one, and nothing that logs or saves."""

import copy
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from math import inf
from typing import Any

from lrwidget.adapters.left_out import changing, warn_of_left_out
from lrwidget.adapters.lightning_strategy import strategy_like
from lrwidget.backup.origin import module_of

PACKAGES = ("lightning", "pytorch_lightning")

# The events of callbacks that come before an optimizer step.
BEFORE_STEP = (
    "on_train_batch_start",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)


def package_of(module: Any) -> str:
    """Return the name of the Lightning package that a module is of."""
    names = (module_of(base) for base in type(module).__mro__ if base.__name__ == "LightningModule")
    return "pytorch_lightning" if next(names).startswith("pytorch_") else "lightning.pytorch"


def has_loader(pl: Any, module: Any) -> bool:
    """Return whether a module has a training loader of its own."""
    return type(module).train_dataloader is not pl.LightningModule.train_dataloader


def private_trainer(package: str, given: Any, watch: Any, folder: str | None = None) -> Any:
    """Return a Trainer with the settings of the given one and a single callback.

    Args:
        package: `lightning.pytorch` or `pytorch_lightning`.
        given: the user's Trainer; None for Lightning's defaults.
        watch: the callback.
        folder: what the module is told to be the folder of its logger.
    """
    pl = sys.modules[package]
    dummy = import_module(f"{package}.loggers.logger").DummyLogger
    silent = type("SilentLogger", (dummy,), {"save_dir": folder, "log_dir": folder})
    options: dict[str, Any] = {
        "callbacks": [watch],
        # A module may use self.logger: give it one that discards everything.
        "logger": silent(),
        "log_every_n_steps": 1,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "limit_val_batches": 0,
        "devices": 1,
    }
    if given is not None:
        device = given.strategy.root_device
        options |= {
            "accelerator": device.type,
            "devices": 1 if device.index is None else [device.index],
            "use_distributed_sampler": given._accelerator_connector.use_distributed_sampler,
            # A copy, since its loss scaler is state of the given Trainer.
            "plugins": [copy.deepcopy(given.precision_plugin)],
            "logger": [silent() for _ in given.loggers] or False,
            "accumulate_grad_batches": _accumulation(pl, given),
            "gradient_clip_val": given.gradient_clip_val,
            "gradient_clip_algorithm": given.gradient_clip_algorithm,
            "limit_train_batches": given.limit_train_batches,
            "overfit_batches": given.overfit_batches,
            "reload_dataloaders_every_n_epochs": given.reload_dataloaders_every_n_epochs,
            "max_epochs": given.max_epochs,
            "max_steps": given.max_steps,
            "detect_anomaly": given._detect_anomaly,
            "default_root_dir": given.default_root_dir,
        }
        if given.world_size > 1:
            options |= {
                "strategy": strategy_like(given.strategy),
                "devices": given.strategy.num_processes,
                "num_nodes": given.num_nodes,
                "sync_batchnorm": given.strategy._layer_sync is not None,
            }
    return pl.Trainer(**options)


def refuse_without_parameters(module: Any) -> None:
    """Refuse a module that has not made its layers yet.

    Raises:
        ValueError: it has no parameters.
    """
    if next(module.parameters(), None) is None:
        raise ValueError(
            f"{type(module).__name__} has no parameters yet; if a hook makes its layers, call that "
            "before the sweep: module.configure_model(), or module.setup('fit')"
        )


def callbacks_of(pl: Any, given: Any, module: Any) -> list[Any]:
    """Return the callbacks of a fit: those of the Trainer, and those that the module configures."""
    callbacks = list(getattr(given, "callbacks", ()))
    if type(module).configure_callbacks is not pl.LightningModule.configure_callbacks:
        own = module.configure_callbacks()
        callbacks += own if isinstance(own, Sequence) else [own]
    return callbacks


def warn_of_left_out_callbacks(pl: Any, given: Any, module: Any) -> None:
    """Warn that callbacks which choose or change what is trained take no part in a sweep."""
    callbacks: Sequence[Any] = getattr(given, "callbacks", ())
    with suppress(Exception):  # the module may need a trainer for that
        callbacks = callbacks_of(pl, given, module)
    kinds = tuple(
        kind
        for name in ("BaseFinetuning", "ModelPruning")
        if (kind := getattr(pl.callbacks, name, None)) is not None
    )
    names = [type(one).__name__ for one in callbacks if isinstance(one, kinds)]
    if names:
        warnings.warn(
            f"{' and '.join(names)} of the Trainer takes no part in a sweep, as no callback does, "
            "so what it freezes or prunes is trained here; set requires_grad = False on those "
            "parameters in the module, and give the sweep that module",
            stacklevel=7,
        )
    others = [one for one in callbacks if not isinstance(one, kinds)]
    warn_of_left_out(changing(others, BEFORE_STEP, PACKAGES), "Trainer", 7)


def request_loaders(package: str, trainer: Any, private: Callable[[Any], Any]) -> Any:
    """Request the training loaders, which the Trainer then reads and tells; return them.

    Args:
        package: `lightning.pytorch` or `pytorch_lightning`.
        trainer: the private Trainer.
        private: makes a private copy of a loader.
    """
    connectors = import_module(f"{package}.trainer.connectors.data_connector")
    training = import_module(f"{package}.trainer.states").RunningStage.TRAINING
    source = trainer.fit_loop._data_source
    loaders = _combined_anew(package, connectors._request_dataloader(source))
    for number, loader in enumerate(loaders.flattened):
        # With a distributed sampler this is a new loader, otherwise the user's own.
        prepared = trainer._data_connector._prepare_dataloader(loader, shuffle=True, mode=training)
        loaders.flattened[number] = private(prepared)
    source.instance = loaders
    _show_loaders(package, trainer, loaders)
    return loaders


def _combined_anew(package: str, loaders: Any) -> Any:
    """Return a CombinedLoader of training loaders; the user's own keeps its loaders."""
    combined = import_module(f"{package}.utilities.combined_loader").CombinedLoader
    if isinstance(loaders, combined):
        return combined(loaders.iterables, loaders._mode)
    return combined(loaders, "max_size_cycle")


def _show_loaders(package: str, trainer: Any, loaders: Any) -> None:
    """Let the Trainer tell its training loaders and their length before they are read."""
    loop, modes = trainer.fit_loop, import_module(f"{package}.utilities.combined_loader")
    fit = import_module(f"{package}.loops.fit_loop")
    lengths = [inf if (n := fit.sized_len(one)) is None else n for one in loaders.flattened]
    stage, most = trainer.state.stage, trainer.limit_train_batches
    limits = [fit._parse_num_batches(stage, length, most) for length in lengths]
    loop._combined_loader = loaders
    loop.max_batches = modes._SUPPORTED_MODES[loaders._mode]["fn"](limits) if limits else 0


def end_fetching(trainer: Any) -> None:
    """End the present pass over the training data."""
    fetcher = trainer.fit_loop._data_fetcher
    if fetcher is not None and fetcher.iterator is not None:
        fetcher.teardown()


def _accumulation(pl: Any, trainer: Any) -> int:
    """Return the number of accumulated batches; with a scheduler that of the first epoch."""
    for callback in trainer.callbacks:
        if isinstance(callback, pl.callbacks.GradientAccumulationScheduler):
            return int(callback.get_accumulate_grad_batches(0))
    return int(trainer.accumulate_grad_batches)
