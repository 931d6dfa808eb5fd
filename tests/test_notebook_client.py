"""The client with which tests execute notebooks."""

import time
from typing import Any

import nbformat
import pytest
from jupyter_client.channels import ZMQSocketChannel

from tests.notebook_client import WakefulClient

TIMEOUT = 60

CELL = """
import ipywidgets
number = ipywidgets.IntText()
output = ipywidgets.interactive_output(print, {"end": number})
number.value = 1
"""


@pytest.mark.process
def test_a_reply_that_arrives_before_a_send_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    send = ZMQSocketChannel.send
    sent = []

    def late_send(channel: ZMQSocketChannel, message: dict[str, Any]) -> None:
        if message["header"]["msg_type"] == "comm_msg":
            sent.append(message)
            time.sleep(0.5)  # the event loop stands still: the reply arrives meanwhile
        send(channel, message)

    monkeypatch.setattr(ZMQSocketChannel, "send", late_send)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    started = time.monotonic()
    WakefulClient(notebook, timeout=TIMEOUT).execute()
    assert sent
    # Without the mend the reply is noticed, and the cell ends, only when the timeout has passed.
    assert time.monotonic() - started < TIMEOUT
