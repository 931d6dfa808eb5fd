"""Synthetic curves of range tests, for the tests of suggestions."""

import numpy as np


def ladder(steps=100, start=1e-6, end=10.0):
    return start * (end / start) ** (np.arange(1, steps + 1) / steps)


def range_test(
    lr, *, fall=2.0, at=1e-3, width=0.3, climb=0.1, power=4.0, top=1e4, noise=0.05, seed=0
):
    """Return a plateau at 2.3, a fall centred at `at` and a climb of 1 at `climb`, up to `top`."""
    decades = np.log10(lr)
    fallen = fall / (1 + np.exp(-(decades - np.log10(at)) / width))
    climbed = np.minimum((lr / climb) ** power, top)
    return 2.3 - fallen + climbed + noise * np.random.default_rng(seed).normal(size=len(lr))


def decades_apart(one, other):
    return abs(np.log10(one.lr / other.lr))
