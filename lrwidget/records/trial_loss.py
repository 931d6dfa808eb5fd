"""The losses for comparing trials at several rates."""

from lrwidget.records.table import Floats

# The final loss is the mean of the last fifth of a trial: single batches are too noisy to compare.
TAIL = 0.2
# Labels of a summary's columns.
LOSSES = {"final_loss": "final loss", "val_loss": "validation loss"}


def mean_of_tail(loss: Floats) -> float:
    """Return the mean of the last fifth of the losses of a trial, shape (steps,), at least one."""
    return float(loss[-max(1, round(TAIL * len(loss))) :].mean())
