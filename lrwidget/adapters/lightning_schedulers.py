"""Schedulers of a LightningModule in a sweep: read and stepped, without effect on the rates."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import torch

from lrwidget.backup.interrupts import finish
from lrwidget.restore.attributes import remember_attributes

# `step_update` is that of timm's schedulers.
_STEPS = ("step", "step_update")


class SteppedAside:
    """Lets schedulers step on the configured rates and momenta, which they do not see swept.

    Args:
        trainer: the private Trainer, set up, with the configured rates; it steps none of them.
    """

    def __init__(self, trainer: Any) -> None:
        strategy = trainer.strategy
        self._groups = [group for one in strategy.optimizers for group in one.param_groups]
        configs = strategy.lr_scheduler_configs
        self._schedulers = list(_with_inner(config.scheduler for config in configs))
        trainer.fit_loop.epoch_loop.update_lr_schedulers = _step_none
        self._values = self._read()
        self._inside = False
        self._put_back = [remember_attributes(scheduler) for scheduler in self._schedulers]
        for scheduler in self._schedulers:
            for name in _STEPS:
                step = getattr(scheduler, name, None)
                if callable(step):
                    setattr(scheduler, name, partial(self._aside, step))

    @property
    def counters(self) -> list[Any]:
        """The objects that a step of a scheduler changes."""
        return [self, *self._schedulers] if self._schedulers else []

    def close(self) -> None:
        """Put the schedulers back, which may be the user's own."""
        finish(self._put_back)

    def _aside(self, step: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._inside:  # of a scheduler that steps others
            return step(*args, **kwargs)
        swept = self._read()
        self._write(self._values)
        self._inside = True
        try:
            return step(*args, **kwargs)
        except ValueError as error:
            # A cycle over the steps of a training can be shorter than a sweep.
            if "Tried to step" not in str(error):
                raise
            return None
        finally:
            self._inside = False
            self._values = self._read()
            self._write(swept)

    def _read(self) -> list[dict[str, Any]]:
        return [
            {
                name: value.clone() if isinstance(value, torch.Tensor) else value
                for name, value in group.items()
                if name != "params"
            }
            for group in self._groups
        ]

    def _write(self, values: list[dict[str, Any]]) -> None:
        for group, held in zip(self._groups, values, strict=True):
            for name, value in held.items():
                if isinstance(value, torch.Tensor) and isinstance(group[name], torch.Tensor):
                    group[name].copy_(value)
                else:
                    group[name] = value


def _step_none(*_: Any, **__: Any) -> None:
    """Leave the schedulers to the module, which may step them itself."""


def _with_inner(schedulers: Iterable[Any]) -> Iterator[Any]:
    """Yield the schedulers, each with those that it is made of."""
    for scheduler in schedulers:
        yield scheduler
        yield from _with_inner(getattr(scheduler, "_schedulers", ()))
