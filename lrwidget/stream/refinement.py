"""The details of a refinement in the messages to the page; see `lrwidget.stream.protocol`."""

from typing import TypedDict


class TrialDetail(TypedDict):
    """A trial: all rows with its rate, except the first `dropped`, are its steps."""

    lr: float
    dropped: int  # rows of an earlier attempt, which began anew
    held_out: list[tuple[int, float]]  # steps so far and the loss on held-out data
    stop_reason: str | None


class RefinementDetail(TypedDict):
    """Information on a refinement apart from its rows; trials are in the order of their starts."""

    sweep: int  # the number of the run whose suggestion is refined
    sweep_steps: int  # part of the budget
    trials: list[TrialDetail]
    best: float | None  # the rate with the lowest held-out loss among the compared trials
    reason: str  # of the chosen rate, at the end
    confidence: str | None  # "high" or "low", at the end
    untrained: float | None  # the held-out loss before the first step
    held_out: str  # the data for comparing trials, in words
    planned_steps: int | None
    kept_bytes: int  # size of the states that are kept to continue trials
    kept_in: str  # "device", "cpu", "disk", or "" if unknown
    traceback: str | None
    notice: str
