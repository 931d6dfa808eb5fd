"""One training step of a task."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from lrwidget.data.batches import to_device
from lrwidget.engine.direct_step import DirectStep
from lrwidget.engine.evaluation import Evaluation, autocast_of
from lrwidget.engine.step_watch import StepWatch
from lrwidget.engine.whole_step import WholeStep, does_all
from lrwidget.restore.snapshot import SweepTarget
from lrwidget.task.ended_iterator import ended_iterator
from lrwidget.task.loss import outputs_and_loss
from lrwidget.task.loss_value import mean_of, trainable_loss
from lrwidget.task.mends import Mend
from lrwidget.task.optimizers import (
    has_only_accumulated,
    in_words,
    may_accumulate,
    needs_closure,
    refuse_maximizing,
    refuse_without_rate,
    zeroes_as_usual,
)
from lrwidget.task.rates import (
    PresentGroups,
    added_groups,
    configured_rate,
    rate_groups,
    set_rate,
)
from lrwidget.task.task import TrainingTask

if TYPE_CHECKING:
    from lrwidget.process_group.team import Team

_AS_IT_IS = nullcontext()


class TrainingStep:
    """Trains the sweep target of a task, one optimizer step for each call.

    Args:
        task: describes the step.
        parts: the objects to train: the task's own or copies of them.
        team: the processes that step together; None for a single process.

    Attributes:
        skipped: the loss of the last call if the scaler skipped its step, else None.
    """

    def __init__(self, task: TrainingTask, parts: SweepTarget, team: "Team | None" = None) -> None:
        self._team = team
        self._task = task
        self._parts = parts
        self._model = parts.model
        self._optimizer = parts.optimizer
        self._device = task.device
        self.skipped: torch.Tensor | None = None
        self._checked = False
        # Losses of the calls in which the optimizer only accumulated.
        self._accumulated: list[torch.Tensor] = []
        # Whether the optimizer has stepped once: an error in its first step is explained.
        self._proven = False
        self._watch = StepWatch(parts.optimizer)
        self._calls = WholeStep(self._watch, parts.scaler, task.accumulate_in_step, task.device)
        # Called with the first loss, before its backward pass.
        self.on_first_loss: Callable[[torch.Tensor], object] = lambda _: None
        # Whether the custom step takes the optimizer step itself; None before its first call.
        self._steps_itself: bool | None = None
        self._needs_closure = needs_closure(parts.optimizer)
        if self._needs_closure and parts.scaler is not None:
            raise ValueError(
                f"{type(parts.optimizer).__name__} evaluates the loss in a closure, which a "
                "GradScaler cannot follow; leave scaler out"
            )
        if self._needs_closure and parts.other_optimizers:
            raise ValueError(
                f"{type(parts.optimizer).__name__} evaluates the loss several times in a step, so "
                "with which gradients other_optimizers step is not said; step all of them in a "
                "step of your own, and leave other_optimizers out"
            )
        # Checked again, since another framework creates its optimizer only when a sweep begins.
        refuse_without_rate(parts.optimizer)
        if task.reads_itself:
            refuse_maximizing(parts.optimizer)
        optimizers = [parts.optimizer]
        if task.others == "follow":
            optimizers += parts.other_optimizers
        self._groups = rate_groups(optimizers)
        self._present_groups = PresentGroups(optimizers)
        self._known = len(parts.optimizer.param_groups)
        self._configured = float(configured_rate(parts.optimizer.param_groups[0]))
        trained = [parts.optimizer, *parts.other_optimizers]
        self._params = [p for o in trained for g in o.param_groups for p in g["params"]]
        # Testing these conditions in each step took a twentieth of the step of a small network.
        self._plain = False
        self._direct_step = DirectStep(parts.optimizer)
        self._becomes_plain = not (
            task.step is not None
            or self._needs_closure
            or task.accumulate > 1
            or task.autocast
            or parts.scaler is not None
            or task.clip_grad_norm is not None
            or parts.other_optimizers
            or team is not None
            or may_accumulate(parts.optimizer)
        )
        self._scale = 0.0
        self._evaluation = Evaluation(task, parts, self._params, team)

    def open(self) -> None:
        """Begin to watch the optimizer."""
        self._watch.open()
        self._scale = self._skip_indicating_scale()

    def close(self) -> None:
        """Stop watching the optimizer, and remove all hooks from it."""
        self._watch.close()

    def set_rate(self, lr: float) -> None:
        """Set the first param group to `lr` and the others in their ratio to it."""
        self._groups = self._present_groups(self._groups)
        if len(self._optimizer.param_groups) > self._known:  # layers that are trained from now on
            self._groups += added_groups(self._optimizer, self._known, self._configured)
            added = self._optimizer.param_groups[self._known :]
            self._params += [p for group in added for p in group["params"]]
            self._known += len(added)
        set_rate(self._groups, lr)
        if not self._plain:
            self._watch.expect(self._groups[0][0])

    def __call__(self, batches: Sequence[Any]) -> torch.Tensor | None:
        """Take one optimizer step.

        Args:
            batches: the micro-batches of the step, as the loader yields them.

        Returns:
            The mean loss of the batches before the step, a detached scalar on the device; None if
            the scaler skipped the step (`skipped`), or none was taken yet, because the custom step
            takes one every few calls or the optimizer only accumulated: the next call continues it.
        """
        if self._plain:
            return self._plain_step(to_device(batches[0], self._device))
        batches = [to_device(batch, self._device) for batch in batches]
        self.skipped = None
        self._watch.begin(looks=self._compares_params())
        loss = self._watched_step(batches)
        self._watch.refuse_idle()
        if self._becomes_plain and self._watch.trains:
            self._plain = True
            self._watch.close()
        return loss

    def _watched_step(self, batches: Sequence[Any]) -> torch.Tensor | None:
        if self._task.step is not None:
            return self._custom(self._task.step, batches)
        if self._needs_closure:
            return self._with_closure(lambda: self._losses(batches), len(batches))
        self._zero_grad()
        with _noted(_OF_FABRIC):
            loss = self._accumulate(self._losses(batches), len(batches))
        return self._of_row(loss, self._update())

    def _of_row(self, loss: torch.Tensor, updated: bool) -> torch.Tensor | None:
        """Return the loss of a row, to which the calls count in which the optimizer only
        accumulated; None before its last call, and if the scaler skipped the step."""
        # Of several processes all end a row with the same call.
        if self._team is None and has_only_accumulated(self._optimizer):
            self._accumulated.append(loss)
            return None
        loss, self._accumulated = mean_of([*self._accumulated, loss]), []
        return self._unless_skipped(loss, updated)

    def _compares_params(self) -> bool:
        """Return whether the watch must compare the parameters before and after this call."""
        if self._task.step is None or self._steps_itself is False:
            return False
        return self._steps_itself is None or self._task.accumulate_in_step is None

    def _unless_skipped(self, loss: torch.Tensor | None, updated: bool) -> torch.Tensor | None:
        if updated:
            return loss
        self.skipped = loss
        return None

    def _plain_step(self, batch: Any) -> torch.Tensor:
        """Take the usual step, the same as below without the conditions that are known to fail."""
        self._zero_grad()
        _, _, loss = outputs_and_loss(self._model, self._parts.loss_fn, batch)
        loss = self._check(loss)
        loss.backward()  # type: ignore[no-untyped-call]
        self._direct_step()
        return loss.detach()

    def evaluate(self, batches: Sequence[Any]) -> dict[str, float]:
        """Return mean loss and metric over validation samples; see `Evaluation`."""
        return self._evaluation(batches)

    def _losses(self, batches: Sequence[Any]) -> Iterator[torch.Tensor]:
        for batch in batches:
            with autocast_of(self._task):
                _, _, loss = outputs_and_loss(self._model, self._parts.loss_fn, batch)
            yield self._check(loss)

    def _accumulate(self, losses: Iterator[torch.Tensor], count: int) -> torch.Tensor:
        """Accumulate the gradients of the mean of `count` losses; return the mean, detached."""
        total: torch.Tensor | None = None
        for loss in losses if self._team is None else _agreed(losses, self._team):
            part = loss / count if count > 1 else loss
            scaled = part if self._parts.scaler is None else self._parts.scaler.scale(part)
            scaled.backward()
            total = part.detach() if total is None else total + part.detach()
        assert total is not None
        return total

    def _zero_grad(self) -> None:
        for optimizer in (self._optimizer, *self._parts.other_optimizers):
            if not zeroes_as_usual(optimizer):
                optimizer.zero_grad()
                continue
            # The same as zero_grad without its profiler entry, which takes ten times as long.
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.grad = None

    def _update(self) -> bool:
        """Clip and step; return False if the scaler skipped the step for infinite gradients."""
        scaler, clip = self._parts.scaler, self._task.clip_grad_norm
        optimizers = (self._optimizer, *self._parts.other_optimizers)
        if clip is not None:
            if scaler is not None:
                for optimizer in optimizers:
                    scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(self._params, clip)
        for optimizer in optimizers:
            with _AS_IT_IS if self._proven else in_words(optimizer):
                optimizer.step() if scaler is None else scaler.step(optimizer)
        self._proven = True
        if scaler is None:
            return True
        scaler.update()
        return self._optimizer_stepped()

    def _optimizer_stepped(self) -> bool:
        """Return whether the optimizer stepped, as far as its hooks and the scale show."""
        before, self._scale = self._scale, self._skip_indicating_scale()
        called = self._watch.called or not self._watch.hears
        return called and self._scale >= before

    def _skip_indicating_scale(self) -> float:
        """Return the loss scale if only its decrease shows that a step was skipped; else 0.

        A fused optimizer is called even when it then skips the step itself. For other optimizers
        the scale is not read, since reading it synchronizes with the device.
        """
        scaler = self._parts.scaler
        skips_itself = getattr(self._optimizer, "_step_supports_amp_scaling", False)
        skips_itself = skips_itself or not self._watch.hears
        return scaler.get_scale() if scaler is not None and skips_itself else 0.0

    def _with_closure(
        self, losses: Callable[[], Iterator[torch.Tensor]], count: int
    ) -> torch.Tensor:
        first: list[torch.Tensor] = []

        def closure() -> torch.Tensor:
            self._optimizer.zero_grad()
            loss = self._accumulate(losses(), count)
            if self._task.clip_grad_norm is not None:
                torch.nn.utils.clip_grad_norm_(self._params, self._task.clip_grad_norm)
            first.append(loss)
            return loss

        self._optimizer.step(closure)  # type: ignore[arg-type]  # LBFGS takes float() of it
        return first[0]

    def _custom(self, step: Callable[[Any], Any], batches: Sequence[Any]) -> torch.Tensor | None:
        made: list[Any] = []
        before = self._skip_indicating_scale() if self._steps_itself is not False else 0.0
        self._calls.begin()
        if self._steps_itself is None:
            with autocast_of(self._task):
                self._steps_itself, loss = does_all(step, batches[0], self._params, self._watch)
            made.append(loss)
            if not self._steps_itself:
                refuse_maximizing(self._optimizer)
            if not self._steps_itself and self._task.accumulate_in_step is not None:
                raise ValueError(
                    "accumulate_in_step is for a step that calls the optimizer itself, and this "
                    "one only computes the loss; give accumulate= instead"
                )

        def losses() -> Iterator[Any]:
            for number, batch in enumerate(batches):
                if number == 0 and made:
                    yield made.pop()
                    continue
                try:
                    with autocast_of(self._task):
                        loss = step(batch)
                except StopIteration as error:
                    raise ended_iterator(error, "step") from error
                yield loss

        if self._steps_itself:
            outcome, mean = self._calls.take(
                losses(), lambda: self._skip_indicating_scale() < before
            )
            return self._unless_skipped(mean, outcome == "stepped")
        if self._needs_closure:
            return self._with_closure(lambda: map(self._check, losses()), len(batches))
        # Gradients are zeroed after our update below, not before the step, since a custom step may
        # accumulate over calls. The first call finds none: a task with a custom step is swept in
        # place, with its gradients set aside.
        with _noted(_OF_OWN_STEP):
            found = [self._accumulate(iter([self._check(loss)]), 1) for loss in losses()]
        if len(batches) > 1:
            for p in self._params:
                if p.grad is not None:
                    p.grad.div_(len(batches))
        updated = self._update()
        self._zero_grad()
        return self._of_row(mean_of(found), updated)

    def _check(self, loss: Any) -> torch.Tensor:
        """Return `loss` as a scalar tensor with a graph, or raise as `trainable_loss` does."""
        if self._checked and isinstance(loss, torch.Tensor):
            return loss if loss.dim() == 0 else loss.reshape(())
        checked = trainable_loss(loss)
        self._checked = True
        self.on_first_loss(checked)
        return checked


@contextmanager
def _noted(notes: Mapping[str, str]) -> Iterator[None]:
    """Add a note to an error of a backward pass that is done for the user, by a sign in it."""
    try:
        yield
    except RuntimeError as error:
        for sign, note in notes.items():
            if sign in str(error):
                error.add_note(Mend(note))
        raise


_OF_FABRIC = {
    "fabric.backward": "Give TrainingTask(model, optimizer, data=loader, step=step) a step that "
    "calls fabric.backward(loss) and optimizer.step() itself, and returns the loss"
}
_OF_OWN_STEP = _OF_FABRIC | {
    "a second time": "In its first call step only returned the loss, so the rest is done for it; "
    "here it has run backward itself: let it do the same in every call"
}


def _agreed(losses: Iterator[torch.Tensor], team: "Team") -> Iterator[torch.Tensor]:
    """Yield each loss once all ranks have theirs: none then waits in backward for a failed one."""
    for loss in losses:
        team.exchange()
        yield loss
