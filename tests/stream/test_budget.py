"""Tests that the budget limits the messages of all senders together and starves no sender."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from lrwidget.stream.budget import BURST, INTERVAL, NEWS_INTERVAL, Budget


def test_rates_of_messages_and_news_fit_the_promise() -> None:
    assert 1 / INTERVAL + 1 / NEWS_INTERVAL <= 25
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
            budget.wait()
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
        budget.wait()
    assert clock.now - began == pytest.approx(10 * INTERVAL)


@pytest.mark.slow
def test_many_senders_share_it_and_each_has_its_turn() -> None:
    budget, sent = Budget(), Counter[int]()
    until = time.monotonic() + 40 * INTERVAL

    def send(number: int) -> None:
        while time.monotonic() < until:
            budget.wait()
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
