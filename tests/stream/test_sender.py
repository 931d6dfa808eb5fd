"""Tests of the message format and of the sender thread, which loses no row and always ends."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from lrwidget.records.records import LRRecords
from lrwidget.stream import sender as stream
from lrwidget.stream.protocol import Status, encode, rows_message, saved
from lrwidget.stream.sender import PageState, Sender
from lrwidget.stream.threads import in_background
from tests.widget.fakepage import FakeComm, page_after


def status(**changes: Any) -> Status:
    values: dict[str, Any] = {
        "run": 3,
        "state": "running",
        "step": 0,
        "steps": 100,
        "elapsed": 1.23456,
        "error": None,
        "suggestion": None,
        "detail": {"reason": ""},
    }
    return Status(**(values | changes))


def records_of(rows: int, first: int = 0) -> LRRecords:
    records = LRRecords()
    for i in range(first, first + rows):
        records.append(1e-6 * (i + 1), 1.0 / (i + 1))
    return records


# -- the format


def test_rows_are_little_endian_pairs_in_a_copy() -> None:
    rows = np.array([[1e-6, 2.5], [1e-5, np.nan]])
    data = encode(rows)
    rows[0, 0] = 9.0
    assert data[:8] == np.float64(1e-6).astype("<f8").tobytes()
    back = np.frombuffer(data, dtype="<f8").reshape(-1, 2)
    np.testing.assert_array_equal(back, [[1e-6, 2.5], [1e-5, np.nan]])


def test_message_holds_the_rows_from_an_offset_on() -> None:
    records = records_of(5)
    content, [buffer] = rows_message(status(step=5), records, 2)
    assert content == {
        "type": "rows",
        "run": 3,
        "offset": 2,
        "starts": [],
        "state": "running",
        "step": 5,
        "steps": 100,
        "elapsed": 1.235,
        "error": None,
        "suggestion": None,
    }
    assert buffer == encode(records.rows(2))


def test_message_without_rows_has_no_buffer_and_says_only_what_changed() -> None:
    content, buffers = rows_message(status(), records_of(4), 4, lr=1e-3, detail=True)
    assert buffers == []
    assert content["lr"] == 1e-3
    assert content["detail"] == {"reason": ""}


def test_offset_beyond_the_end_gives_no_rows() -> None:
    content, buffers = rows_message(status(step=4), records_of(4), 9)
    assert (content["offset"], content["step"], buffers) == (9, 4, [])


def test_message_about_the_status_alone() -> None:
    content, buffers = rows_message(status(step=3), records_of(4), None)
    assert (content["offset"], content["step"], buffers) == (3, 3, [])


def test_usual_message_stays_within_300_bytes() -> None:
    records = records_of(100_000)
    full = status(
        step=100_000, steps=100_000, elapsed=123_456.789, suggestion=0.0012345678901234567
    )
    content, _ = rows_message(full, records, 99_999)
    assert len(json.dumps(content)) <= 300


def test_a_message_says_only_of_its_own_rows_where_sweeps_begin() -> None:
    records = LRRecords()
    for _ in range(1000):
        records.begin_sweep()
        for step in range(100):
            records.append(1e-3 * (step + 1), 1.0)
    content, _ = rows_message(status(step=100_000, steps=100_000), records, 99_890)
    assert content["starts"] == [99_900]
    assert len(json.dumps(content)) <= 300
    assert rows_message(status(), records, 0)[0]["starts"] == records.sweep_starts


def test_a_repeat_that_begins_after_the_copy_is_left_for_the_next_message() -> None:
    @dataclass
    class Growing:
        sweep_starts: list[int] = field(default_factory=lambda: [0, 3, 7])

        def rows(self, offset: int = 0) -> np.ndarray:
            return records_of(5).rows(offset)

    content, _ = rows_message(status(), Growing(), 0)
    assert content["starts"] == [0, 3]
    assert saved(status(), Growing())["starts"] == [0, 3]


def test_what_is_saved_is_everything() -> None:
    records = records_of(3)
    message, [buffer] = rows_message(status(), records, 0, detail=True)
    assert saved(status(), records) == message | {"data": buffer}
    assert saved(status(), LRRecords(), "check")["data"] == b""
    assert saved(status(), LRRecords(), "check")["type"] == "check"


# -- the sender


class FakeRun:
    """A run whose rows and state the test sets."""

    def __init__(self) -> None:
        self.records = LRRecords()
        self.state = "running"
        self.over = False
        self.settled = 0
        self.settled_in_background = False

    def settle(self) -> None:
        self.settled += 1
        self.settled_in_background = in_background()
        self.state = "finished"

    def status(self) -> Status:
        suggestion = 0.5 if self.state == "finished" else None
        return status(
            state=self.state,
            step=len(self.records),
            suggestion=suggestion,
            detail={"reason": self.state},
        )

    def feed(self, rows: int) -> None:
        for _ in range(rows):
            i = len(self.records) + 1
            self.records.append(1e-6 * i, 1.0 / i)


class Sending:
    """A sender that writes to a fake comm instead of a widget."""

    def __init__(self) -> None:
        self.run = FakeRun()
        self.comm = FakeComm()
        self.news = 0
        self.page = PageState(send=self.send, catch_up_soon=self.heard, clamp=lambda lr: lr)
        self.page.active = self.run.status().run
        self.sender = Sender(self.run, self.page)

    def send(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        self.comm.send({"method": "custom", "content": content}, buffers=buffers)

    def heard(self) -> None:
        self.news += 1

    def until(self, happened: Any) -> None:
        deadline = time.monotonic() + 60
        while not happened():
            assert time.monotonic() < deadline, "it never happened"
            time.sleep(0.002)

    def end(self) -> None:
        self.run.over = True
        self.sender.wake()
        assert self.sender.join(60)


@pytest.fixture
def sending():
    running = Sending()
    running.page.greeted = True
    yield running
    if not running.sender.join(0):
        running.end()


def test_offsets_are_consecutive_and_complete(sending: Sending) -> None:
    sending.sender.start()
    for _ in range(60):
        sending.run.feed(7)
        time.sleep(0.003)
    sending.end()
    expected = 0
    for message in sending.comm.sent:
        assert message.content["offset"] == expected
        expected += sum(map(len, message.buffers)) // 16
    assert expected == 420
    assert page_after(sending.comm.sent).rows == sending.run.records.rows().tolist()


def test_final_flush_says_how_it_ended_and_the_thread_is_gone(sending: Sending) -> None:
    before = set(threading.enumerate())
    sending.sender.start()
    sending.run.feed(3)
    sending.end()
    last = sending.comm.sent[-1].content
    assert (last["state"], last["step"], last["suggestion"]) == ("finished", 3, 0.5)
    assert last["detail"] == {"reason": "finished"}
    assert last["lr"] == 0.5
    assert sending.run.settled == 1
    assert sending.run.settled_in_background
    assert sending.news >= 1
    assert set(threading.enumerate()) == before


def test_news_tells_a_page_which_model_is_its_own_and_rows_do_not(sending: Sending) -> None:
    sending.page.model_id = "0123"
    sending.sender.start()
    sending.until(lambda: sending.comm.sent)
    for _ in range(3):
        count = len(sending.comm.sent)
        sending.run.feed(1)
        sending.until(lambda count=count: len(sending.comm.sent) > count)
    sending.end()
    told = [("detail" in m.content, m.content.get("model_id")) for m in sending.comm.sent]
    assert set(told) == {(True, "0123"), (False, None)}


def test_marker_is_not_moved_once_somebody_has_picked(sending: Sending) -> None:
    sending.page.picked = True
    sending.sender.start()
    sending.end()
    assert all("lr" not in message.content for message in sending.comm.sent)


def test_only_the_outcome_moves_the_marker_and_within_the_range_of_the_page(
    sending: Sending,
) -> None:
    sending.page.clamp = lambda lr: lr and min(lr, 0.25)
    sending.sender.start()
    sending.run.feed(3)
    sending.until(lambda: page_after(sending.comm.sent).rows)
    sending.end()
    moved = [message.content["lr"] for message in sending.comm.sent if "lr" in message.content]
    assert moved == [0.25]


def test_a_change_of_state_the_end_and_the_outcome_do_not_wait_their_turn(
    sending: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    urgent: list[bool] = []
    monkeypatch.setattr(sending.page.budget, "wait", lambda **given: urgent.append(given["urgent"]))
    sending.sender.start()
    sending.until(lambda: sending.comm.sent)
    sending.run.feed(1)
    sending.until(lambda: page_after(sending.comm.sent).rows)
    sending.run.state = "paused"
    sending.sender.wake()
    sending.until(lambda: sending.comm.sent[-1].content["state"] == "paused")
    sending.run.state = "finished"
    sending.end()
    assert urgent == [True, False, True, True, True]


def test_observers_in_python_hear_of_a_run_while_it_runs(sending: Sending) -> None:
    sending.sender.start()
    sending.until(lambda: sending.news)


def test_a_message_says_what_is_so_after_its_turn_came(
    sending: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pause(**_: bool) -> None:
        sending.run.state = "paused"

    monkeypatch.setattr(sending.page.budget, "wait", pause)
    sending.sender.start()
    sending.until(lambda: sending.comm.sent)
    assert sending.comm.sent[0].content["state"] == "paused"


@pytest.mark.parametrize(("sweep", "moved"), [(7, True), (8, False), (None, False)])
def test_what_is_no_sweep_moves_only_the_marker_of_the_one_that_it_refines(
    sending: Sending, sweep: int | None, moved: bool
) -> None:
    sending.page.active = 7
    sending.sender.kind, sending.sender.sweep = "refinement", sweep
    sending.sender.start()
    sending.end()
    assert ("lr" in sending.comm.sent[-1].content) is moved


@pytest.mark.slow
def test_a_fast_sweep_is_coalesced(sending: Sending) -> None:
    sending.sender.start()
    began = time.monotonic()
    while time.monotonic() - began < 1.5:
        sending.run.feed(2)
        time.sleep(0.001)
    sending.end()
    seconds = time.monotonic() - began
    # The first and the last message are sent without waiting for the interval.
    assert len(sending.comm.sent) <= 25 * seconds + 2
    assert len(sending.comm.sent) < len(sending.run.records) / 4


def test_silence_while_there_is_nothing_to_say(sending: Sending) -> None:
    sending.sender.start()
    sending.run.feed(1)
    sending.until(lambda: page_after(sending.comm.sent).rows)
    count = len(sending.comm.sent)
    time.sleep(6 * stream.INTERVAL)
    assert len(sending.comm.sent) == count


def test_a_change_of_state_is_sent_without_rows(sending: Sending) -> None:
    sending.sender.start()
    sending.until(lambda: sending.comm.sent)
    sending.run.state = "paused"
    sending.sender.wake()
    sending.until(lambda: sending.comm.sent[-1].content["state"] == "paused")
    assert sending.comm.sent[-1].buffers == []


def test_rows_that_could_not_be_sent_are_sent_again(
    sending: Sending, caplog: pytest.LogCaptureFixture
) -> None:
    sending.run.feed(4)
    sending.comm.fail = 2
    sending.sender.start()
    sending.until(lambda: sending.comm.sent)
    sending.end()
    assert page_after(sending.comm.sent).rows == sending.run.records.rows().tolist()
    assert "was not sent" in caplog.text


def test_everything_is_repeated_until_a_page_says_hello(
    sending: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "REPEATS", (0.05, 0.1, 3600.0))
    sending.page.greeted = False
    sending.run.feed(5)
    sending.sender.start()
    sending.until(lambda: len(sending.comm.sent) >= 3)
    sending.run.feed(1)
    sending.page.greeted = True
    sending.until(lambda: len(sending.comm.sent) >= 4)
    sending.end()
    assert [m.content["offset"] for m in sending.comm.sent][:4] == [0, 0, 0, 5]
    # A page that received only the last repeat still has every row and the details.
    late = sending.comm.sent[2:]
    assert late[0].content["detail"] == {"reason": "running"}
    assert page_after(late).rows == sending.run.records.rows().tolist()


def test_a_page_that_said_hello_gets_no_repeats(
    sending: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "REPEATS", (0.0, 0.05, 0.1))
    sending.sender.start()
    for _ in range(20):
        sending.run.feed(1)
        time.sleep(0.01)
    sending.end()
    offsets = [m.content["offset"] for m in sending.comm.sent]
    assert offsets.count(0) <= 2  # the first status may precede the first row
    assert offsets == sorted(offsets)
