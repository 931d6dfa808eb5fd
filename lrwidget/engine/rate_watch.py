"""Notice an optimizer that does not go by the rate that it is given, from a few steps of a sweep.

It may read a rate of its own, an attribute or a constant, and leave that of its param groups alone.
The curve then shows nothing of the rate, and looks like any other.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch

from lrwidget.curve.rate_unused import rate_unused
from lrwidget.records.table import RecordsTable
from lrwidget.restore.snapshot import SweepTarget
from lrwidget.task.optimizers import name_of, with_inner
from lrwidget.text.numbers import rate_in_words

# A step is kept at each of the first rates that are by this factor above the last, then at rates
# that are by the larger factor above it: about ten steps of a sweep, whatever its length.
NEAR, FAR = 3.0, 10.0
FIRST = 4
# So many numbers of one parameter are kept, before and after each of these steps.
MOST_NUMBERS = 2**12


class RateWatch:
    """Keeps a parameter as it was before and after some steps.

    Args:
        parts: the objects that are trained.
        own_step: the gradients may be gone after a step, which is a custom one.

    Attributes:
        next_rate: the next step at this rate, or at a higher one, is to be kept.
    """

    def __init__(self, parts: SweepTarget, *, own_step: bool) -> None:
        self.next_rate: float = 0.0
        self._parts = parts
        self._own_step = own_step
        self._watched: torch.Tensor | None = None
        self._hooks: list[Any] = []
        self._rates: list[float] = []
        self._before: list[torch.Tensor] = []
        self._after: list[torch.Tensor] = []
        self._gradients: list[torch.Tensor | None] = []

    def begin(self, lr: float) -> None:
        """Keep what is before the step that follows, at the rate `lr`."""
        optimizer = self._parts.optimizer
        self.next_rate = lr * (NEAR if len(self._rates) < FIRST else FAR)
        if not self._rates:
            self._watched = _chosen(p for g in optimizer.param_groups for p in g["params"])
        if self._watched is None:
            return
        self._rates.append(lr)
        self._gradients.append(None)
        self._before.append(_numbers(self._watched))
        for one in with_inner([optimizer]) if self._own_step else ():
            # A wrapper of another kind has no hooks.
            if hasattr(one, "_optimizer_step_pre_hooks"):
                self._hooks.append(one.register_step_pre_hook(self._keep_gradient))

    def end(self) -> None:
        """Keep what the step has left."""
        while self._hooks:
            self._hooks.pop().remove()
        if self._watched is None:
            return
        if self._gradients[-1] is None:
            self._keep_gradient()
        self._after.append(_numbers(self._watched))

    def close(self, records: RecordsTable) -> None:
        """Note in the records' meta, as `rate_unused`, if the rate had no part in the steps.

        Of a trial, with one rate, the norm of its change is noted instead, as `change`.
        """
        while self._hooks:  # of a step that failed
            self._hooks.pop().remove()
        count, self._watched = len(self._after), None
        if not count:
            return
        try:
            changes = _norms(torch.stack(self._after) - torch.stack(self._before[:count]))
            known = [g for g in self._gradients[:count] if g is not None]
            gradients = _norms(torch.stack(known)) if len(known) == count else [0.0] * count
        except RuntimeError:
            return  # the device has failed; the first error is the one to raise
        finally:
            for kept in (self._before, self._after, self._gradients):
                kept.clear()
        if count == 1:
            if math.isfinite(changes[0]):  # JSON has no other numbers
                records.meta["change"] = changes[0]
        elif "rate_unused" in records.meta:
            return  # known from the class of the optimizer
        elif found := rate_unused(self._rates[:count], changes, gradients):
            low, high = (rate_in_words(self._rates[place]) for place in found)
            name = name_of(self._parts.optimizer)
            records.meta["rate_unused"] = (
                f"the rate plays no part: {name} changed the weights at {low} about as much as "
                f"at {high}, so it does not go by the lr of its param groups, where a sweep "
                'sets the rate; let its step read group["lr"], or sweep another optimizer'
            )

    def _keep_gradient(self, *_: Any) -> None:
        assert self._watched is not None
        gradient = self._watched.grad
        if gradient is not None and _is_plain(gradient):
            self._gradients[-1] = _numbers(gradient)


def _chosen(parameters: Iterable[torch.Tensor]) -> torch.Tensor | None:
    """Return the largest of the small parameters that are trained; without any the smallest."""
    found = [p for p in parameters if p.requires_grad and _is_plain(p) and p.numel()]
    found = [p for p in found if p.grad is not None] or found
    small = [p for p in found if p.numel() <= MOST_NUMBERS]
    if small:
        return max(small, key=torch.numel)
    return min(found, key=torch.numel, default=None)


def _is_plain(tensor: torch.Tensor) -> bool:
    return (
        type(tensor) in (torch.Tensor, torch.nn.Parameter)
        and tensor.layout is torch.strided
        and tensor.is_floating_point()
        and not tensor.is_meta
    )


def _numbers(tensor: torch.Tensor) -> torch.Tensor:
    """Return a copy of numbers from everywhere in a tensor."""
    flat = tensor.detach().flatten()
    return flat[:: -(-flat.numel() // MOST_NUMBERS)].clone()


def _norms(rows: torch.Tensor) -> list[float]:
    return torch.linalg.vector_norm(rows, dim=1, dtype=torch.float32).tolist()  # type: ignore[no-any-return]
