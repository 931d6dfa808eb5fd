"""What a Trainer's step may read of the planned training: its steps, epochs and scheduler."""

import copy
import math
import sys
from contextlib import suppress
from typing import Any

import torch


def plan_training(private: Any, loader: Any) -> int:
    """Set the planned steps and epochs in a private Trainer's state as `train` does.

    Returns:
        The steps of an epoch; 0 if neither the data nor the arguments tell the length.
    """
    state, args = private.state, private.args
    try:
        of_epoch = max(1, math.ceil(len(loader) / args.gradient_accumulation_steps))
    except TypeError:
        of_epoch = 0
    steps = args.max_steps if args.max_steps > 0 else math.ceil(args.num_train_epochs * of_epoch)
    if steps <= 0:
        return 0
    state.max_steps = steps
    state.num_train_epochs = math.ceil(steps / of_epoch) if of_epoch else sys.maxsize
    state.train_batch_size = private._train_batch_size
    state.is_local_process_zero = private.is_local_process_zero()
    state.is_world_process_zero = private.is_world_process_zero()
    if hasattr(state, "compute_steps"):
        state.compute_steps(args, steps)
    return of_epoch or int(steps)


def give_scheduler(private: Any, optimizer: torch.optim.Optimizer) -> None:
    """Give a private Trainer a scheduler to read, which moves no rate of the sweep.

    Args:
        private: the Trainer; the scheduler that a user gave it is copied.
        optimizer: the optimizer; the scheduler has a copy of it that nothing steps.
    """
    with suppress(Exception):  # most steps read no scheduler
        apart = copy.copy(optimizer)
        apart.param_groups = [dict(group) for group in optimizer.param_groups]
        given = private.lr_scheduler
        if given is not None and not getattr(private, "_created_lr_scheduler", False):
            private.lr_scheduler = copy.copy(given)
            private.lr_scheduler.optimizer = apart
            return
        private.lr_scheduler = None  # that of an earlier training
        prepared, private.optimizer = private.optimizer, apart
        try:
            private.create_scheduler(private.state.max_steps)
        finally:
            private.optimizer = prepared
