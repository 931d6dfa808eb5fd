"""The messages between kernel and page, read from the page's websocket."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from playwright.sync_api import Page, WebSocket


@dataclass(frozen=True)
class Message:
    """A message of the kernel to a widget's model, in terms of the Jupyter protocol."""

    at: float  # when the kernel sent it, in seconds
    data: dict[str, Any]
    content_size: int  # bytes of JSON
    buffers_size: int  # bytes

    @property
    def content(self) -> dict[str, Any]:
        """The content of a custom message; empty for other messages."""
        content: dict[str, Any] = self.data.get("content") or {}
        return content

    @property
    def size(self) -> int:
        """The total number of bytes."""
        return self.content_size + self.buffers_size


class Wire:
    """Records every message to a model; to be created before the page is opened."""

    def __init__(self, page: Page) -> None:
        self.messages: list[Message] = []
        page.on("websocket", self._listen)

    def _listen(self, socket: WebSocket) -> None:
        if "/channels" in socket.url:
            socket.on("framereceived", self._take)

    def _take(self, frame: bytes | str) -> None:
        # The format of v1.kernel.websocket.jupyter.org: the offsets of all parts, then channel,
        # header, parent header, metadata, content and buffers.
        assert isinstance(frame, bytes), "another protocol than the one this reads"
        (count,) = struct.unpack_from("<Q", frame)
        offsets = struct.unpack_from(f"<{count}Q", frame, 8)
        _, header, _, _, content, *buffers = [frame[begin:end] for begin, end in pairwise(offsets)]
        told = json.loads(header)
        if told["msg_type"] == "comm_msg":
            at = datetime.fromisoformat(told["date"]).timestamp()
            data = json.loads(content)["data"]
            self.messages.append(Message(at, data, len(content), sum(map(len, buffers))))

    @property
    def rows_messages(self) -> list[Message]:
        """The messages that carry rows."""
        return [message for message in self.messages if message.content.get("type") == "rows"]


def most_in_a_second(messages: list[Message]) -> int:
    """Return the largest number of messages sent within one second."""
    times = sorted(message.at for message in messages)
    return max(
        (sum(at <= time < at + 1 for time in times[i:]) for i, at in enumerate(times)), default=0
    )
