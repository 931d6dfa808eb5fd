"""The rules taken from fastai suggest the same rates as fastai itself."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lrwidget.curve.published_rules import RULES
from lrwidget.curve.smoothing import smoothed

FASTAI = {"minimum": "minimum/10", "valley": "valley", "slide": "slide"}


# Multiples of 1/8, for which plateaus and equal losses are as likely as falls. Between 1 and 1.5 no
# running loss can reach four times its lowest.
LEVELS = st.integers(8, 12).map(lambda eighths: eighths / 8)


@settings(max_examples=50)
@given(
    arrays(np.float64, st.integers(16, 60), elements=st.one_of(st.floats(1.0, 1.5), LEVELS)),
    st.none() | st.integers(10, 59),
)
def test_the_same_as_fastais_own_functions(loss, broken):
    """On the curve that `Learner.lr_find` hands them: `[num_it // 10 : -5]`, then up to a NaN."""
    from fastai.callback import schedule

    lr = 1e-6 * 1e6 ** (np.arange(1, len(loss) + 1) / 60)
    end = len(loss) if broken is None else broken
    assume(np.ptp(loss[:end]) > 0)
    assume(end < len(loss) - 1 or broken is None)  # a NaN at the very end: see below
    loss[end:] = np.nan
    running = smoothed(loss, 0.98)
    kept = slice(len(loss) // 10, min(end, len(loss) - 5))
    rates, losses = torch.tensor(lr[kept]), torch.tensor(running[kept])
    assume(len(losses))
    for theirs, ours in FASTAI.items():
        if theirs == "slide" and len(losses) <= 15:
            assert RULES[ours](lr, loss) is None
            continue
        expected, _ = getattr(schedule, theirs)(rates, losses, len(loss))
        assert RULES[ours](lr, loss) == pytest.approx(expected, rel=1e-12)


def noisy_range_test(steps=100, *, offset=0.0):
    at = np.arange(1, steps + 1) / steps
    fall = 2.0 / (1 + np.exp(-(at - 0.5) / 0.05))
    noise = 0.1 * np.random.default_rng(0).normal(size=steps)
    return 2.5 + offset - fall + (at / 0.85) ** 30 + noise


def with_value(loss, at, value):
    loss = loss.copy()
    loss[at] = value
    return loss


RAW = {
    "explodes": noisy_range_test(),
    "never explodes": np.minimum(noisy_range_test(), 3.0),
    "60 steps": noisy_range_test(60),
    "NaN in the middle": with_value(noisy_range_test(), 70, np.nan),
    "NaN within the last five": with_value(noisy_range_test(), 97, np.nan),
    "infinite in the middle": with_value(noisy_range_test(), 70, np.inf),
    "falls below zero": noisy_range_test(offset=-1.5),
    "below zero from the start": noisy_range_test(offset=-10.0),
}


@pytest.mark.parametrize("loss", RAW.values(), ids=RAW)
def test_the_same_as_a_learner_that_meets_these_losses(loss, tmp_path):
    """The whole of `Learner.lr_find`, with a loss that is read from the table."""
    from fastai.callback import schedule
    from fastai.learner import DataLoaders, Learner

    steps = len(loss)
    met = iter(loss)
    batches = [(torch.zeros(1, 1), torch.zeros(1, 1))] * steps
    learn = Learner(
        DataLoaders(batches, batches[:1]),
        torch.nn.Linear(1, 1),
        loss_func=lambda output, _: output.sum() * 0 + next(met),
        path=tmp_path,
    )
    find = partial(learn.lr_find, num_it=steps, show_plot=False)
    try:
        expected = find(suggest_funcs=[getattr(schedule, theirs) for theirs in FASTAI])
    except IndexError:  # of fastai, which has no point left
        expected = None
    lr = np.array(learn.recorder.lrs)
    # fastai may end earlier, so its rates are continued.
    lr = np.r_[lr, lr[-1] * 1.2 ** np.arange(1, steps - len(lr) + 1)]
    for theirs, ours in FASTAI.items():
        rate = None if expected is None else pytest.approx(getattr(expected, theirs), rel=1e-5)
        assert RULES[ours](lr, loss) == rate
