"""accumulate_in_step must be the number of calls after which the optimizer steps."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lrwidget import LRRecords, TrainingTask, lr_find
from tests.tasks import blobs, network

LOSS = nn.CrossEntropyLoss()
SAMPLES = blobs()
BATCHES = [SAMPLES[i : i + 32] for i in range(0, 256, 32)]


def find(steps_now: Callable[[int], bool], told: int, *, not_finite_at: int = 0) -> LRRecords:
    """Run a sweep whose step calls the optimizer in the calls selected by `steps_now`."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    calls = [0]

    def step(batch: Any) -> torch.Tensor:
        calls[0] += 1
        loss: torch.Tensor = LOSS(model(batch[0]), batch[1])
        if calls[0] == not_finite_at:
            return loss * torch.nan
        loss.backward()
        if steps_now(calls[0]):
            optimizer.step()
            optimizer.zero_grad()
        return loss

    task = TrainingTask(model, optimizer, data=BATCHES, step=step, accumulate_in_step=told)
    return lr_find(task, start_lr=1e-6, end_lr=1.0, steps=12, progress=False)


@pytest.mark.parametrize(("every", "told"), [(4, 2), (4, 1), (2, 1), (4, 3)])
def test_a_rate_at_which_no_step_was_taken_is_an_error_that_says_so(every: int, told: int) -> None:
    with pytest.raises(RuntimeError, match=rf"accumulate_in_step is {told}, .* SGD.step called"):
        find(lambda call: call % every == 0, told)


def test_every_row_with_a_step_in_it_will_do() -> None:
    # Neither steps only in the last of four calls.
    assert find(lambda call: call % 4 == 2, 4).stop_reason == "finished"
    assert find(lambda call: call % 2 == 0, 4).stop_reason == "finished"
    assert find(lambda _: True, 1, not_finite_at=5).stop_reason == "non-finite"
