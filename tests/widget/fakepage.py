"""A fake page for the widget's tests: a comm that records messages, and a reader of their rows."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Sent:
    """A message that the widget sent to the page."""

    data: dict[str, Any]
    buffers: list[bytes]
    at: float
    thread: threading.Thread

    @property
    def content(self) -> dict[str, Any]:
        """The content of a custom message; empty for other messages."""
        return self.data["content"] if self.data["method"] == "custom" else {}

    @property
    def size(self) -> int:
        """The message's bytes on the wire without its buffers."""
        return len(json.dumps(self.content or self.data, separators=(",", ":")))


class FakeComm:
    """Replaces the kernel's comm and records what is sent."""

    kernel = "there is one"

    def __init__(self, **opening: Any) -> None:
        self.comm_id = uuid.uuid4().hex
        self.opening = opening
        self.sent: list[Sent] = []
        self.closed = False
        self.fail = 0  # the number of sends that will raise
        self._callback: Callable[[dict[str, Any]], None] | None = None

    def on_msg(self, callback: Callable[[dict[str, Any]], None]) -> None:
        self._callback = callback

    def send(self, data: Any = None, metadata: Any = None, buffers: Any = None) -> None:
        if self.fail:
            self.fail -= 1
            raise OSError("the socket is closed")
        json.dumps(data, allow_nan=False)  # browsers reject NaN in JSON
        kept = [bytes(buffer) for buffer in buffers or []]
        self.sent.append(Sent(data, kept, time.monotonic(), threading.current_thread()))

    def close(self, *args: Any, **kwargs: Any) -> None:
        self.closed = True

    def receive(self, data: Any) -> None:
        """Deliver a message from the page."""
        assert self._callback is not None
        self._callback({"content": {"data": data}, "buffers": []})

    def say(self, **content: Any) -> None:
        """Deliver a custom message from the page."""
        self.receive({"method": "custom", "content": content})

    def set(self, **state: Any) -> None:
        """Deliver an update of traits from the page."""
        self.receive({"method": "update", "state": state, "buffer_paths": []})

    @property
    def rows_messages(self) -> list[Sent]:
        """The messages that carry rows."""
        return [m for m in self.sent if m.content.get("type") in ("rows", "sync")]

    def updates(self, name: str) -> list[Any]:
        """Return the values of a trait that were sent, oldest first."""
        return [
            m.data["state"][name]
            for m in self.sent
            if m.data["method"] == "update" and name in m.data["state"]
        ]


@dataclass
class FakePage:
    """Holds the newest run, its rows and its last status, as a page would."""

    run: int = 0
    rows: list[list[float]] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    gaps: int = 0
    last: dict[str, Any] = field(default_factory=dict)

    def take(self, message: Sent) -> None:
        content = message.content
        if content["run"] < self.run:
            return
        if content["run"] > self.run:
            self.run, self.rows, self.starts = content["run"], [], []
        new = np.frombuffer(b"".join(message.buffers), dtype="<f8").reshape(-1, 2).tolist()
        offset = content["offset"]
        if offset > len(self.rows):
            self.gaps += 1
            return
        self.rows[offset : offset + len(new)] = new
        self.starts = sorted({*self.starts, *content["starts"]})
        self.last = content


def page_after(messages: list[Sent]) -> FakePage:
    """Return the state of a page after these messages."""
    page = FakePage()
    for message in messages:
        page.take(message)
    return page


def tables(messages: list[Sent]) -> dict[int, list[list[float]]]:
    """Return the rows of every run in these messages."""
    found: dict[int, list[list[float]]] = {}
    for message in messages:
        rows = found.setdefault(message.content["run"], [])
        offset = message.content["offset"]
        if offset > len(rows):  # a status that overtook its rows
            continue
        new = np.frombuffer(b"".join(message.buffers), "<f8").reshape(-1, 2).tolist()
        rows[offset : offset + len(new)] = new
    return found
