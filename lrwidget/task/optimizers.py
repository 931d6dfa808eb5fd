"""Optimizers of every make: what counts as one, what is inside it, what cannot be swept and why."""

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_TWO_PASSES = """    def step(batch):
        loss = loss_fn(model(batch[0]), batch[1])
        loss.backward()
        optimizer.first_step(zero_grad=True)
        loss_fn(model(batch[0]), batch[1]).backward()
        optimizer.second_step(zero_grad=True)
        return loss"""
_CLOSURE = """    def step(batch):
        def closure():
            optimizer.zero_grad()
            loss = loss_fn(model(batch[0]), batch[1])
            loss.backward()
            return loss
        return optimizer.step(closure)"""
_OWN = """    def step(batch):
        loss = loss_fn(model(batch[0]), batch[1])
        optimizer.fused_backward(loss, optimizer.param_groups[0]["lr"])  # or what it has instead
        return loss"""
_GRAPH = """    def step(batch):
        optimizer.zero_grad()
        loss = loss_fn(model(batch[0]), batch[1])
        loss.backward(create_graph=True)
        optimizer.step()
        return loss.detach()"""


def is_optimizer(value: Any) -> bool:
    """Whether `value` is an optimizer: torch's, or an object that has all of what one has."""
    if _is_a(value, "torch.optim", "Optimizer"):
        return True
    return (
        not isinstance(value, type)
        and not _is_a(value, "torch.nn", "Module")
        and callable(getattr(value, "step", None))
        and callable(getattr(value, "zero_grad", None))
        and isinstance(getattr(value, "param_groups", None), list)
    )


def unwrapped(optimizer: Any) -> Any:
    """The optimizer that Accelerate prepared; any other as it is."""
    while _is_a(optimizer, "accelerate.optimizer", "AcceleratedOptimizer"):
        optimizer = optimizer.optimizer
    return optimizer


def _is_a(value: Any, module: str, name: str) -> bool:
    """Whether `value` is of a class of another library, which is not imported for that.

    Where its module has not been imported there are no objects of it. So a rate is applied, and a
    log followed, where there is no torch.
    """
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)


def with_inner(optimizers: Iterable[Any]) -> list[Any]:
    """The optimizers and those that they hold in their attributes, each once, outer ones first."""
    found: list[Any] = []
    waiting = list(optimizers)
    while waiting:
        optimizer = waiting.pop(0)
        if not any(optimizer is known for known in found):
            found.append(optimizer)
            waiting += _held_by(optimizer)
    return found


def _held_by(optimizer: Any) -> list[Any]:
    held: list[Any] = []
    for name, value in getattr(optimizer, "__dict__", {}).items():
        if name in ("state", "param_groups", "defaults"):
            continue
        if isinstance(value, (list, tuple)):
            held += value
        elif isinstance(value, Mapping):
            held += value.values()
        else:
            held.append(value)
    return [value for value in held if is_optimizer(value)]


def is_complete(optimizer: Any) -> bool:
    """Whether an optimizer of torch's class was made by it, down to its inner ones.

    A copy of one whose __init__ leaves Optimizer.__init__ out would change its class for good: the
    `step` of the class would look for hooks on all its objects.
    """
    return all(
        not _is_a(one, "torch.optim", "Optimizer") or hasattr(one, "_optimizer_step_pre_hooks")
        for one in with_inner([optimizer])
    )


def with_modes(optimizers: Iterable[Any]) -> list[Any]:
    """Of the optimizers, or else inside them, those with a train and an eval mode."""
    found: list[Any] = []
    for optimizer in optimizers:
        modes = (getattr(optimizer, "train", None), getattr(optimizer, "eval", None))
        found += [optimizer] if all(map(callable, modes)) else with_modes(_held_by(optimizer))
    return found


def made_by(factory: Callable[..., Any], parameters: list[Any], lr: float | None = None) -> Any:
    """What a class or factory makes of the parameters, and of `lr` where it takes one.

    Raises:
        TypeError: it is a class that cannot be made of these alone.
    """
    keywords = {} if lr is None or not _takes_lr(factory) else {"lr": lr}
    if not isinstance(factory, type):
        return factory(parameters, **keywords)
    try:
        return factory(parameters, **keywords)
    except ImportError:
        raise
    except Exception as error:  # of any class, which wants a model, named parameters, another one
        name = factory.__name__
        call = f"{name}(parameters{', lr=...' if keywords else ''})"
        raise TypeError(
            f"the optimizer cannot be made as {call}: {type(error).__name__}: {error}; give an "
            f"instance, or a function that makes one: lambda parameters: {name}(...)"
        ) from error


def _takes_lr(factory: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return False
    return "lr" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def not_an_optimizer(value: Any) -> TypeError:
    """The error that says what was given in the place of an optimizer, and what to give."""
    held = list(value.values()) if isinstance(value, Mapping) else value
    if isinstance(held, (list, tuple)) and held and all(is_optimizer(one) for one in held):
        return TypeError(
            f"optimizer is a {type(value).__name__} of {len(held)} optimizers; give the one to "
            "sweep, and those that step beside it as other_optimizers=[...]"
        )
    kind = type(value).__name__
    inside = getattr(value, "optimizer", None)
    if is_optimizer(inside):
        return TypeError(
            f"optimizer is a {kind}, which holds a {type(inside).__name__}; give that one: its "
            "attribute `optimizer`"
        )
    shown = f"{value!r}, a {kind}" if isinstance(value, (str, int, float)) else f"a {kind}"
    return TypeError(
        f"optimizer is {shown}; expected an optimizer over the model's parameters, or a class or "
        "factory such as torch.optim.Adam"
    )


def checked_others(others: Any) -> tuple[Any, ...]:
    """`other_optimizers` as the task keeps them.

    Raises:
        TypeError: they are no sequence of optimizers.
    """
    given = [others] if is_optimizer(others) or not isinstance(others, Iterable) else list(others)
    for one in given:
        if not is_optimizer(one):
            raise TypeError(
                f"other_optimizers has a {type(one).__name__}; expected optimizers, in a list"
            )
    return tuple(unwrapped(one) for one in given)


def refuse_without_rate(optimizer: Any) -> None:
    """Refuse an optimizer that sets its own rate.

    Raises:
        ValueError: a param group has no `lr`, or none that the optimizer would use.
        TypeError: a rate is no number.
    """
    name = type(optimizer).__name__
    for number, group in enumerate(optimizer.param_groups, start=1):
        which = f"{'the first param group' if number == 1 else f'param group {number}'} of {name}"
        if "lr" not in group:
            settings = ", ".join(key for key in group if key != "params")
            raise ValueError(
                f"{which} has no lr (but {settings}): it sets its own rate, so there is none to "
                "sweep; sweep an optimizer that takes lr=, or give the group one"
            )
        lr = group["lr"]
        relative = group.get("relative_step") is True
        if lr is None or relative:
            made = "relative_step=False, lr=1e-3" if "relative_step" in group else "lr=1e-3"
            what = "lr None" if lr is None else "relative_step=True"
            raise ValueError(
                f"{which} has {what}: it sets its own rate, so there is none to sweep; make it "
                f"with {made}"
            )
        try:
            float(lr)
        except (TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor of several
            raise TypeError(f"{which} has lr {lr!r}; expected a number") from None


def refuse_two_passes(optimizer: Any) -> None:
    """Refuse an optimizer that needs the gradients at two places (SAM), where it gets one.

    Raises:
        ValueError: with a step that would do.
    """
    phases = (getattr(optimizer, "first_step", None), getattr(optimizer, "second_step", None))
    if all(map(callable, phases)):
        raise _needs(optimizer, "two backward passes over a batch", _TWO_PASSES)


@contextmanager
def in_words(optimizer: Any) -> Iterator[None]:
    """Say what an optimizer lacks where its first step raises for want of it.

    Raises:
        ValueError: it needs a closure, gradients with a graph, or has no `step`; with a step that
            would do.
    """
    try:
        yield
    except Exception as error:
        text = str(error)
        if isinstance(error, NotImplementedError):
            raise _needs(optimizer, "a training step of its own", _OWN) from error
        if "closure" in text.lower() or "'NoneType' object is not callable" in text:
            raise _needs(optimizer, "a closure", _CLOSURE) from error
        if "does not have a grad_fn" in text or "create_graph" in text:
            raise _needs(optimizer, "gradients that have a graph", _GRAPH) from error
        raise


def _needs(optimizer: Any, what: str, step: str) -> ValueError:
    return ValueError(
        f"{type(optimizer).__name__} needs {what}, which the usual step does not give; give a step "
        f"that does all of it: TrainingTask(model, optimizer, data=data, step=step) with\n\n{step}"
    )


def needs_closure(optimizer: Any) -> bool:
    """Whether `optimizer.step` cannot be called without a closure (LBFGS)."""
    parameter = inspect.signature(type(optimizer).step).parameters.get("closure")
    return parameter is not None and parameter.default is inspect.Parameter.empty
