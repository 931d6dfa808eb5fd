"""The private Trainer of a sweep: the settings of the given one, and nothing that logs or saves."""

import copy
import sys
import warnings
from importlib import import_module
from typing import Any

from lrwidget.adapters.lightning_strategy import strategy_like


def private_trainer(package: str, given: Any, watch: Any) -> Any:
    """Return a Trainer with the settings of the given one and a single callback.

    Args:
        package: `lightning.pytorch` or `pytorch_lightning`.
        given: the user's Trainer; None for Lightning's defaults.
        watch: the callback.
    """
    pl = sys.modules[package]
    loggers = import_module(f"{package}.loggers.logger")
    options: dict[str, Any] = {
        "callbacks": [watch],
        # A module may use self.logger: give it one that discards everything.
        "logger": loggers.DummyLogger(),
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
            "logger": loggers.DummyLogger() if given.loggers else False,
            "accumulate_grad_batches": _accumulation(pl, given),
            "gradient_clip_val": given.gradient_clip_val,
            "gradient_clip_algorithm": given.gradient_clip_algorithm,
            "limit_train_batches": given.limit_train_batches,
            "overfit_batches": given.overfit_batches,
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


def warn_of_freezing(pl: Any, given: Any) -> None:
    """Warn that callbacks which choose the trained parameters take no part in a sweep."""
    kinds = tuple(
        kind
        for name in ("BaseFinetuning", "ModelPruning")
        if (kind := getattr(pl.callbacks, name, None)) is not None
    )
    names = [
        type(one).__name__ for one in getattr(given, "callbacks", ()) if isinstance(one, kinds)
    ]
    if names:
        warnings.warn(
            f"{' and '.join(names)} of the Trainer takes no part in a sweep, as no callback does, "
            "so what it freezes or prunes is trained here; set requires_grad = False on those "
            "parameters in the module, and give the sweep that module",
            stacklevel=3,
        )


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
