"""Check which Lightning Trainers of several processes can be swept, and copy their strategy."""

import copy
import os
from importlib import import_module
from typing import Any

import torch.distributed as dist

from lrwidget.process_group.processes import process_count


def refuse_processes(package: str, trainer: Any) -> None:
    """Refuse a Trainer that does not use DDP, or would start its processes itself.

    Args:
        package: `lightning.pytorch` or `pytorch_lightning`.
        trainer: a Trainer, or None.

    Raises:
        ValueError: the Trainer cannot be swept; the message says how to launch it.
    """
    there = max(process_count(), _launched_by_torchrun())
    wanted = 1 if trainer is None else trainer.world_size
    if wanted == there == 1:
        return
    if wanted == 1:
        given = "no trainer is given" if trainer is None else "the trainer runs on one device"
        raise ValueError(
            f"{given}, and this is one of {there} processes, which would not train together; give "
            "a trainer over all of them, such as "
            f"Trainer(devices={there}, strategy='ddp') on one machine"
        )
    strategies = import_module(f"{package}.strategies")
    strategy = trainer.strategy
    name = type(strategy).__name__
    # DeepSpeedStrategy is a subclass of DDPStrategy, but shards the model.
    spreads = isinstance(strategy, strategies.DeepSpeedStrategy)
    if spreads or not isinstance(strategy, strategies.DDPStrategy):
        raise ValueError(
            f"the trainer's strategy is {name} over {wanted} processes; the sweep follows "
            "strategy='ddp', where every process has the whole model; give a trainer with that, "
            "or with devices=1. A model that is too large for one process can be swept without a "
            "trainer: shard it with torch's fully_shard, and give lr_find the model, its "
            "optimizer, loss_fn and loader"
        )
    outside = strategy.cluster_environment.creates_processes_externally
    if getattr(strategy, "_start_method", "popen") != "popen" or not outside:
        raise ValueError(
            f"the trainer would start its {wanted} processes itself, and only in fit; start them "
            f"before: torchrun --nproc-per-node {strategy.num_processes} script.py, with "
            f"Trainer(devices={strategy.num_processes}, strategy='ddp'); or give a trainer with "
            "devices=1"
        )


def strategy_like(given: Any) -> Any:
    """Return a copy of a DDP strategy without the references to its Trainer and model."""
    made = copy.copy(given)
    for name in ("_accelerator", "_precision_plugin", "_checkpoint_io", "_model_averager"):
        setattr(made, name, None)
    made._lightning_module = made._model = made._launcher = None
    made._optimizers, made._lightning_optimizers, made.lr_scheduler_configs = [], [], []
    made._pl_static_graph_delay_done = False
    return made


def _launched_by_torchrun() -> int:
    """Return the number of processes that torchrun launched; 1 without torchrun."""
    if dist.is_available() and dist.is_torchelastic_launched():
        return int(os.environ["WORLD_SIZE"])
    return 1
