"""The meta of records: a description of the sweep as plain JSON values."""

import dataclasses
import math
import platform
from typing import Any

import torch

from lrwidget.backup.origin import module_of
from lrwidget.task.options import SweepOptions
from lrwidget.task.task import TrainingTask
from lrwidget.version import __version__


def plain(options: SweepOptions) -> dict[str, Any]:
    """Return the options as plain JSON values."""
    return dataclasses.asdict(options)


def meta_of(task: TrainingTask, options: SweepOptions) -> dict[str, Any]:
    """Return the description of a sweep: versions, options, model, optimizer, batches, device."""
    group = task.optimizer.param_groups[0]
    settings = {
        name: value
        for name, value in group.items()
        if name not in ("params", "lr") and _is_plain(value)
    }
    return {
        "versions": {
            "lrwidget": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "options": plain(options),
        "model": type(task.model).__name__,
        "optimizer": type(task.optimizer).__name__,
        "optimizer_class": class_of(task.optimizer),
        "optimizer_settings": settings,
        "batch_size": task.batch_size,
        "accumulate": task.accumulate,
        "device": str(task.device),
        "seed": options.seed,
    }


def _is_plain(value: Any) -> bool:
    """Return whether JSON can hold a setting: not an infinity, and no tensor."""
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, (bool, int, str)) or (
        isinstance(value, float) and math.isfinite(value)
    )


def class_of(optimizer: torch.optim.Optimizer) -> str:
    """Return module and name of an optimizer's class as in source code: "torch.optim.Adam"."""
    kind = type(optimizer)
    own = getattr(torch.optim, kind.__name__, None) is kind
    return f"{'torch.optim' if own else module_of(kind)}.{kind.__name__}"
