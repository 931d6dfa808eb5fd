"""Take the state before a sweep, put it back however the sweep ends.

Two ways. Where model and optimizer can be deep-copied together, the copy is swept and the user's
own objects are never touched. Otherwise (a task with a step of its own, hooks, compiled or
distributed models, a loss function that uses the model from outside, views of one storage, an
object in `also=` that shares something with it, or an explicit `snapshot=`) the model itself is
swept and restored from a backup. Both leave the random generators, what the loaders hold and what
`also=` names as they were.
"""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn

from lrwidget.backup import Backup
from lrwidget.beside import put_back_beside, shared_with_also
from lrwidget.copying import NotCopied, copy_together
from lrwidget.rng import remember_generators, seed_generators
from lrwidget.task import TrainingTask


@dataclasses.dataclass(slots=True)
class Parts:
    """What a sweep trains: the task's own objects, or copies of them."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    other_optimizers: list[torch.optim.Optimizer]
    loss_fn: Any
    scaler: Any
    metric: Any
    ran_on: Literal["copy", "model"]
    why: str


@contextmanager
def prepared(task: TrainingTask, seed: int | None) -> Iterator[Parts]:
    """What to sweep; when the block ends everything is as before, bit for bit.

    Args:
        task: what is trained.
        seed: for all random generators; None goes on from their present state.
    """
    with put_back_beside(task) as generators, _trained_on(task, seed, generators) as parts:
        yield parts


@contextmanager
def _trained_on(task: TrainingTask, seed: int | None, generators: list[Any]) -> Iterator[Parts]:
    backup: Backup | None = None
    put_generators_back = remember_generators()
    try:
        parts = _copy_of(task)
        if isinstance(parts, NotCopied):
            backup = _backup_of(task)
            backup.set_gradients_aside()
            parts = _originals(task, str(parts))
        if seed is not None:
            seed_generators(seed, generators)
        with torch.enable_grad():
            yield parts
    finally:
        # To the end, even when KeyboardInterrupt comes in the middle; then it is let through.
        interrupt: KeyboardInterrupt | None = None
        while True:
            try:
                if backup is not None:
                    backup.restore()
                put_generators_back()
                if backup is not None:
                    backup.close()
                break
            except KeyboardInterrupt as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt


def _copy_of(task: TrainingTask) -> Parts | NotCopied:
    if task.snapshot != "auto":
        return NotCopied(f"snapshot={task.snapshot!r} was asked for")
    if task.also and (name := shared_with_also(task)):
        return NotCopied(f"it shares a {name} with what also= names, which a copy would leave")
    try:
        copies = copy_together(task)
    except NotCopied as why_not:
        return why_not
    if task.device != next(task.model.parameters()).device:
        copies["model"].to(task.device)
        if isinstance(copies["loss_fn"], nn.Module):
            copies["loss_fn"].to(task.device)
        _state_to(copies["optimizer"], task.device)
    copies["other_optimizers"] = list(copies["other_optimizers"])
    return Parts(**copies, ran_on="copy", why="")


def _state_to(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Move an optimizer's state after its parameters (they move in place, it does not)."""
    for state in optimizer.state.values():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.dim() > 0:
                state[name] = value.to(device)


def _originals(task: TrainingTask, why: str) -> Parts:
    return Parts(
        task.model,
        task.optimizer,
        list(task.other_optimizers),
        task.loss_fn,
        task.scaler,
        task.metric,
        "model",
        why,
    )


def _backup_of(task: TrainingTask) -> Backup:
    here = next(task.model.parameters()).device
    if task.device != here:
        raise ValueError(
            f"device is {task.device} and the model, which is swept in place, is on {here}; "
            f"move it with model.to({str(task.device)!r}) before making its optimizer"
        )
    place = "device" if task.snapshot == "auto" else task.snapshot
    subjects = [task.model, task.optimizer, *task.other_optimizers]
    subjects += [part for part in (task.loss_fn, task.metric) if isinstance(part, nn.Module)]
    if task.scaler is not None:
        subjects.append(task.scaler)
    return Backup(subjects, place)
