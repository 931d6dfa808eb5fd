"""Refuse trials whose losses are bit for bit the same, though their rates differ."""

from collections.abc import Sequence

from lrwidget.records.table import RecordsTable
from lrwidget.text.numbers import rate_in_words

# The first loss is the same at all rates: it is that before the first step.
LEAST_STEPS = 3
# Rates that are nearer to each other may come to the same in a few steps.
LEAST_FACTOR = 10.0


def refuse_equal(
    trials: Sequence[tuple[float, RecordsTable]], optimizer: str = "the optimizer"
) -> None:
    """Raise if all trials, over a decade of rates at least, have the same finite losses.

    Args:
        trials: the rate and the rows of each; compared are the steps that all of them have.
        optimizer: the name of the optimizer's class, where it is known.

    Raises:
        RuntimeError: the losses are the same, so that the rate plays no part.
    """
    steps = min((len(records) for _, records in trials), default=0)
    tried = [lr for lr, _ in trials]
    if steps < LEAST_STEPS or max(tried) < LEAST_FACTOR * min(tried):
        return
    # Rates may also be too small for the precision of the weights, or of the losses.
    changes = {records.meta.get("change") for _, records in trials}
    first, *others = (records.loss[:steps] for _, records in trials)
    # NaN is not equal to itself.
    if len(changes) > 1 or 0.0 in changes or not all((other == first).all() for other in others):
        return
    rates = ", ".join(rate_in_words(lr) for lr, _ in sorted(trials, key=lambda one: one[0]))
    raise RuntimeError(
        f"the losses of all {steps} steps are bit for bit the same at {rates}, so the rate plays "
        f"no part, and trials say nothing about it: {optimizer} does not go by the lr of its param "
        'groups (let its step read group["lr"]), or what it trains has no part in the loss'
    )
