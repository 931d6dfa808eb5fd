"""Ray may run the calls of an actor in another order than that in which they were made."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrwidget.curve.search import Job as SearchJob
from lrwidget.ray.coordinator import Coordinator, ScalingRequest
from lrwidget.ray.in_order import InOrder
from lrwidget.ray.trial_worker import TrialWorker
from lrwidget.ray.worker import SweepWorker


@given(st.permutations(range(6)))
def test_calls_run_in_the_order_of_their_numbers(arrived: list[int]) -> None:
    calls, ran = InOrder(), list[int]()
    for count, number in enumerate(arrived, start=1):
        calls.run(number, lambda number=number: ran.append(number))  # type: ignore[misc]
        there = set(arrived[:count])
        assert ran == [n for n in range(6) if set(range(n + 1)) <= there]


def test_a_worker_trains_in_the_order_in_which_it_was_ordered() -> None:
    worker = TrialWorker()
    orders = [SearchJob(place, 0.1, 0, 10) for place in range(3)]
    for number in (1, 2, 0):
        worker.order(number, orders[number], frozenset())
    assert [worker._orders.get_nowait()[0] for _ in orders] == orders


@pytest.mark.parametrize("made", [SweepWorker, lambda: Coordinator(ScalingRequest(2, 1, 0))])
def test_of_two_commands_the_later_one_holds(made: Any) -> None:
    worker = made()
    worker.steer(1, "run")
    worker.steer(0, "pause")
    assert worker._command == "run"


def test_trials_that_were_paused_and_resumed_go_on() -> None:
    worker = TrialWorker()
    worker.steer(1, "run")
    worker.steer(0, "pause")
    assert worker._go.is_set()
