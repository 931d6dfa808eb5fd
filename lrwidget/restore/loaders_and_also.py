"""Restore what a sweep changes besides model and optimizers: loaders, and objects of `also=`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from lrwidget.backup.backup import Backup
from lrwidget.backup.interrupts import finish
from lrwidget.backup.objects import ObjectState, puts_back
from lrwidget.backup.reach import moves_on_its_own, reached
from lrwidget.backup.variables import Variables
from lrwidget.restore.captured import Captured, averages_among
from lrwidget.task.task import TrainingTask


@contextmanager
def restored_loaders_and_also(captured: Captured) -> Iterator[list[Any]]:
    """Restore loaders, the generators of functions, and `also=` objects when the block ends.

    Args:
        captured: what the task uses.

    Yields:
        The random generators that loaders and functions use, which the caller seeds.
    """
    task = captured.task
    kept: list[ObjectState | Backup | Variables] = []
    try:
        trained = trained_by(task)
        loaders = ObjectState(task.loaders, leave=trained, as_data=True)
        used = [task.step, task.loss_fn, task.metric, task.evaluate]
        functions = ObjectState(used, leave=trained, as_data=True, only=moves_on_its_own)
        kept += [loaders, functions]
        found = {id(g): g for g in (*loaders.generators, *functions.generators)}
        further = [g for g in captured.generators if id(g) not in found]
        kept += [ObjectState(further, leave=trained), captured.variables_of_loaders()]
        kept.append(captured.arrays_of_loaders(trained))
        generators = [*found.values(), *further]
        if task.also:
            averages = averages_among(reached(task.also), task.model)
            also = ObjectState([*task.also, *averages], leave=trained)
            place = "device" if task.snapshot == "auto" else task.snapshot
            tensors = Backup(also.tensors, place)
            kept += [also, tensors]
            tensors.set_gradients_aside()
        yield generators
    finally:
        # Repeated until complete after a KeyboardInterrupt, which is raised afterwards.
        interrupt: KeyboardInterrupt | None = None
        while True:
            try:
                finish([state.restore for state in kept] + [state.close for state in kept])
                break
            except KeyboardInterrupt as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt


def shared_with_also(task: TrainingTask) -> str | None:
    """Return the type name of an object that both `also=` and the training refer to, or None."""
    parts = [task.model, task.optimizer, *task.other_optimizers, task.scaler]
    # Functions are not followed: a copy shares them and what they use.
    found = reached([*parts, task.loss_fn, task.metric], functions=False)
    known = set(map(id, found))
    for part in reached(task.also):
        if id(part) in known and puts_back(part):
            return type(part).__name__
    return None


def trained_by(task: TrainingTask) -> set[int]:
    """Return the ids of the objects that the backup of model and optimizers restores."""
    modules = [part for part in (task.model, task.loss_fn) if isinstance(part, nn.Module)]
    found: list[Any] = [part for module in modules for part in module.modules()]
    found += [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]
    return {id(part) for part in (*found, task.optimizer, *task.other_optimizers)}
