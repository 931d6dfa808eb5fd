"""The meta of records: a description of the sweep as plain JSON values."""

import dataclasses
import platform
from typing import Any

import torch

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
        if name not in ("params", "lr") and isinstance(value, (bool, int, float, str, tuple))
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


def class_of(optimizer: torch.optim.Optimizer) -> str:
    """Return module and name of an optimizer's class as in source code: "torch.optim.Adam"."""
    kind = type(optimizer)
    own = getattr(torch.optim, kind.__name__, None) is kind
    return f"{'torch.optim' if own else kind.__module__}.{kind.__name__}"
