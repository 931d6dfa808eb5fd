"""The ladder of learning rates that a sweep climbs."""

from collections.abc import Iterator

from lrwidget.options import SweepOptions


class Ladder:
    """The rates of one sweep, in order.

    Step i of N, i = 1..N, runs at `start * (end / start) ** (i / N)`, with linear spacing at
    `start + (end - start) * i / N`. This is the rule of luz's `lr_finder`
    (mlverse/luz, R/lr-finder.R): the start itself is not used, the last step runs at exactly `end`.

    Args:
        options: range, steps and spacing.
    """

    def __init__(self, options: SweepOptions) -> None:
        start, end, steps = options.start_lr, options.end_lr, options.steps
        if options.spacing == "log":
            rates = [float(start * (end / start) ** (i / steps)) for i in range(1, steps)]
        else:
            rates = [start + (end - start) * i / steps for i in range(1, steps)]
        # start * (end / start) may miss the end by one rounding; the contract says exactly `end`.
        self._rates: list[float] = [*rates, end]

    def __len__(self) -> int:
        return len(self._rates)

    def __getitem__(self, step: int) -> float:
        return self._rates[step]

    def __iter__(self) -> Iterator[float]:
        return iter(self._rates)
