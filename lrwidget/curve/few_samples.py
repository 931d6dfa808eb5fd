"""The doubt about a sweep that passed over few samples again and again.

A model that learns its data by heart has the curve of one that learns, so that no curve shows it.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

# Set on the tasks of `benchmarks/suggest` that were made for choosing, in whose sweeps all 21 clear
# suggestions that fail have fewer than 260 samples: of fewer samples 43% fail, of more none of 199.
FEW_SAMPLES = 300
MANY_PASSES = 4


def few_samples_doubt(
    meta: Mapping[str, Any], sweep_starts: Sequence[int], rows: int
) -> str | None:
    """Return why a model may have learned the data of a sweep by heart; None if that is unlikely.

    Args:
        meta: the records' meta: the first row of each pass over the data after the first one
            (`epochs_begin_at`), and about how many samples one pass has (`samples_in_epoch`); or
            how many different samples there are, where they are few whatever a pass is
            (`different_samples`), and how many one row takes (`samples_in_step`).
        sweep_starts: the first row of each sweep.
        rows: the number of rows of all sweeps.
    """
    ends = [*sweep_starts, rows]
    passes, samples = _passes(meta, ends)
    if passes < MANY_PASSES:
        passes, samples = _times_read(meta, ends)
    if passes < MANY_PASSES:
        return None
    return (
        f"the sweep passed {passes} times over few samples, about {samples}, which a model may "
        "learn by heart: refine the rate with short trials"
    )


def _passes(meta: Mapping[str, Any], ends: Sequence[int]) -> tuple[int, int]:
    """Return how often the longest sweep passed over how many samples; 0 if they are not few."""
    borders, samples = meta.get("epochs_begin_at"), meta.get("samples_in_epoch")
    if not isinstance(samples, int) or samples >= FEW_SAMPLES:
        return 0, 0
    if not isinstance(borders, list) or not all(isinstance(row, int) for row in borders):
        return 0, 0
    longest = max(sum(begin < row < end for row in borders) for begin, end in pairwise(ends))
    different = meta.get("different_samples")
    if isinstance(different, int) and 0 < different < samples:
        samples = different  # the last batch of a pass is not full
    return 1 + longest, samples


def _times_read(meta: Mapping[str, Any], ends: Sequence[int]) -> tuple[int, int]:
    """Return how often the longest sweep read how many different samples; 0 if not few."""
    samples, in_step = meta.get("different_samples"), meta.get("samples_in_step")
    if not isinstance(samples, int) or not 0 < samples < FEW_SAMPLES:
        return 0, 0
    if not isinstance(in_step, int | float) or not 0 < in_step < 1e9:
        return 0, 0
    longest = max(end - begin for begin, end in pairwise(ends))
    return int(longest * in_step / samples), samples
