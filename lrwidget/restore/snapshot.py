"""Take the state before a sweep, put it back however the sweep ends.

Two ways. Where model and optimizer can be deep-copied together, the copy is swept and the user's
own objects are never touched. Otherwise (a task with a step of its own, hooks, compiled or
distributed models, a loss function that uses the model from outside, views of one storage, an
object in `also=` that shares something with it, or an explicit `snapshot=`) the model itself is
swept and restored from a backup. Both leave the random generators, what the loaders hold and what
`also=` names as they were.
"""

import dataclasses
import functools
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn

from lrwidget.backup import walk
from lrwidget.backup.backup import Backup
from lrwidget.backup.interrupts import finish
from lrwidget.backup.rng import remember_generators, remember_shared, seed_generators
from lrwidget.backup.tensor_copies import Place
from lrwidget.restore.captured import data_of, has_state, outside_of
from lrwidget.restore.copy_proof import Proof
from lrwidget.restore.copying import NotCopied, copy_together
from lrwidget.restore.loaders_and_also import put_back_beside, shared_with_also
from lrwidget.task.optimizers import with_inner
from lrwidget.task.task import TrainingTask


@dataclasses.dataclass(slots=True)
class SweepTarget:
    """What a sweep trains: the task's own objects, or copies of them."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    other_optimizers: list[torch.optim.Optimizer]
    loss_fn: Any
    scaler: Any
    metric: Any
    ran_on: Literal["copy", "model"]
    why: str
    # Of a copy: what its first step has yet to prove, and how to go over to the task's own objects.
    proof: Proof | None = None
    begin_in_place: "Callable[[SweepTarget, str], None]" = lambda parts, why: None  # noqa: ARG005


def where_it_ran(parts: SweepTarget) -> dict[str, Any]:
    """What the records say of it: `ran_on`, and of a sweep in place `why_in_place`."""
    if parts.ran_on == "copy":
        return {"ran_on": "copy"}
    return {"ran_on": "model", "why_in_place": parts.why}


@contextmanager
def prepared(task: TrainingTask, seed: int | None, *, in_place: str = "") -> Iterator[SweepTarget]:
    """What to sweep; when the block ends everything is as before, bit for bit.

    Args:
        task: what is trained.
        seed: for all random generators; None goes on from their present state.
        in_place: why not to try a copy, where that is known; in words.
    """
    with (
        put_back_beside(task) as generators,
        _trained_on(task, seed, generators, in_place) as parts,
    ):
        yield parts


@contextmanager
def _trained_on(
    task: TrainingTask, seed: int | None, generators: list[Any], in_place: str
) -> Iterator[SweepTarget]:
    backups: list[Backup] = []
    put_generators_back = remember_generators()
    try:
        outside = outside_of(task)
        parts = NotCopied(in_place) if in_place else _copy_of(task, outside)
        if isinstance(parts, NotCopied):
            why, parts = str(parts), _originals(task)
            _go_in_place(task, outside, backups, parts, why)
        else:
            _watch_the_originals(task, outside, parts, backups)
        if seed is not None:
            seed_generators(seed, generators)
        with torch.enable_grad():
            yield parts
    finally:
        # To the end, even when KeyboardInterrupt comes in the middle; then it is let through.
        interrupt: KeyboardInterrupt | None = None
        while True:
            try:
                finish(
                    [backup.restore for backup in reversed(backups)]
                    + [put_generators_back]
                    + [backup.close for backup in backups]
                )
                break
            except KeyboardInterrupt as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt


def _go_in_place(
    task: TrainingTask, outside: list[Any], backups: list[Backup], parts: SweepTarget, why: str
) -> None:
    """Let `parts` be the task's own objects, which `backups` will put back."""
    for backup in reversed(backups):
        backup.restore()
    backups.append(_backup_of(task, outside))
    backups[-1].set_gradients_aside()
    own = _originals(task)
    for field in dataclasses.fields(SweepTarget):
        setattr(parts, field.name, getattr(own, field.name))
    parts.why = why


def _watch_the_originals(
    task: TrainingTask, outside: list[Any], parts: SweepTarget, backups: list[Backup]
) -> None:
    """Remember what a copy leaves as it is, so far as its first step or a function may change it.

    What functions use is no part of the copy, and is swept with it. Of the rest only the values of
    parameters are not kept: nothing but their optimizer changes them, and that is copied.
    """
    data = data_of(task)
    backups.append(Backup(filter(has_state, outside), _place(task), leave=data))
    backups[-1].set_gradients_aside()
    kept = Backup(
        [task.model, *objects_of(task.loss_fn, task.metric)],
        "device",
        without={id(p) for p in task.model.parameters()},
        leave=[*outside, *data],
    )
    backups.append(kept)
    optimizers = (parts.optimizer, *parts.other_optimizers)
    parts.proof = Proof(kept, [p for o in optimizers for g in o.param_groups for p in g["params"]])
    # Of no cycle, in which the copy would stay on its device until the next garbage collection.
    parts.begin_in_place = functools.partial(_go_in_place, task, outside, backups)


def _copy_of(task: TrainingTask, outside: list[Any]) -> SweepTarget | NotCopied:
    if task.snapshot != "auto":
        return NotCopied(f"snapshot={task.snapshot!r} was asked for")
    if task.also and (name := shared_with_also(task)):
        return NotCopied(f"it shares a {name} with what also= names, which a copy would leave")
    put_back = remember_shared()
    try:
        copies = copy_together(task, outside)
    except NotCopied as why_not:
        return why_not
    finally:
        put_back()  # a class that makes its copies itself may draw initial values
    if task.device != next(task.model.parameters()).device:
        copies["model"].to(task.device)
        if isinstance(copies["loss_fn"], nn.Module):
            copies["loss_fn"].to(task.device)
        for optimizer in with_inner([copies["optimizer"]]):
            _state_to(optimizer, task.device)
    copies["other_optimizers"] = list(copies["other_optimizers"])
    return SweepTarget(**copies, ran_on="copy", why="")


def _state_to(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Move an optimizer's state after its parameters (they move in place, it does not)."""
    # Counts of steps stay on the CPU, unless kernels read them.
    groups = [g for g in optimizer.param_groups if g.get("capturable") or g.get("fused")]
    with_counts = {parameter for group in groups for parameter in group["params"]}
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and (value.dim() > 0 or parameter in with_counts):
                state[name] = value.to(device)


def _originals(task: TrainingTask) -> SweepTarget:
    return SweepTarget(
        task.model,
        task.optimizer,
        list(task.other_optimizers),
        task.loss_fn,
        task.scaler,
        task.metric,
        "model",
        "",
    )


def _backup_of(task: TrainingTask, outside: list[Any]) -> Backup:
    here = next(task.model.parameters()).device
    if task.device != here:
        raise ValueError(
            f"device is {task.device} and the model, which is swept in place, is on {here}; "
            f"move it with model.to({str(task.device)!r}) before making its optimizer"
        )
    subjects = [task.model, *with_inner((task.optimizer, *task.other_optimizers))]
    subjects += objects_of(task.loss_fn, task.metric, task.scaler)
    subjects += filter(has_state, outside)
    return Backup(subjects, _place(task), leave=data_of(task))


def objects_of(*parts: Any) -> list[Any]:
    """The objects among the parts; of a method its object. What functions use is `outside`."""
    objects = [p.__self__ if isinstance(p, types.MethodType) else p for p in parts]
    return [p for p in objects if p is not None and not isinstance(p, walk.FUNCTIONS)]


def _place(task: TrainingTask) -> Place:
    return "device" if task.snapshot == "auto" else task.snapshot
