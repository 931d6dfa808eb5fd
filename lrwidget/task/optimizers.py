"""Optimizers of torch and of other libraries: detection, inner optimizers, unsupported ones."""

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lrwidget.backup.origin import library_of
from lrwidget.text.articles import a, a_kind

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
    """Return whether `value` is a torch optimizer or an object with the same interface."""
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
    """Return the optimizer inside of one prepared by Accelerate; any other unchanged."""
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
    """Return the optimizers and those in their attributes, each once, outer ones first."""
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
    """Return whether Optimizer.__init__ ran for an optimizer and its inner ones.

    Copying an optimizer for which it did not run would change its class for good: the `step` of the
    class would then look for hooks on all its objects.
    """
    return all(
        not _is_a(one, "torch.optim", "Optimizer") or hasattr(one, "_optimizer_step_pre_hooks")
        for one in with_inner([optimizer])
    )


def with_modes(optimizers: Iterable[Any]) -> list[Any]:
    """Return the optimizers, or those inside them, that have a train and an eval mode."""
    found: list[Any] = []
    for optimizer in optimizers:
        modes = (getattr(optimizer, "train", None), getattr(optimizer, "eval", None))
        found += [optimizer] if all(map(callable, modes)) else with_modes(_held_by(optimizer))
    return found


def made_by(factory: Callable[..., Any], parameters: list[Any], lr: float | None = None) -> Any:
    """Return the optimizer that a class or factory creates for the parameters, and for `lr`.

    Raises:
        TypeError: it cannot be called with these arguments alone.
    """
    keywords = {} if lr is None or not _takes_lr(factory) else {"lr": lr}
    if not isinstance(factory, type):
        _refuse_other_arguments(factory, parameters, keywords)
        return factory(parameters, **keywords)
    try:
        return factory(parameters, **keywords)
    except ImportError:
        raise
    except Exception as error:  # a class may raise anything for missing arguments
        name = factory.__name__
        call = f"{name}(parameters{', lr=...' if keywords else ''})"
        raise TypeError(
            f"the optimizer cannot be made as {call}: {type(error).__name__}: {error}; give an "
            f"instance, or a function that makes one: lambda parameters: {name}(...)"
        ) from error


def _refuse_other_arguments(
    factory: Callable[..., Any], parameters: list[Any], keywords: dict[str, float]
) -> None:
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(parameters, **keywords)
    except TypeError as error:
        raise TypeError(
            f"optimizer is a function that cannot be called with the model's parameters ({error}); "
            "expected an optimizer, or one that makes it: lambda parameters: torch.optim.SGD("
            "parameters, lr=0.1)"
        ) from error


def _takes_lr(factory: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return False
    return "lr" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def made_optimizer(value: Any) -> Any:
    """Return an optimizer, without Accelerate's wrapper; raise TypeError for anything else."""
    if not is_optimizer(value):
        raise TypeError(
            f"optimizer is {a_kind(value)}; expected a torch.optim.Optimizer, such as the "
            "one that you train with"
        )
    return unwrapped(value)


def not_an_optimizer(value: Any) -> TypeError:
    """Return the error for an argument that is not an optimizer, with advice."""
    held = list(value.values()) if isinstance(value, Mapping) else value
    if isinstance(held, (list, tuple)) and held and all(is_optimizer(one) for one in held):
        return TypeError(
            f"optimizer is {a_kind(value)} of {len(held)} optimizers; give the one to "
            "sweep, and those that step beside it as other_optimizers=[...], with others='follow' "
            "if all are to be swept in their ratio to it"
        )
    kind = type(value).__name__
    inside = getattr(value, "optimizer", None)
    if is_optimizer(inside):
        return TypeError(
            f"optimizer is {a(kind)}, which holds {a_kind(inside)}; give that one: its "
            "attribute `optimizer`"
        )
    shown = f"{value!r}, {a(kind)}" if isinstance(value, (str, int, float)) else f"{a(kind)}"
    return TypeError(
        f"optimizer is {shown}; expected an optimizer over the model's parameters, or a class or "
        "factory such as torch.optim.Adam"
    )


def may_accumulate(optimizer: Any) -> bool:
    """Return whether calls of `step` may only accumulate, as those of Opacus do in its
    BatchMemoryManager, which splits each batch."""
    return hasattr(optimizer, "_is_last_step_skipped")


def has_only_accumulated(optimizer: Any) -> bool:
    """Return whether the last call of `step` only accumulated, see `may_accumulate`."""
    return bool(getattr(optimizer, "_is_last_step_skipped", False))


def checked_others(others: Any, swept: Any) -> tuple[Any, ...]:
    """Return `other_optimizers` as a tuple, without Accelerate's wrappers.

    Raises:
        TypeError: they are not a sequence of optimizers.
        ValueError: the swept one is among them.
    """
    given = [others] if is_optimizer(others) or not isinstance(others, Iterable) else list(others)
    for one in given:
        if not is_optimizer(one):
            raise TypeError(f"other_optimizers has {a_kind(one)}; expected optimizers, in a list")
    found = tuple(unwrapped(one) for one in given)
    if any(one is swept for one in found):
        raise ValueError(
            f"other_optimizers has the {type(swept).__name__} that is swept, which would step "
            "twice in each step; leave it out there"
        )
    return found


def refuse_without_rate(optimizer: Any) -> None:
    """Refuse an optimizer that sets its own rate.

    Raises:
        ValueError: a param group has no `lr`, or one that the optimizer ignores; or the groups
            are copies.
        TypeError: a rate is not a number.
    """
    name = type(optimizer).__name__
    groups = optimizer.param_groups
    if groups and groups[0] is not optimizer.param_groups[0]:
        raise ValueError(
            f"{name} makes its param_groups anew each time they are read, so that a rate which is "
            "set in them is lost; sweep the optimizer inside it, or let it keep its groups"
        )
    for number, group in enumerate(groups, start=1):
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
        except (TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor of several values
            raise TypeError(f"{which} has lr {lr!r}; expected a number") from None


def name_of(optimizer: Any) -> str:
    """Return the name of an optimizer's class; of a stand-in of this package "the optimizer"."""
    kind = type(optimizer)
    return "the optimizer" if library_of(kind) == "lrwidget" else kind.__name__


def finds_its_own_rate(optimizer: Any) -> str:
    """Return a warning about an optimizer that adapts the size of its steps itself, or ''."""
    name = type(optimizer).__name__
    # They keep their estimate as "d". Adafactor of torch has its limit of an update by that name.
    grows = any({"d", "growth_rate"} <= group.keys() for group in optimizer.param_groups)
    if grows or ("dadapt" in name.lower() and "d" in optimizer.param_groups[0]):
        return (
            f"{name} estimates its rate itself, and lr is only a factor of it, which it is made to "
            "leave at 1: a sweep shows how the estimate and the factor go together"
        )
    return ""


def uses_rate_once(optimizer: Any) -> str:
    """Return why a sweep with this optimizer shows nothing of the rate, or ''."""
    if not _is_a(optimizer, "torch.optim", "Rprop"):
        return ""
    mend = "compare rates with check_lrs, whose trials each begin with a first step"
    if optimizer.state:
        mend = "this one has taken it; make it anew, and compare rates with check_lrs"
    return (
        f"the rate plays no part: {type(optimizer).__name__} takes lr for the size of its first "
        f"step only, and finds those of the others itself; {mend}"
    )


def refuse_maximizing(optimizer: Any) -> None:
    """Refuse an optimizer that raises the loss, since a curve is read as one that training lowers.

    Where only some groups do, as for Lagrange multipliers, the loss is not theirs alone.

    Raises:
        ValueError: all param groups have maximize=True.
    """
    if all(group.get("maximize") is True for group in optimizer.param_groups):
        name = type(optimizer).__name__
        raise ValueError(
            f"{name} has maximize=True: its loss rises where it learns, and a range test looks for "
            f"where the loss falls; make it with maximize=False and return the negative loss: "
            "lambda output, target: -loss_fn(output, target). The steps are the same"
        )


def refuse_two_passes(optimizer: Any) -> None:
    """Refuse an optimizer that needs two backward passes in a step (SAM).

    Raises:
        ValueError: it is one; the message shows a custom step for it.
    """
    phases = (getattr(optimizer, "first_step", None), getattr(optimizer, "second_step", None))
    if all(map(callable, phases)):
        raise _needs(optimizer, "two backward passes over a batch", _TWO_PASSES)


@contextmanager
def in_words(optimizer: Any) -> Iterator[None]:
    """Explain an exception of an optimizer's first step that the usual step has caused.

    Raises:
        ValueError: it needs a closure or gradients with a graph, or has no `step`; the message
            shows a custom step for it.
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
    """Return whether `optimizer.step` requires a closure (LBFGS)."""
    # Not the one of the object first, which a scheduler may have replaced.
    step = getattr(type(optimizer), "step", None) or optimizer.step
    parameter = inspect.signature(step).parameters.get("closure")
    return parameter is not None and parameter.default is inspect.Parameter.empty


def zeroes_as_usual(optimizer: Any) -> bool:
    """Return whether `zero_grad` is torch's own, not overridden by a subclass or on the object."""
    usual = sys.modules["torch.optim"].Optimizer.zero_grad
    own = getattr(type(optimizer), "zero_grad", None)
    return own is usual and "zero_grad" not in vars(optimizer)
