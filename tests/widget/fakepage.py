"""A page for the widget's tests: a comm that keeps every message, and what a page makes of them."""

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
    """A message to the page."""

    data: dict[str, Any]
    buffers: list[bytes]
    at: float
    thread: threading.Thread

    @property
    def content(self) -> dict[str, Any]:
        """Of a custom message; empty for others."""
        return self.data["content"] if self.data["method"] == "custom" else {}

    @property
    def size(self) -> int:
        """Bytes on the wire, apart from the buffer."""
        return len(json.dumps(self.content or self.data, separators=(",", ":")))


class FakeComm:
    """In place of the kernel's comm."""

    kernel = "there is one"

    def __init__(self, **opening: Any) -> None:
        self.comm_id = uuid.uuid4().hex
        self.opening = opening
        self.sent: list[Sent] = []
        self.closed = False
        self.fail = 0  # so many sends raise
        self._callback: Callable[[dict[str, Any]], None] | None = None

    def on_msg(self, callback: Callable[[dict[str, Any]], None]) -> None:
        self._callback = callback

    def send(self, data: Any = None, metadata: Any = None, buffers: Any = None) -> None:
        if self.fail:
            self.fail -= 1
            raise OSError("the socket is closed")
        json.dumps(data, allow_nan=False)  # the browser reads strict JSON
        kept = [bytes(buffer) for buffer in buffers or []]
        self.sent.append(Sent(data, kept, time.monotonic(), threading.current_thread()))

    def close(self, *args: Any, **kwargs: Any) -> None:
        self.closed = True

    def receive(self, data: Any) -> None:
        """A message from the page."""
        assert self._callback is not None
        self._callback({"content": {"data": data}, "buffers": []})

    def say(self, **content: Any) -> None:
        """A custom message from the page."""
        self.receive({"method": "custom", "content": content})

    def set(self, **state: Any) -> None:
        """Traits that the page has set."""
        self.receive({"method": "update", "state": state, "buffer_paths": []})

    @property
    def rows_messages(self) -> list[Sent]:
        """The messages of the stream."""
        return [m for m in self.sent if m.content.get("type") in ("rows", "sync")]

    def updates(self, name: str) -> list[Any]:
        """The values of a trait that were sent, oldest first."""
        return [
            m.data["state"][name]
            for m in self.sent
            if m.data["method"] == "update" and name in m.data["state"]
        ]


@dataclass
class FakePage:
    """What a page holds after the messages: the newest run, its rows, and how it stands."""

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
    """The page that got these messages."""
    page = FakePage()
    for message in messages:
        page.take(message)
    return page


def tables(messages: list[Sent]) -> dict[int, list[list[float]]]:
    """The rows of every run that the page got these messages about."""
    found: dict[int, list[list[float]]] = {}
    for message in messages:
        rows = found.setdefault(message.content["run"], [])
        offset = message.content["offset"]
        if offset > len(rows):  # about the status alone, while rows are still on their way
            continue
        new = np.frombuffer(b"".join(message.buffers), "<f8").reshape(-1, 2).tolist()
        rows[offset : offset + len(new)] = new
    return found
