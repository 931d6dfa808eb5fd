"""Detect whether a step of the optimizer was taken, and whether it had gradients."""

from collections.abc import Sequence
from typing import Any

import torch

from lrwidget.backup import walk
from lrwidget.task.optimizers import with_inner
from lrwidget.text.numbers import rate_in_words

# After this many steps without a gradient an error is raised. A first batch may have none.
MOST_IDLE = 3

_AS_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class StepWatch:
    """Detects whether the parameters of an optimizer were stepped since `begin`.

    It tests, in this order: whether the `step` of the optimizer, or of one inside it, was called;
    whether the version or the address of a parameter has changed, as after an update by hand; and,
    until one of these was seen, whether any bit of the values has changed, as after a write to
    `.data`. The values come last because a small rate may round to no change.

    Args:
        optimizer: a torch optimizer or an object with the same interface.
    """

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer
        self._params = [p for group in optimizer.param_groups for p in group["params"]]
        self._handles: list[Any] = []
        self._called = False
        self._detected_by = ""
        self._places: list[Any] = []
        self._bits: list[torch.Tensor] = []
        self._rate: tuple[dict[str, Any], Any] | None = None
        # Whether a gradient has reached the optimizer, and its steps without one before that.
        self._reached = False
        self._idle = 0
        self._before_idle: tuple[list[Any], list[torch.Tensor]] = ([], [])

    def expect(self, group: dict[str, Any]) -> None:
        """Require that the next step uses the present rate of `group`."""
        self._rate = (group, group["lr"])

    def open(self) -> None:
        """Begin to watch calls of `step`."""
        for optimizer in with_inner([self._optimizer]):
            # A wrapper that does not call Optimizer.__init__ has no hooks.
            if hasattr(optimizer, "_optimizer_step_post_hooks"):
                self._handles.append(optimizer.register_step_post_hook(self._note))
            if hasattr(optimizer, "_optimizer_step_pre_hooks"):
                self._handles.append(optimizer.register_step_pre_hook(self._begin_step))

    def close(self) -> None:
        """Remove the hooks from the optimizer."""
        while self._handles:
            self._handles.pop().remove()

    @property
    def name(self) -> str:
        """The name of the optimizer's class."""
        return type(self._optimizer).__name__

    @property
    def hears(self) -> bool:
        """Whether calls of `step` can be detected."""
        return bool(self._handles)

    @property
    def trains(self) -> bool:
        """Whether a gradient has reached the optimizer, as far as can be detected."""
        return self._reached or not self.hears

    @property
    def called(self) -> bool:
        """Whether `step` was called since `begin`."""
        return self._called

    def begin(self, *, looks: bool) -> None:
        """Reset before a call; `looks` says that `moved` or `moves` will be called after it."""
        self._called = False
        if self._idle and not self._reached:
            self._before_idle = _places(self._params), _bits(self._params)
        if looks and self._detected_by != "step":
            self._places = _places(self._params)
            self._bits = [] if self._detected_by == "place" else _bits(self._params)

    def moved(self) -> bool:
        """Return whether the parameters were stepped since `begin`.

        Raises:
            RuntimeError: the parameters changed in calls other than those of `step`.
        """
        if self._called:
            if self._detected_by not in ("", "step"):
                name = self.name
                raise RuntimeError(
                    f"step has changed the parameters of {name} in calls without {name}.step, and "
                    f"in this one called it, so which of its calls are an optimizer step cannot be "
                    "told; say how many calls make one: TrainingTask(..., accumulate_in_step=4)"
                )
            self._detected_by = "step"
            return True
        if self._detected_by == "step":
            return False
        detected_by = self._change()
        self._detected_by = detected_by or self._detected_by
        return bool(detected_by)

    def moves(self) -> bool:
        """Return whether the parameters have changed since `begin`, by whatever means."""
        return bool(self._change())

    def _change(self) -> str:
        if _places(self._params) != self._places:
            return "place"
        if self._bits and not all(map(torch.equal, _bits(self._params), self._bits)):
            return "values"
        return ""

    def refuse_idle(self) -> None:
        """Refuse steps of the optimizer that change nothing, whatever the rate.

        Raises:
            ValueError: no gradient has reached the optimizer in its first `MOST_IDLE` steps, or
                other optimizers step in the backward pass, at rates of their own.
        """
        if self._reached or not self._called:
            return
        places, bits = self._before_idle
        if self._idle and (
            _places(self._params) != places or not all(map(torch.equal, _bits(self._params), bits))
        ):
            self._reached = True  # something else trains them, such as hooks in the backward pass
            self._refuse_hooked_optimizers()
            return
        self._idle += 1
        if self._idle == MOST_IDLE:
            raise ValueError(
                f"no gradient has reached {self.name} in {MOST_IDLE} steps: none of its "
                f"{len(self._params)} parameters had one when {self.name}.step was called, so no "
                "rate changes anything; make it of the parameters with which the loss is computed, "
                "after the last layer of the model was replaced, and let no .detach(), .item(), "
                ".numpy() or torch.tensor(...) come between parameters and loss"
            )

    def _refuse_hooked_optimizers(self) -> None:
        hooks = [
            one for p in self._params for one in (p._post_accumulate_grad_hooks or {}).values()
        ]
        known = set(map(id, with_inner([self._optimizer])))
        found = {
            id(one): one
            for one in walk.used_by(*hooks, containers=True)
            if walk.is_a(one, torch.optim.Optimizer) and id(one) not in known
        }
        if found:
            raise ValueError(
                f"{self.name} has no gradients to step with, since hooks of its parameters step "
                f"{len(found)} other optimizers in the backward pass, at rates that are not swept; "
                "sweep the first of those, and name the others: other_optimizers=[...], "
                "others='follow'"
            )

    def _look_for_gradients(self, optimizer: Any) -> None:
        if not self._reached:
            params = (p for group in optimizer.param_groups for p in group["params"])
            self._reached = any(p.grad is not None for p in params)

    def _note(self, optimizer: Any, *_: Any) -> None:
        self._called = True
        self._look_for_gradients(optimizer)  # again, since a closure computes them in the step

    def _begin_step(self, optimizer: Any, *_: Any) -> None:
        self._look_for_gradients(optimizer)
        if self._rate is None:
            return
        group, lr = self._rate
        now = group["lr"]
        if now is not lr and not isinstance(now, torch.Tensor) and now != lr:
            raise RuntimeError(
                f"the sweep has set the rate {rate_in_words(lr, 6)}, but "
                f"{type(optimizer).__name__}.step is called at {now:g}: your step, "
                f"or {self.name}, sets the rate itself, and the curve would not be over the rates "
                "that it shows; leave rates and schedulers out of the step"
            )


def _places(params: Sequence[torch.Tensor]) -> list[Any]:
    return [(p._version, _pointer(p)) for p in params]


def _pointer(tensor: torch.Tensor) -> int:
    try:
        return tensor.data_ptr()
    except (RuntimeError, NotImplementedError):  # sparse and wrapper tensors have no storage
        return 0


def _bits(params: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return one checksum of the bits for each tensor that has a storage."""
    sums = []
    for parameter in params:
        try:
            value = parameter.detach()
            if value.is_complex():
                value = torch.view_as_real(value)
            whole = value.contiguous().view(_AS_INTEGERS[value.element_size()])
            sums.append(whole.sum(dtype=torch.int64))
        except (RuntimeError, NotImplementedError, TypeError):
            continue
    return sums
