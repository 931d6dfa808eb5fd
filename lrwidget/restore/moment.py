"""The state of a training at one moment, to go back to: before the first step, or amid a trial."""

from collections.abc import Callable
from typing import Any

from lrwidget.backup.backup import Backup
from lrwidget.backup.interrupts import finish
from lrwidget.backup.objects import ObjectState
from lrwidget.backup.reach import moves_on_its_own
from lrwidget.backup.rng import remember_shared
from lrwidget.backup.tensor_copies import Place
from lrwidget.restore.captured import data_of, has_state, outside_of
from lrwidget.restore.loaders_and_also import trained_by
from lrwidget.restore.snapshot import SweepTarget, objects_of
from lrwidget.task.optimizers import with_inner
from lrwidget.task.task import TrainingTask


class Moment:
    """All that training changes: what is trained, loaders, `also`, the random generators.

    It holds a copy of weights and states where `snapshot` of the task says.

    Args:
        task: what is trained.
        parts: the objects of it that are trained: the task's own or copies.
    """

    def __init__(self, task: TrainingTask, parts: SweepTarget) -> None:
        self._task = task
        self._place: Place = "device" if task.snapshot == "auto" else task.snapshot
        self._put_generators_back = remember_shared()
        self._passes = getattr(task, "_passes", None)
        self._trained = _backup_of(task, parts, self._place)
        trained = trained_by(task)
        loaders = ObjectState(task.loaders, leave=trained, as_data=True)
        used = [task.step, task.loss_fn, task.metric, task.evaluate]
        functions = ObjectState(used, leave=trained, as_data=True, only=moves_on_its_own)
        self._beside: list[ObjectState | Backup] = [loaders, functions]
        if task.also:
            also = ObjectState(task.also, leave=trained)
            self._beside += [also, Backup(also.tensors, self._place)]

    @property
    def nbytes(self) -> int:
        """Bytes of the copies."""
        return self._trained.nbytes

    def goes_over_to(self, parts: SweepTarget) -> None:
        """Hold the state of other objects instead: `parts` are now the task's own."""
        self._trained.close()
        self._trained = _backup_of(self._task, parts, self._place)

    def restore(self) -> None:
        """Go back to this moment; may be called again."""
        steps: list[Callable[[], object]] = [self._trained.restore]
        steps += [state.restore for state in self._beside]
        finish([*steps, self._put_generators_back])
        if self._passes is not None:
            vars(self._task)["_passes"] = self._passes

    def close(self) -> None:
        """Let go of the copies."""
        for state in (self._trained, *self._beside):
            state.close()


def _backup_of(task: TrainingTask, parts: SweepTarget, place: Place) -> Backup:
    optimizers = with_inner((parts.optimizer, *parts.other_optimizers))
    subjects: list[Any] = [parts.model, *optimizers]
    subjects += objects_of(parts.loss_fn, parts.metric, parts.scaler)
    subjects += filter(has_state, outside_of(task))
    return Backup(subjects, place, leave=data_of(task))
