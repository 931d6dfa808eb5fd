"""Custom steps that step the optimizer themselves: which calls make up one optimizer step."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch

from lrwidget.engine.step_watch import StepWatch
from lrwidget.task.ended_iterator import ended_iterator
from lrwidget.task.loss_value import loss_of, mean_of, recorded_loss

# After this many calls without an optimizer step an error is raised.
MOST_CALLS = 64

Outcome = Literal["stepped", "skipped", "pending"]


class WholeStep:
    """Collects the losses of the calls that make up one optimizer step.

    Args:
        watch: detects whether the parameters were stepped.
        scaler: the scaler of the task, which may skip a step, or None.
        wanted: calls in one optimizer step; None detects them.
        device: device of the sweep.
    """

    def __init__(
        self, watch: StepWatch, scaler: Any, wanted: int | None, device: torch.device
    ) -> None:
        self._watch = watch
        self._scaler = scaler
        self._wanted = wanted
        self._losses: list[torch.Tensor] = []
        # Whether optimizer.step was called for this row, and the values of this for all rows.
        self._heard = False
        self._rows_heard: set[bool] = set()
        # Scaled to get the scale as a tensor: `get_scale` would synchronize with the device.
        self._one = self._before = torch.ones((), device=device)

    def begin(self) -> None:
        """Remember the scale before the calls, as a tensor."""
        if self._scaler is not None:
            self._before = self._scaler.scale(self._one)

    def take(
        self, losses: Iterable[Any], skipped_itself: Callable[[], bool]
    ) -> tuple[Outcome, torch.Tensor | None]:
        """Run calls of the step.

        Args:
            losses: an iterator that makes one call for each item and yields its return value.
            skipped_itself: returns whether the optimizer was called and skipped its step.

        Returns:
            The outcome, and the mean loss of the calls of this step; None while it is pending.

        Raises:
            TypeError, ValueError: a call returned no loss.
            RuntimeError: no optimizer step was taken in `MOST_CALLS` calls.
        """
        self._losses += [recorded_loss(loss) for loss in losses]
        self._heard |= self._watch.called
        if self._scaler is not None and self._skipped(skipped_itself):
            return "skipped", self._mean()
        if self._wanted is not None:
            done = len(self._losses) >= self._wanted
            if done:
                self._refuse_another_number()
        else:
            done = self._watch.moved()
            if not done and len(self._losses) >= MOST_CALLS:
                self._refuse_to_go_on()
                done = True
        return ("stepped", self._mean()) if done else ("pending", None)

    def _skipped(self, skipped_itself: Callable[[], bool]) -> bool:
        if self._watch.called:
            return skipped_itself()
        return bool(self._scaler.get_scale() < self._before.item())

    def _mean(self) -> torch.Tensor:
        mean = mean_of(self._losses)
        self._losses, self._heard = [], False
        return mean

    def _refuse_another_number(self) -> None:
        """Refuse an `accumulate_in_step` that leaves rows without an optimizer step.

        Raises:
            RuntimeError: the optimizer stepped in some rows and not in others.
        """
        self._rows_heard.add(self._heard)
        if len(self._rows_heard) < 2:
            return
        if not all(math.isfinite(float(loss)) for loss in self._losses):
            self._rows_heard.clear()  # a step may skip a non-finite loss, at which the sweep ends
            return
        raise RuntimeError(
            f"accumulate_in_step is {self._wanted}, but not in all {self._wanted} calls of step "
            f"that make a row was {self._watch.name}.step called: there would be rates at which no "
            "step was taken; give the number of calls after which it is called, or leave "
            "accumulate_in_step out where that varies (a scaler that skips steps: give scaler=)"
        )

    def _refuse_to_go_on(self) -> None:
        """Refuse a step that takes no optimizer step although its losses are finite.

        Raises:
            RuntimeError: all losses are finite. At a non-finite loss a step may skip on purpose.
        """
        losses = [float(loss) for loss in self._losses]
        if not all(map(math.isfinite, losses)):
            return
        name = self._watch.name
        shown = ", ".join(f"{loss:.4g}" for loss in losses[:4])
        raise RuntimeError(
            f"step ran {len(losses)} times with the losses {shown}, ..., but {name}.step was never "
            f"called and no parameter of {name} changed. Let step call the `step` of the optimizer "
            "that the task was given; or only return the loss, without backward, and the rest is "
            "done for it; or, where more calls make one optimizer step, say how many: "
            "TrainingTask(..., accumulate_in_step=128)"
        )


def does_all(
    step: Callable[[Any], Any], batch: Any, params: Sequence[torch.Tensor], watch: StepWatch
) -> tuple[bool, Any]:
    """Call a custom step for the first time; return whether it ran backward, and its return value.

    Gradients alone do not show it, since the step may have zeroed them, and neither does the
    optimizer, since a scaler may have skipped its step. Therefore the freed graph of the loss
    counts too, as after torch.autograd.grad or the backward of another part. Changed parameters
    count only for a loss without a graph, because a forward pass may change parameters as well
    (`max_norm` of an embedding).
    """
    ran: list[bool] = []
    trained = [parameter for parameter in params if parameter.requires_grad]
    hooks: list[Any] = [
        parameter.register_post_accumulate_grad_hook(lambda _: ran.append(True))  # type: ignore[no-untyped-call]
        for parameter in trained
    ]
    try:
        returned = step(batch)
    except StopIteration as error:
        raise ended_iterator(error, "step") from error
    finally:
        for hook in hooks:
            hook.remove()
    with_gradients = any(parameter.grad is not None for parameter in params)
    loss = loss_of(returned)
    moved = watch.moves()
    does = (
        watch.called
        or bool(ran)
        or with_gradients
        or _used_up(loss, whole_graph=moved)
        or (moved and not getattr(loss, "requires_grad", False))
    )
    return does, returned


def _used_up(loss: Any, *, whole_graph: bool) -> bool:
    """Return whether a backward pass has freed the tensors that the graph of a loss saved.

    The first node that saved a tensor decides. With `whole_graph`, all nodes are examined, since a
    node may have saved a parameter that was changed.
    """
    waiting, seen = [getattr(loss, "grad_fn", None)], set()
    while waiting:
        node = waiting.pop(0)
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]
        for name in dir(node):
            if name.startswith("_saved_") or name == "saved_tensors":
                try:
                    saved = getattr(node, name)
                except RuntimeError:
                    return True
                found = isinstance(saved, torch.Tensor) or (name == "saved_tensors" and saved)
                if found and not whole_graph:
                    return False
    return False
