"""The learning rates of param groups, as ratios to the first group's `lr=`.

A schedule changes `group["lr"]` and keeps the configured rate in `group["initial_lr"]`. Groups for
layer decay (timm, BEiT, MAE) share one `lr=` and have a factor `group["lr_scale"]`, by which the
schedule multiplies.
"""

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from lrwidget.task.optimizers import with_inner

RateGroups = list[tuple[dict[str, Any], float]]


class _Planned(NamedTuple):
    group: dict[str, Any]
    lr: float  # the configured rate, without `scale`
    scale: float  # the group's `lr_scale`, or 1


def rate_groups(optimizers: Iterable[Any]) -> RateGroups:
    """Return every param group with the ratio of its rate to the first group's `lr=`.

    The ratios are those of the configured rates, not of rates that a schedule has changed. A
    group's `lr_scale` is a factor of its ratio, also of the first group's.
    """
    optimizers = list(optimizers)
    planned = [one for optimizer in optimizers for one in _planned(optimizer.param_groups)]
    first = planned[0].lr
    groups = [(group, scale * lr / first if first else scale) for group, lr, scale in planned]
    return groups + _mirrored(optimizers, groups)


def added_groups(optimizer: Any, known: int, first: float) -> RateGroups:
    """Return the groups after the first `known` ones, as `add_param_group` appends them.

    One that came without a rate got that of the optimizer, and follows; another keeps its own.

    Args:
        optimizer: the optimizer.
        known: number of the groups that are known already.
        first: the configured rate of the first group.
    """
    usual = optimizer.defaults.get("lr")
    added = [group for group in optimizer.param_groups[known:] if group["lr"] == usual]
    return [(group, float(group["lr"]) / first) for group in added if first]


class PresentGroups:
    """Finds the param groups that have taken the places of others, as `load_state_dict` makes them
    anew; the former ones belong to no optimizer any more."""

    def __init__(self, optimizers: Iterable[Any]) -> None:
        self._held = [(one, list(one.param_groups)) for one in with_inner(optimizers)]

    def __call__(self, groups: RateGroups) -> RateGroups:
        """Return `groups` with the present ones in the places of former ones."""
        anew: dict[int, Any] = {}
        for optimizer, held in self._held:
            now = optimizer.param_groups
            if len(now) != len(held) or any(map(operator.is_not, now, held)):
                anew |= {id(old): new for old, new in zip(held, now, strict=False)}
                held[:] = now
        return [(anew.get(id(group), group), ratio) for group, ratio in groups] if anew else groups


def set_rate(groups: RateGroups, lr: float) -> None:
    """Set the rates of `groups` to `lr` times their ratios."""
    for group, ratio in groups:
        _put(group, "lr", lr * ratio)


def apply_rate(optimizer: Any, lr: float) -> None:
    """Set `lr` on an optimizer for the training that follows, keeping its groups' ratios.

    A scheduler created afterwards starts at these rates; an existing scheduler keeps its own.
    """
    groups = rate_groups([optimizer])
    planned = _planned(optimizer.param_groups)
    set_rate(groups, lr)
    scaled = any(one.scale != 1.0 for one in planned)
    for (group, ratio), (_, _, scale) in zip(groups, planned, strict=False):
        # OneCycleLR reads initial_lr in every step, together with a max_lr that does not change.
        if scaled or ("initial_lr" in group and "max_lr" not in group):
            _put(group, "initial_lr", lr * ratio / scale if scale else lr)


def configured_rate(group: dict[str, Any]) -> Any:
    """Return the configured `lr` of a group, which a schedule may have changed since."""
    initial = group.get("initial_lr")
    return group["lr"] if initial is None else initial


def refuse_undefined_ratios(optimizer: Any) -> None:
    """Raise ValueError if the first group's rate is 0 and another's is not."""
    first, *others = (one.lr for one in _planned(optimizer.param_groups))
    if first == 0 and any(others):
        raise ValueError(
            "the first param group has lr 0 and others do not, so their ratio to it is undefined; "
            "give the first group a rate"
        )


def _mirrored(optimizers: Sequence[Any], groups: RateGroups) -> RateGroups:
    """Return the groups of inner optimizers that copy a known group: same parameters, same rate.

    Without them, a wrapper that copied its groups would step at the rates they had at that time.
    """
    known = {id(group) for group, _ in groups}
    of_parameter = {id(p): one for one in groups for p in one[0]["params"]}
    outer = {id(optimizer) for optimizer in optimizers}
    found: RateGroups = []
    for inner in with_inner(optimizers):
        for group in inner.param_groups if id(inner) not in outer else ():
            twin = next((of_parameter.get(id(p)) for p in group["params"]), None)
            if id(group) not in known and twin and group.get("lr") == twin[0]["lr"]:
                known.add(id(group))
                found.append((group, twin[1]))
    return found


def _planned(groups: Sequence[dict[str, Any]]) -> list[_Planned]:
    now = [float(group["lr"]) for group in groups]
    lrs = [float(configured_rate(group)) for group in groups]
    if not any(lrs):
        lrs = now
    scales = [_scale(group) for group in groups]
    if not _same(scales):
        if not _same(lrs) and _proportional(lrs, scales):
            # Without a scheduler, the rates have already been multiplied by the scales.
            lrs = [max(lrs) / max(scales)] * len(lrs)
        elif any("initial_lr" in group for group in groups) and _proportional(now, lrs):
            scales = [1.0] * len(lrs)  # the running schedule does not multiply by the scales
    return [_Planned(*one) for one in zip(groups, lrs, scales, strict=True)]


def _scale(group: dict[str, Any]) -> float:
    scale = group.get("lr_scale")
    return float(scale) if isinstance(scale, (int, float)) else 1.0


def _same(values: Sequence[float]) -> bool:
    return all(math.isclose(value, values[0]) for value in values)


def _proportional(values: Sequence[float], to: Sequence[float]) -> bool:
    top = max(range(len(to)), key=to.__getitem__)
    if not values[top] or not to[top]:
        return False
    factor = values[top] / to[top]
    return all(
        math.isclose(value, factor * other, abs_tol=1e-12 * abs(values[top]))
        for value, other in zip(values, to, strict=True)
    )


def _put(group: dict[str, Any], name: str, value: float) -> None:
    fill = getattr(group.get(name), "fill_", None)
    if fill is not None:  # a tensor, which capturable optimizers read in place
        fill(value)
    else:
        group[name] = value
