"""What the options of a sweep say about its rows: whether it ended early or began too high."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lrwidget.curve.not_finite import CAUSE, LOOK_AT_WEIGHTS, REMEDY, sudden_end
from lrwidget.curve.suggest import LEAST_STEPS, LOWER
from lrwidget.text.numbers import rate_in_words


def planned_steps(meta: Mapping[str, Any]) -> int:
    """Return the planned number of steps of each sweep; 0 if the meta do not tell."""
    options = meta.get("options")
    asked = options.get("steps") if isinstance(options, Mapping) else None
    return asked if isinstance(asked, int) else 0


def begins_far_above_start(lr: "np.ndarray[Any, Any]", meta: Mapping[str, Any]) -> bool:
    """Return whether a ladder is so linear that a lower `start_lr` would hardly lower its rates."""
    options = meta.get("options")
    if not len(lr) or not isinstance(options, Mapping) or options.get("spacing") != "linear":
        return False
    start = options.get("start_lr")
    return isinstance(start, int | float) and start < lr[0] / 2


def ended_early(
    lr: "np.ndarray[Any, Any]", loss: "np.ndarray[Any, Any]", meta: Mapping[str, Any], reason: Any
) -> str | None:
    """Return why there are too few rows, as a sentence; None if the sweep was not cut short.

    Args:
        lr: rates, shape (steps,).
        loss: raw losses, shape (steps,) or (sweeps, steps).
        meta: the records' meta, whose options hold the planned number of steps.
        reason: the StopReason; None while the sweep runs.
    """
    asked = planned_steps(meta)
    usable = int(np.isfinite(np.atleast_2d(loss)).any(0).sum()) if len(lr) else 0
    if asked < LEAST_STEPS or usable >= LEAST_STEPS:
        return None
    if len(lr) >= asked:
        return None
    went = f"{len(lr)} of {asked} steps"
    where = f" at {rate_in_words(lr[-1])}" if len(lr) else ""
    if len(lr) == 1:
        mend = f"no step had been taken yet, so the rate is not the cause: {LOOK_AT_WEIGHTS}"
    elif sudden_end(lr, loss):
        mend = f"the losses before it did not climb, so {CAUSE}; {REMEDY}"
    else:
        mend = f"{LOWER}, or look at what the model returns for such a batch"
    return {
        "non-finite": f"the loss was not finite{where}, after {went}: {mend}",
        "diverged": f"the loss diverged{where}, after {went}: {LOWER}",
        "exhausted": f"the data ended after {went}: give data that can be read again, such as a "
        "DataLoader or a list",
        "stopped": f"stopped after {went}, too few to show a fall and a climb",
        "failed": f"ended by an error after {went}",
    }.get(reason, f"{went} so far, too few to show a fall and a climb")
