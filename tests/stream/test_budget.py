"""Tests that the budget limits the messages of all senders together and starves no sender."""

from __future__ import annotations

import threading
import time
from collections import Counter
from random import Random

import pytest

from lrwidget.stream.budget import BURST, INTERVAL, NEWS_INTERVAL, Budget


def test_rates_of_messages_and_news_fit_the_promise() -> None:
    assert 1 / INTERVAL + BURST + 1 / NEWS_INTERVAL + 1 <= 25 + 1e-9
    assert INTERVAL < 0.1  # the page lags by at most this


class Clock:
    """A clock that advances only when the code sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_message_now_and_then_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("lrwidget.stream.budget.time", clock)
    budget = Budget()
    for _ in range(3):
        began = clock.now
        for _ in range(BURST):
            budget.wait(urgent=True)
        assert clock.now == began
        clock.sleep(BURST * INTERVAL)


def test_many_messages_at_once_go_out_at_the_pace_of_the_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr("lrwidget.stream.budget.time", clock)
    budget = Budget()
    began = clock.now
    for _ in range(BURST + 10):
        budget.wait(urgent=True)
    assert clock.now - began == pytest.approx(10 * INTERVAL)


def test_other_messages_leave_room_for_urgent_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("lrwidget.stream.budget.time", clock)
    budget = Budget()
    began = clock.now
    for _ in range(10):
        budget.wait(urgent=False)
    assert clock.now - began == pytest.approx(9 * INTERVAL)
    began = clock.now
    for _ in range(BURST - 1):
        budget.wait(urgent=True)
    assert clock.now == began
    budget.wait(urgent=False)  # not before the tokens are back
    assert clock.now - began == pytest.approx(BURST * INTERVAL)


def test_no_second_has_more_messages_than_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("lrwidget.stream.budget.time", clock)
    budget, sent, random = Budget(), [], Random(3)
    while clock.now < 160.0:
        budget.wait(urgent=random.random() < 0.5)
        sent.append(clock.now)
        if random.random() < 0.05:
            clock.sleep(random.expovariate(2.0))
    for i, began in enumerate(sent):
        assert sum(at < began + 1 for at in sent[i:]) + 3 <= 25  # with those of the traits


@pytest.mark.slow
def test_many_senders_share_it_and_each_has_its_turn() -> None:
    budget, sent = Budget(), Counter[int]()
    until = time.monotonic() + 40 * INTERVAL

    def send(number: int) -> None:
        while time.monotonic() < until:
            budget.wait(urgent=False)
            sent[number] += 1

    threads = [threading.Thread(target=send, args=(number,)) for number in range(5)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - began
    assert sum(sent.values()) <= seconds / INTERVAL + BURST
    assert min(sent.values()) >= 4  # half a fair share, because busy machines delay threads


def test_news_are_due_once_in_a_while_for_all_together() -> None:
    budget = Budget()
    assert budget.news_due()
    assert not budget.news_due()
    time.sleep(NEWS_INTERVAL)
    assert budget.news_due()
