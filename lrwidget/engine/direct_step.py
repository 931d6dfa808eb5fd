"""Call an optimizer's step without its entry in torch's profiler, which slows all that is in it."""

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim import optimizer as of_torch

# All that torch's wrapper of `step` refers to: it calls hooks and makes the entry. A wrapper of
# another version of torch, which may do more, refers to other names, and is then called itself.
_NAMES = frozenset(
    {
        "Optimizer",
        "RuntimeError",
        "__class__",
        "__name__",
        "_global_optimizer_post_hooks",
        "_global_optimizer_pre_hooks",
        "_optimizer_step_code",
        "_optimizer_step_post_hooks",
        "_optimizer_step_pre_hooks",
        "autograd",
        "cast",
        "chain",
        "isinstance",
        "len",
        "profiler",
        "record_function",
        "torch",
        "tuple",
        "values",
    }
)


class DirectStep:
    """Takes the steps of an optimizer, with the results and the effects of `optimizer.step()`.

    Where torch has wrapped the method of the class, and neither a hook nor the profiler is there to
    be told, the wrapped method is called directly.
    """

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer
        self._wrapper = getattr(type(optimizer), "step", None)
        self._wrapped = _wrapped_by_torch(optimizer, self._wrapper)

    def __call__(self) -> None:
        """Step once."""
        optimizer = self._optimizer
        if (
            self._wrapped is None
            or type(optimizer).step is not self._wrapper
            or "step" in vars(optimizer)  # as wrapped by a scheduler
            or optimizer._optimizer_step_pre_hooks
            or optimizer._optimizer_step_post_hooks
            or of_torch._global_optimizer_pre_hooks
            or of_torch._global_optimizer_post_hooks
            or torch.autograd._profiler_enabled()  # type: ignore[attr-defined]
            or torch.autograd.profiler._is_profiler_enabled  # of another thread, for all of them
        ):
            optimizer.step()
        else:
            self._wrapped(optimizer)


def _wrapped_by_torch(optimizer: Any, wrapper: Any) -> Callable[[Any], object] | None:
    """Return what `wrapper` calls if it is torch's own and does nothing but tell of it."""
    if not isinstance(optimizer, Optimizer) or not _tells_of_profilers():
        return None
    code = getattr(wrapper, "__code__", None)
    if code is None or code is not Optimizer.profile_hook_step(Optimizer.step).__code__:
        return None
    tells = type(optimizer)._optimizer_step_code is Optimizer._optimizer_step_code
    wrapped: Callable[[Any], object] = wrapper.__wrapped__
    return wrapped if tells and frozenset(code.co_names) == _NAMES else None


def _tells_of_profilers() -> bool:
    """Return whether this version of torch can be asked for them as above."""
    return hasattr(torch.autograd, "_profiler_enabled") and hasattr(
        torch.autograd.profiler, "_is_profiler_enabled"
    )
