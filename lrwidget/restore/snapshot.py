"""Save the state before a sweep, and restore it however the sweep ends.

If model and optimizer can be deep-copied together, the copy is swept and the user's objects stay
untouched. Otherwise the model itself is swept and restored from a backup: with a custom step,
hooks, compiled or distributed models, functions or data that use the model or its state from
outside, views of one storage, an object in `also=` that shares something with the model, or an
explicit `snapshot=`.
In both cases random generators, loaders and the objects of `also=` are restored, too.
"""

import dataclasses
import functools
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import nn

from lrwidget.backup import walk
from lrwidget.backup.backup import Backup
from lrwidget.backup.interrupts import finish
from lrwidget.backup.rng import remember_generators, remember_shared, seed_generators
from lrwidget.backup.tensor_copies import Place
from lrwidget.backup.variables import Variables
from lrwidget.restore.captured import Captured, has_state
from lrwidget.restore.copy_checks import NotCopied, Shared
from lrwidget.restore.copy_proof import Proof
from lrwidget.restore.copying import copy_together
from lrwidget.restore.loaders_and_also import restored_loaders_and_also, shared_with_also
from lrwidget.task.optimizers import with_inner
from lrwidget.task.task import TrainingTask
from lrwidget.text.articles import a


@dataclasses.dataclass(slots=True)
class SweepTarget:
    """The objects that a sweep trains: those of the task, or copies of them."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    other_optimizers: list[torch.optim.Optimizer]
    loss_fn: Any
    scaler: Any
    metric: Any
    ran_on: Literal["copy", "model"]
    why: str
    # For a copy: the check of its first step, and the function that switches to the originals.
    proof: Proof | None = None
    begin_in_place: "Callable[[SweepTarget, str], None]" = lambda target, why: None  # noqa: ARG005


def where_it_ran(target: SweepTarget) -> dict[str, Any]:
    """Return the metadata `ran_on` and, for a sweep in place, `why_in_place`."""
    if target.ran_on == "copy":
        return {"ran_on": "copy"}
    return {"ran_on": "model", "why_in_place": target.why}


@contextmanager
def prepared(task: TrainingTask, seed: int | None, *, in_place: str = "") -> Iterator[SweepTarget]:
    """Yield the target of a sweep; when the block ends everything is restored, bit for bit.

    Args:
        task: the task to sweep.
        seed: seed of all random generators; None continues from their present state.
        in_place: the reason to sweep the model itself; empty tries a copy first.
    """
    captured = Captured(task)
    with (
        _as_outside_of_contexts(task.device.type),
        restored_loaders_and_also(captured) as generators,
        _trained_on(captured, seed, generators, in_place) as target,
    ):
        yield target


@contextmanager
def _as_outside_of_contexts(device_type: str) -> Iterator[None]:
    """Let training work in a block of the user's that is not made for it.

    In inference mode no loss has gradients. An autocast block keeps the weights that it has cast
    until it ends, so that steps within it would all compute with the weights before the first.
    """
    cached = torch.is_autocast_cache_enabled()
    with torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext():
        try:
            if _autocasts(device_type):
                torch.set_autocast_cache_enabled(False)
            yield
        finally:
            torch.set_autocast_cache_enabled(cached)


def _autocasts(device_type: str) -> bool:
    """Return whether the present block autocasts on a type of device."""
    try:
        return torch.is_autocast_enabled(device_type)
    except RuntimeError:  # there is none for this type
        return False
    except TypeError:  # torch 2.3
        on_cpu = device_type == "cpu"
        return torch.is_autocast_cpu_enabled() if on_cpu else torch.is_autocast_enabled()


@contextmanager
def _trained_on(
    captured: Captured, seed: int | None, generators: list[Any], in_place: str
) -> Iterator[SweepTarget]:
    backups: list[Backup | Variables] = []
    put_generators_back = remember_generators()
    try:
        # First, since a sweep that begins again in place goes back to what is backed up here.
        if seed is not None:
            seed_generators(seed, generators)
        backups.append(captured.variables())
        copied = NotCopied(in_place) if in_place else _copy_of(captured)
        if isinstance(copied, NotCopied):
            target = _originals(captured.task)
            _switch_to_originals(captured, backups, target, str(copied))
        else:
            target, shared = copied
            _watch_the_originals(captured, target, shared, backups)
        with torch.enable_grad():
            yield target
    finally:
        # Repeated until complete after a KeyboardInterrupt, which is raised afterwards.
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


def _switch_to_originals(
    captured: Captured, backups: list[Backup | Variables], target: SweepTarget, why: str
) -> None:
    """Make the target the task's own objects, and add a backup of them to `backups`."""
    for backup in reversed(backups):
        backup.restore()
    backups.append(backup := _backup_of(captured))
    backup.set_gradients_aside()
    own = _originals(captured.task)
    for field in dataclasses.fields(SweepTarget):
        setattr(target, field.name, getattr(own, field.name))
    target.why = why


def _watch_the_originals(
    captured: Captured,
    target: SweepTarget,
    shared: Shared,
    backups: list[Backup | Variables],
) -> None:
    """Back up the objects that the sweep of a copy may change, and watch the originals.

    The objects that functions use are not copied, so the sweep changes them. Of the originals,
    the values of parameters are not backed up: only their optimizer changes them, and it is copied.
    """
    task, outside, data = captured.task, captured.outside, captured.data
    backups.append(used := Backup(filter(has_state, outside), _place(task), leave=data))
    used.set_gradients_aside()
    kept = Backup(
        [task.model, *objects_of(task.loss_fn, task.metric)],
        "device",
        without={id(p) for p in task.model.parameters()},
        leave=[*outside, *data, *shared.of_data],
    )
    backups.append(kept)
    optimizers = (target.optimizer, *target.other_optimizers)
    trained = [p for o in optimizers for g in o.param_groups for p in g["params"]]
    target.proof = Proof(kept, trained, shared)
    # A partial avoids a reference cycle, which would keep the copy until a garbage collection.
    target.begin_in_place = functools.partial(_switch_to_originals, captured, backups)


def _copy_of(captured: Captured) -> tuple[SweepTarget, Shared] | NotCopied:
    task = captured.task
    if task.snapshot != "auto":
        return NotCopied(f"snapshot={task.snapshot!r} was asked for")
    if task.also and (name := shared_with_also(task)):
        return NotCopied(f"it shares {a(name)} with what also= names, which a copy would leave")
    put_back = remember_shared()
    try:
        copies, shared = copy_together(captured)
    except NotCopied as why_not:
        # Without its traceback, whose frames lead back to who keeps it: a circle that holds all.
        return NotCopied(str(why_not))
    finally:
        put_back()  # a `__deepcopy__` may draw random initial values
    if task.device != next(task.model.parameters()).device:
        copies["model"].to(task.device)
        if isinstance(copies["loss_fn"], nn.Module):
            copies["loss_fn"].to(task.device)
        for optimizer in with_inner([copies["optimizer"]]):
            _state_to(optimizer, task.device)
    copies["other_optimizers"] = list(copies["other_optimizers"])
    return SweepTarget(**copies, ran_on="copy", why=""), shared


def _state_to(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Move the state of an optimizer to the device to which its parameters have moved."""
    # Step counts (0-dimensional) stay on the CPU unless the optimizer is capturable or fused.
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


def _backup_of(captured: Captured) -> Backup:
    task = captured.task
    here = next(task.model.parameters()).device
    if task.device != here:
        raise ValueError(
            f"device is {task.device} and the model, which is swept in place, is on {here}; "
            f"move it with model.to({str(task.device)!r}) before making its optimizer"
        )
    subjects = [task.model, *with_inner((task.optimizer, *task.other_optimizers))]
    subjects += objects_of(task.loss_fn, task.metric, task.scaler)
    subjects += filter(has_state, captured.outside)
    return Backup(subjects, _place(task), leave=captured.data)


def objects_of(*parts: Any) -> list[Any]:
    """Return the parts that are objects, and the object of a bound method; leave functions out."""
    objects = [p.__self__ if isinstance(p, types.MethodType) else p for p in parts]
    return [p for p in objects if p is not None and not isinstance(p, walk.FUNCTIONS)]


def _place(task: TrainingTask) -> Place:
    return "device" if task.snapshot == "auto" else task.snapshot
