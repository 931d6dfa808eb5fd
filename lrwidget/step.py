"""One training step, as the task describes it."""

import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.hooks import RemovableHandle

from lrwidget.batches import to_device
from lrwidget.forward import outputs_and_loss
from lrwidget.snapshot import Parts
from lrwidget.task import TrainingTask, rate_groups, set_rate

if TYPE_CHECKING:
    from lrwidget.distributed.team import Team

_AS_IT_IS = nullcontext()


class TrainingStep:
    """Trains the parts of a task, one optimizer step a call.

    Args:
        task: what to do in a step.
        parts: what to do it with: the task's own objects or copies of them.
        team: the processes that take the step together; None where there is one.
    """

    def __init__(self, task: TrainingTask, parts: Parts, team: "Team | None" = None) -> None:
        self._team = team
        self._task = task
        self._parts = parts
        self._model = parts.model
        self._optimizer = parts.optimizer
        self._device = task.device
        self._stepped = False
        self._checked = False
        # Told of the first loss, before its backward pass.
        self.on_first_loss: Callable[[torch.Tensor], object] = lambda _: None
        # Whether the task's own step does all of it; None until its first call has shown it.
        self._steps_itself: bool | None = None
        self._needs_closure = _needs_closure(parts.optimizer)
        if self._needs_closure and parts.scaler is not None:
            raise ValueError(
                f"{type(parts.optimizer).__name__} evaluates the loss in a closure, which a "
                "GradScaler cannot follow; leave scaler out"
            )
        optimizers = [parts.optimizer]
        if task.others == "follow":
            optimizers += parts.other_optimizers
        self._groups = rate_groups(optimizers)
        trained = [parts.optimizer, *parts.other_optimizers]
        self._params = [p for o in trained for g in o.param_groups for p in g["params"]]
        # Of a step of a small network, asking for each of these at each step took a twentieth.
        self._plain = not (
            task.step is not None
            or self._needs_closure
            or task.accumulate > 1
            or task.autocast
            or parts.scaler is not None
            or task.clip_grad_norm is not None
            or parts.other_optimizers
            or team is not None
        )
        if not parts.model.training:
            parts.model.train()

    def watch_optimizer(self) -> Any:
        """Begin to notice whether the optimizer steps; returns the handle that ends it."""
        if self._plain:  # it does
            return RemovableHandle(OrderedDict())

        def stepped(*_: Any) -> None:
            self._stepped = True

        return self._optimizer.register_step_post_hook(stepped)

    def set_rate(self, lr: float) -> None:
        """Set the first param group to `lr`, the others in their ratio to it."""
        set_rate(self._groups, lr)

    def __call__(self, batches: Sequence[Any]) -> torch.Tensor | None:
        """Take one optimizer step.

        Args:
            batches: the micro-batches of the step, as the loader gave them.

        Returns:
            The mean loss of the batches before the step, a detached scalar that is not waited for;
            None where the scaler skipped the step.
        """
        if self._plain:
            return self._plain_step(to_device(batches[0], self._device))
        batches = [to_device(batch, self._device) for batch in batches]
        self._stepped = False
        if self._task.step is not None:
            return self._custom(self._task.step, batches)
        if self._needs_closure:
            return self._with_closure(batches)
        self._zero_grad()
        loss = self._accumulate(self._losses(batches), len(batches))
        return loss if self._update() else None

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
        self._model.eval()
        losses, metrics = [], []
        try:
            with torch.no_grad(), self._autocast():
                for batch in batches:
                    output, target, loss = outputs_and_loss(
                        self._model, self._parts.loss_fn, to_device(batch, self._device)
                    )
                    losses.append(loss)
                    if self._parts.metric is not None:
                        metrics.append(self._parts.metric(output, target))
        finally:
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
        if scaler is None:
            for optimizer in optimizers:
                optimizer.step()
            return True
        before = self._telling_scale()
        for optimizer in optimizers:
            scaler.step(optimizer)
        scaler.update()
        return self._stepped and self._telling_scale() >= before

    def _telling_scale(self) -> float:
        """The scale of the losses, where only a fall of it tells that a step was skipped; else 0.

        A fused optimizer is called even when it then skips by itself. Elsewhere the scale is not
        asked: it is on the device, and asking waits for it.
        """
        scaler = self._parts.scaler
        skips_itself = getattr(self._optimizer, "_step_supports_amp_scaling", False)
        return scaler.get_scale() if scaler is not None and skips_itself else 0.0

    def _with_closure(self, batches: Sequence[Any]) -> torch.Tensor:
        first: list[torch.Tensor] = []

        def closure() -> torch.Tensor:
            self._optimizer.zero_grad()
            loss = self._accumulate(self._losses(batches), len(batches))
            if self._task.clip_grad_norm is not None:
                torch.nn.utils.clip_grad_norm_(self._params, self._task.clip_grad_norm)
            first.append(loss)
            return loss

        self._optimizer.step(closure)  # type: ignore[arg-type]  # LBFGS takes float() of it
        return first[0]

    def _custom(self, step: Callable[[Any], Any], batches: Sequence[Any]) -> torch.Tensor | None:
        # Not before the step but after ours below: a step of its own may accumulate over calls. The
        # first one finds no gradients, since a task with a step is swept in place, with them set
        # aside.
        losses: list[torch.Tensor] = []
        before = self._telling_scale()
        for batch in batches:
            with self._autocast():
                first = self._steps_itself is None
                loss = self._first_call(step, batch) if first else step(batch)
            if self._steps_itself:
                # Where it ran backward and yet the optimizer did not step, its scaler skipped it.
                losses.append(torch.as_tensor(loss).detach().reshape(()))
            else:
                losses.append(self._accumulate(iter([self._check(loss)]), 1))
        mean = torch.stack(losses).mean() if len(losses) > 1 else losses[0]
        if self._steps_itself:
            return mean if self._stepped and self._telling_scale() >= before else None
        if len(batches) > 1:
            for p in self._params:
                if p.grad is not None:
                    p.grad.div_(len(batches))
        updated = self._update()
        self._zero_grad()
        return mean if updated else None

    def _first_call(self, step: Callable[[Any], Any], batch: Any) -> Any:
        """Call the task's own step and see whether it does the whole of it: whether backward ran.

        The gradients do not tell, since the step may have zeroed them again; nor does the
        optimizer, since a scaler may have skipped its step.
        """
        ran: list[bool] = []
        hooks = [
            parameter.register_post_accumulate_grad_hook(lambda _: ran.append(True))
            for parameter in self._params
            if parameter.requires_grad
        ]
        try:
            loss = step(batch)
        finally:
            for hook in hooks:
                hook.remove()
        with_gradients = any(parameter.grad is not None for parameter in self._params)
        self._steps_itself = self._stepped or bool(ran) or with_gradients
        return loss

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
        if not isinstance(loss, torch.Tensor):
            raise TypeError(
                f"the loss is {loss!r}, a {type(loss).__name__}; expected a scalar tensor that "
                "requires grad (return the tensor, not loss.item())"
            )
        if loss.numel() != 1:
            raise ValueError(
                f"the loss has the shape {tuple(loss.shape)}; expected a scalar: "
                "take its mean, or use reduction='mean' in the loss function"
            )
        if not loss.requires_grad:
            raise ValueError(
                "the loss does not require grad, so no gradient reaches the model; remove "
                ".detach(), .item() or torch.no_grad() on the way from the parameters to the loss"
            )
        self._checked = True
        self.on_first_loss(loss)
        return loss.reshape(())


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


def _needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Whether `optimizer.step` cannot be called without a closure (LBFGS)."""
    parameter = inspect.signature(type(optimizer).step).parameters.get("closure")
    return parameter is not None and parameter.default is inspect.Parameter.empty
