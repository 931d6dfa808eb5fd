"""Measure held-out batches with the model of a task, and leave all as it was."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lrwidget.backup.rng import remember_shared
from lrwidget.backup.variables import Variables
from lrwidget.data.batches import to_device
from lrwidget.data.copies import Unharmed
from lrwidget.engine.modes import Modes
from lrwidget.engine.sample_mean import weighted_mean, weights_of
from lrwidget.process_group.processes import reshard
from lrwidget.restore.captured import modules_beside
from lrwidget.restore.snapshot import SweepTarget
from lrwidget.restore.step_state import is_ours
from lrwidget.task.ended_iterator import ended_iterator
from lrwidget.task.loss import outputs_and_loss
from lrwidget.task.loss_value import measured, recorded_loss
from lrwidget.task.optimizers import with_modes
from lrwidget.task.task import TrainingTask

if TYPE_CHECKING:
    from lrwidget.process_group.team import Team

_AS_IT_IS = nullcontext()


class Evaluation:
    """Measures mean loss and metric over samples, in eval mode without gradients.

    It also puts model and optimizers into the modes in which they train, where it is made.

    Args:
        task: describes how a batch is measured.
        parts: the objects that are trained: the task's own or copies of them.
        params: the parameters of the optimizers.
        team: the processes that measure together; None for a single process.
    """

    def __init__(
        self,
        task: TrainingTask,
        parts: SweepTarget,
        params: Sequence[torch.Tensor],
        team: "Team | None",
    ) -> None:
        self._task, self._parts, self._params, self._team = task, parts, params, team
        self._unharmed = Unharmed()
        self._modes = Modes(parts.model)
        self._modes.begin()
        # The modes of all modules that are put into evaluation mode; None before that.
        self._judged: list[Modes] | None = None
        self._with_modes = with_modes([parts.optimizer, *parts.other_optimizers])
        for optimizer in self._with_modes:
            optimizer.train()

    def __call__(self, batches: Sequence[Any]) -> dict[str, float]:
        """Return mean loss and metric over the samples of batches."""
        if self._judged is None:
            self._judged = [self._modes, *map(Modes, self._modules_beside())]
        present = [(modes, modes.present()) for modes in self._judged]
        # Optimizers that swap weights in eval mode do not restore them exactly.
        held = [(p, p.detach().clone()) for p in self._params] if self._with_modes else []
        # What a step counts, which may be what measures, and draws is of its training.
        put_generators_back = remember_shared()
        counts = Variables(f for f in self._functions() if f is not None and not is_ours(f))
        try:
            for modes, _ in present:
                modes.evaluate()
            for optimizer in self._with_modes:
                optimizer.eval()
            with torch.no_grad(), autocast_of(self._task):
                if self._task.evaluate_all is not None:
                    whole = self._task.evaluate_all(batches)
                    return {"val_loss": float(recorded_loss(whole, "evaluate"))}
                losses, metrics = self._measured(batches)
        except StopIteration as error:
            raise ended_iterator(error, "what measures a batch") from error
        except Exception as error:
            self._explain(error)
            raise
        finally:
            counts.restore()
            put_generators_back()
            for optimizer in self._with_modes:
                optimizer.train()
            for modes, before in reversed(present):
                modes.go_back(before)
            for parameter, value in held:
                parameter.data.copy_(value)
            reshard(self._parts.model)
        # Read after the last batch, so that an accelerator is synchronized once, not per batch.
        weights = weights_of(batches, self._parts.loss_fn)
        metric = {"metric": weighted_mean(metrics, weights)} if metrics else {}
        return {"val_loss": weighted_mean(losses, weights), **metric}

    def _measured(self, batches: Sequence[Any]) -> tuple[list[torch.Tensor], list[Any]]:
        """Return loss and metric of each batch; no metrics if the task has none."""
        task, parts = self._task, self._parts
        losses, metrics = [], []
        for given in self._unharmed(batches):
            batch = to_device(given, task.device)
            if task.evaluate is not None:
                losses.append(recorded_loss(task.evaluate(batch), "evaluate"))
                self._refuse_switching()
                if parts.metric is None:
                    continue
            output, target, loss = outputs_and_loss(parts.model, parts.loss_fn, batch)
            if task.evaluate is None:
                losses.append(recorded_loss(loss, "loss_fn"))
            if parts.metric is not None:
                metrics.append(measured(parts.metric, output, target))
        return losses, metrics

    def _explain(self, error: Exception) -> None:
        """Add notes on what differs from a step, which may be the cause of an error."""
        if "does not require grad" in str(error):
            error.add_note(
                "This was measured without gradients: where the model or the loss takes "
                "derivatives itself, put `with torch.enable_grad():` around that."
            )
        if self._task.step is not None and self._task.evaluate is None:
            error.add_note(
                "This was val_data, which is measured with the model and loss_fn, not with "
                f"step{'; loss_fn is None' if self._parts.loss_fn is None else ''}; or give "
                "evaluate=, which measures in its place."
            )

    def _refuse_switching(self) -> None:
        """Refuse a step that measures, too, and puts the model into training mode for that.

        An `evaluate` may do so when it has measured.
        """
        if self._task.evaluate == self._task.step and self._parts.model.training:
            raise ValueError(
                "step puts the model into training mode, in which held-out data would be measured "
                "with dropout and would move statistics; call model.train() outside of it"
            )

    def _modules_beside(self) -> list[nn.Module]:
        """Return the modules that take part beside the model, such as a decoder or a teacher."""
        if self._task.reads_itself:
            return []
        return modules_beside(self._parts.model, self._functions())

    def _functions(self) -> tuple[Any, ...]:
        return self._parts.loss_fn, self._task.step, self._task.evaluate


def autocast_of(task: TrainingTask) -> AbstractContextManager[Any]:
    """Return the context of a task's forward pass."""
    wanted = task.autocast
    if wanted is None or wanted is False:
        return _AS_IT_IS
    dtype = wanted if isinstance(wanted, torch.dtype) else None
    return torch.autocast(task.device.type, dtype=dtype)
