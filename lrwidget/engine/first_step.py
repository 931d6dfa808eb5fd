"""The first step of a sweep of copies, repeated in place if the copies turn out to be invalid."""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from lrwidget.backup.rng import remember_shared
from lrwidget.data.copies import deep_copied
from lrwidget.engine.step import TrainingStep
from lrwidget.records.table import RecordsTable
from lrwidget.restore.copy_checks import NotCopied
from lrwidget.restore.snapshot import SweepTarget, where_it_ran
from lrwidget.task.task import TrainingTask

if TYPE_CHECKING:
    from lrwidget.process_group.team import Team


def beginning(
    task: TrainingTask, parts: SweepTarget, team: "Team | None", records: RecordsTable
) -> "TrainingStep | FirstStep":
    """Return the training step of `parts`, which can begin again in place until they are proven."""
    if parts.proof is None:
        return TrainingStep(task, parts, team)
    return FirstStep(task, parts, team, records)


class FirstStep:
    """A `TrainingStep` of copies that falls back to the task's own objects if its first call fails.

    The random numbers and changes of the failed call are undone first, so that the sweep continues
    as if it had been in place from the beginning. Any error causes the fallback, since an invalid
    copy may lack an attribute of the model; if the model fails too, its error is raised.
    """

    def __init__(
        self, task: TrainingTask, parts: SweepTarget, team: "Team | None", records: RecordsTable
    ) -> None:
        self._task, self._parts, self._team, self._records = task, parts, team, records
        self._step = TrainingStep(task, parts, team)
        self._opened = False
        self._lr = 0.0
        self._held_out: Sequence[Any] = ()
        self._extra: dict[str, float] = {}
        self._put_generators_back = remember_shared()
        # Ranks must step together, and on another device there is no model to fall back to.
        own_device = next(task.model.parameters()).device
        self._excuses = Exception if team is None and own_device == task.device else NotCopied

    def open(self) -> None:
        """Begin to watch the optimizer."""
        self._opened = True
        self._step.open()

    def close(self) -> None:
        """Stop watching the optimizer, and remove all hooks from it."""
        self._step.close()

    @property
    def proven(self) -> TrainingStep:
        """The step itself; only after the first call."""
        return self._step

    @property
    def skipped(self) -> torch.Tensor | None:
        """The loss of a step that the scaler skipped in the last call."""
        return self._step.skipped

    def set_rate(self, lr: float) -> None:
        """Set the rates; see `TrainingStep.set_rate`."""
        self._lr = lr
        self._step.set_rate(lr)

    def evaluate(self, batches: Sequence[Any]) -> dict[str, float]:
        """Measure on validation batches; see `TrainingStep.evaluate`."""
        if self._parts.proof is None:
            return self._step.evaluate(batches)
        self._put_generators_back = remember_shared()
        try:
            self._extra = self._step.evaluate(batches)
        except self._excuses as error:
            why = _in_words(error)
        else:
            self._held_out = batches
            return self._extra
        self._begin_in_place(why)
        return self._step.evaluate(batches)

    def __call__(self, batches: Sequence[Any]) -> torch.Tensor | None:
        """Take one optimizer step; see `TrainingStep.__call__`."""
        if self._parts.proof is None:
            return self._step(batches)
        again = batches
        if self._task.device.type == "cpu":  # on another device the step gets copies anyway
            with contextlib.suppress(Exception):  # batches may not be copyable
                again = deep_copied(batches)
        put_generators_back = remember_shared()
        self._step.on_first_loss = self._parts.proof.of_loss
        self._parts.proof.begin()
        try:
            loss = self._step(batches)
            self._parts.proof.of_step()
        except self._excuses as error:
            why = _in_words(error)
        else:
            self._parts.proof.close()
            self._parts.proof = None
            return loss
        self._begin_in_place(why)
        if self._held_out:
            self._extra.update(self._step.evaluate(self._held_out))
        put_generators_back()
        self._step.set_rate(self._lr)
        return self._step(again)

    def _begin_in_place(self, why: str) -> None:
        self._put_generators_back()
        self._parts.begin_in_place(self._parts, why)
        self._records.meta.update(where_it_ran(self._parts))
        self._step.close()
        self._step = TrainingStep(self._task, self._parts, self._team)
        if self._opened:
            self._step.open()


def _in_words(error: Exception) -> str:
    if isinstance(error, NotCopied):
        return str(error)
    first, *_ = str(error).splitlines() or [""]
    return f"its copy failed in its first step ({type(error).__name__}: {first})"
