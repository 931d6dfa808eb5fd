"""A training state to go back to: before the first step, or in the middle of a trial."""

from collections.abc import Callable
from typing import Any

from lrwidget.backup.backup import Backup
from lrwidget.backup.interrupts import finish
from lrwidget.backup.objects import ObjectState
from lrwidget.backup.reach import moves_on_its_own
from lrwidget.backup.rng import remember_shared
from lrwidget.backup.tensor_copies import Place
from lrwidget.backup.variables import Variables
from lrwidget.restore.captured import Captured, has_state
from lrwidget.restore.loaders_and_also import trained_by
from lrwidget.restore.snapshot import SweepTarget, objects_of
from lrwidget.task.optimizers import with_inner
from lrwidget.task.task import TrainingTask


class TrainingState:
    """A copy of all state that training changes.

    This is the state of the trained objects, the loaders, `also` and the random generators. The
    task's `snapshot` decides where the copies of weights and states are kept.

    Args:
        task: the task to train.
        parts: its trained objects: the task's own or copies.
    """

    def __init__(self, task: TrainingTask, parts: SweepTarget) -> None:
        self._task = task
        self._place: Place = "device" if task.snapshot == "auto" else task.snapshot
        self._put_generators_back = remember_shared()
        self._put_counters_back = task.remember()
        captured = Captured(task)
        self._trained = _backup_of(captured, parts, self._place)
        trained = trained_by(task)
        loaders = _state_of_loaders(task)
        used = [task.step, task.loss_fn, task.metric, task.evaluate]
        functions = ObjectState(used, leave=trained, as_data=True, only=moves_on_its_own)
        self._beside: list[ObjectState | Backup | Variables] = [
            *(loaders, functions, captured.variables_of_loaders(), captured.variables()),
            captured.arrays_of_loaders(trained),
        ]
        if task.also:
            also = ObjectState(task.also, leave=trained)
            self._beside += [also, Backup(also.tensors, self._place)]

    @property
    def nbytes(self) -> int:
        """Size of the copies in bytes."""
        return self._trained.nbytes

    def switch_to(self, parts: SweepTarget) -> None:
        """Copy the state of `parts` instead: these are now the task's own objects."""
        self._trained.close()
        self._trained = _backup_of(Captured(self._task), parts, self._place)

    def save_loaders(self) -> None:
        """Save the present state of the loaders instead."""
        before, self._beside[0] = self._beside[0], _state_of_loaders(self._task)
        before.close()

    def restore(self) -> None:
        """Restore this state; may be called again."""
        steps: list[Callable[[], object]] = [self._trained.restore]
        steps += [state.restore for state in self._beside]
        finish([*steps, self._put_counters_back, self._put_generators_back])

    def close(self) -> None:
        """Release the copies."""
        for state in (self._trained, *self._beside):
            state.close()


def _state_of_loaders(task: TrainingTask) -> ObjectState:
    return ObjectState(task.loaders, leave=trained_by(task), as_data=True)


def _backup_of(captured: Captured, parts: SweepTarget, place: Place) -> Backup:
    optimizers = with_inner((parts.optimizer, *parts.other_optimizers))
    subjects: list[Any] = [parts.model, *optimizers, *captured.task.trained_beside]
    subjects += objects_of(parts.loss_fn, parts.metric, parts.scaler)
    subjects += filter(has_state, captured.outside)
    return Backup(subjects, place, leave=captured.data)
