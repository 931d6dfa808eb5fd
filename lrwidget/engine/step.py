"""One training step, as the task describes it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from lrwidget.data.batches import to_device
from lrwidget.engine.step_watch import StepWatch
from lrwidget.engine.whole_step import WholeStep, does_all
from lrwidget.restore.snapshot import SweepTarget
from lrwidget.task.loss import outputs_and_loss
from lrwidget.task.loss_value import loss_of, mean_of, recorded_loss, trainable_loss
from lrwidget.task.optimizers import in_words, needs_closure, refuse_without_rate, with_modes
from lrwidget.task.rates import rate_groups, set_rate
from lrwidget.task.task import TrainingTask

if TYPE_CHECKING:
    from lrwidget.process_group.team import Team

_AS_IT_IS = nullcontext()


class TrainingStep:
    """Trains the parts of a task, one optimizer step a call.

    Args:
        task: what to do in a step.
        parts: what to do it with: the task's own objects or copies of them.
        team: the processes that take the step together; None where there is one.

    Attributes:
        pending: the last call took no optimizer step yet, since the task's own step takes one every
            few calls; the next call goes on.
        skipped: the loss of the last call, where the scaler skipped its step.
    """

    def __init__(self, task: TrainingTask, parts: SweepTarget, team: "Team | None" = None) -> None:
        self._team = team
        self._task = task
        self._parts = parts
        self._model = parts.model
        self._optimizer = parts.optimizer
        self._device = task.device
        self.pending = False
        self.skipped: torch.Tensor | None = None
        self._checked = False
        # Whether the optimizer has stepped once: an error in its first step is put into words.
        self._proven = False
        self._watch = StepWatch(parts.optimizer)
        self._calls = WholeStep(self._watch, parts.scaler, task.accumulate_in_step, task.device)
        # Told of the first loss, before its backward pass.
        self.on_first_loss: Callable[[torch.Tensor], object] = lambda _: None
        # Whether the task's own step does all of it; None until its first call has shown it.
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
        # Again: another framework makes its optimizer only when a sweep begins.
        refuse_without_rate(parts.optimizer)
        optimizers = [parts.optimizer]
        if task.others == "follow":
            optimizers += parts.other_optimizers
        self._groups = rate_groups(optimizers)
        trained = [parts.optimizer, *parts.other_optimizers]
        self._params = [p for o in trained for g in o.param_groups for p in g["params"]]
        # Of a step of a small network, asking for each of these at each step took a twentieth.
        self._plain = False
        self._becomes_plain = not (
            task.step is not None
            or self._needs_closure
            or task.accumulate > 1
            or task.autocast
            or parts.scaler is not None
            or task.clip_grad_norm is not None
            or parts.other_optimizers
            or team is not None
        )
        self._scale = 0.0
        if not parts.model.training:
            parts.model.train()
        self._with_modes = with_modes(trained)
        for optimizer in self._with_modes:
            optimizer.train()

    def open(self) -> None:
        """Begin to notice whether the optimizer steps."""
        self._watch.open()
        self._scale = self._telling_scale()

    def close(self) -> None:
        """Leave nothing on the optimizer."""
        self._watch.close()

    def set_rate(self, lr: float) -> None:
        """Set the first param group to `lr`, the others in their ratio to it."""
        set_rate(self._groups, lr)
        if not self._plain:
            self._watch.expect(self._groups[0][0])

    def __call__(self, batches: Sequence[Any]) -> torch.Tensor | None:
        """Take one optimizer step.

        Args:
            batches: the micro-batches of the step, as the loader gave them.

        Returns:
            The mean loss of the batches before the step, a detached scalar that is not waited for;
            None where the scaler skipped the step, or none was taken yet (`pending`).
        """
        if self._plain:
            return self._plain_step(to_device(batches[0], self._device))
        batches = [to_device(batch, self._device) for batch in batches]
        self.pending, self.skipped = False, None
        self._watch.begin(looks=self._looks())
        if self._task.step is not None:
            return self._custom(self._task.step, batches)
        if self._needs_closure:
            return self._with_closure(lambda: self._losses(batches), len(batches))
        self._zero_grad()
        loss = self._accumulate(self._losses(batches), len(batches))
        updated = self._update()
        if self._becomes_plain:
            self._plain = True
            self._watch.close()
        return self._unless_skipped(loss, updated)

    def _looks(self) -> bool:
        """Whether it is to be seen if the parameters move in this call."""
        if self._task.step is None or self._steps_itself is False:
            return False
        return self._steps_itself is None or self._task.accumulate_in_step is None

    def _unless_skipped(self, loss: torch.Tensor | None, updated: bool) -> torch.Tensor | None:
        if updated:
            return loss
        self.skipped = loss
        return None

    def _plain_step(self, batch: Any) -> torch.Tensor:
        """The usual step; the same as below, less the questions whose answers are known."""
        self._zero_grad()
        _, _, loss = outputs_and_loss(self._model, self._parts.loss_fn, batch)
        loss = self._check(loss)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return loss.detach()

    def evaluate(self, batches: Sequence[Any]) -> dict[str, float]:
        """The mean loss, and metric, over validation batches in eval mode, without gradients."""
        modes = [(module, module.training) for module in self._model.modules()]
        # Their way there and back is not exact, and to validate is not to train.
        held = [(p, p.detach().clone()) for p in self._params] if self._with_modes else []
        losses, metrics = [], []
        try:
            self._model.eval()
            for optimizer in self._with_modes:
                optimizer.eval()
            with torch.no_grad(), self._autocast():
                for given in batches:
                    batch = to_device(given, self._device)
                    if self._task.evaluate is not None:
                        losses.append(recorded_loss(self._task.evaluate(batch)))
                        if self._parts.metric is None:
                            continue
                    output, target, loss = outputs_and_loss(self._model, self._parts.loss_fn, batch)
                    if self._task.evaluate is None:
                        losses.append(loss_of(loss))
                    if self._parts.metric is not None:
                        metrics.append(self._parts.metric(output, target))
        except Exception as error:
            if self._task.step is not None and self._task.evaluate is None:
                error.add_note(
                    "This was val_data, which is measured with the model and loss_fn, not with "
                    f"step{'; loss_fn is None' if self._parts.loss_fn is None else ''}; or give "
                    "evaluate=, which measures in its place."
                )
            raise
        finally:
            for optimizer in self._with_modes:
                optimizer.train()
            for parameter, value in held:
                parameter.data.copy_(value)
            for module, training in modes:
                module.training = training
        # Read after the last batch: an accelerator is waited for once, not once a batch.
        row = {"val_loss": sum(map(float, losses)) / len(losses)}
        if metrics:
            row["metric"] = sum(map(float, metrics)) / len(metrics)
        return row

    def _losses(self, batches: Sequence[Any]) -> Iterator[torch.Tensor]:
        for batch in batches:
            with self._autocast():
                _, _, loss = outputs_and_loss(self._model, self._parts.loss_fn, batch)
            yield self._check(loss)

    def _accumulate(self, losses: Iterator[torch.Tensor], count: int) -> torch.Tensor:
        """Add up the gradients of the mean of `count` losses; returns the mean, detached."""
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
            if not _zeroes_as_usual(optimizer):
                optimizer.zero_grad()
                continue
            # What zero_grad does, less its entry for the profiler, which takes ten times as long.
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.grad = None

    def _update(self) -> bool:
        """Clip and step; False where the scaler found infinite gradients and skipped the step."""
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
        return self._took_the_step()

    def _took_the_step(self) -> bool:
        """Whether the optimizer stepped, so far as it and the scale tell."""
        before, self._scale = self._scale, self._telling_scale()
        called = self._watch.called or not self._watch.hears
        return called and self._scale >= before

    def _telling_scale(self) -> float:
        """The scale of the losses, where only a fall of it tells that a step was skipped; else 0.

        A fused optimizer is called even when it then skips by itself. RemoteSource the scale is not
        asked: it is on the device, and asking waits for it.
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
        before = self._telling_scale() if self._steps_itself is not False else 0.0
        self._calls.begin()
        if self._steps_itself is None:
            with self._autocast():
                self._steps_itself, loss = does_all(step, batches[0], self._params, self._watch)
            made.append(loss)
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
                with self._autocast():
                    loss = step(batch)
                yield loss

        if self._steps_itself:
            outcome, mean = self._calls.take(losses(), lambda: self._telling_scale() < before)
            self.pending = outcome == "pending"
            return self._unless_skipped(mean, outcome == "stepped")
        if self._needs_closure:
            return self._with_closure(lambda: map(self._check, losses()), len(batches))
        # Not before the step but after ours below: a step of its own may accumulate over calls. The
        # first one finds no gradients, since a task with a step is swept in place, with them set
        # aside.
        try:
            found = [self._accumulate(iter([self._check(loss)]), 1) for loss in losses()]
        except RuntimeError as error:
            if "a second time" in str(error):
                error.add_note(
                    "In its first call step only returned the loss, so the rest is done for it; "
                    "here it has run backward itself: let it do the same in every call"
                )
            raise
        if len(batches) > 1:
            for p in self._params:
                if p.grad is not None:
                    p.grad.div_(len(batches))
        updated = self._update()
        self._zero_grad()
        return self._unless_skipped(mean_of(found), updated)

    def _autocast(self) -> AbstractContextManager[Any]:
        wanted = self._task.autocast
        if wanted is None or wanted is False:
            return _AS_IT_IS
        dtype = wanted if isinstance(wanted, torch.dtype) else None
        return torch.autocast(self._device.type, dtype=dtype)

    def _check(self, loss: Any) -> torch.Tensor:
        """`loss` as a scalar tensor with a graph, or an error that says what it is instead."""
        if self._checked and isinstance(loss, torch.Tensor):
            return loss if loss.dim() == 0 else loss.reshape(())
        checked = trainable_loss(loss)
        self._checked = True
        self.on_first_loss(checked)
        return checked


def _agreed(losses: Iterator[torch.Tensor], team: "Team") -> Iterator[torch.Tensor]:
    """The losses, each once every rank has its own: none waits in backward for one that failed."""
    for loss in losses:
        team.exchange()
        yield loss


def _zeroes_as_usual(optimizer: torch.optim.Optimizer) -> bool:
    """Whether `zero_grad` is torch's own: neither a subclass's nor put on the object."""
    return type(optimizer).zero_grad is torch.optim.Optimizer.zero_grad and "zero_grad" not in vars(
        optimizer
    )
