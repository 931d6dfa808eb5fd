"""The traffic of a sweep, read from the page's websocket."""

from __future__ import annotations

import json

import pytest

from tests.browser.harness.cells import open_finder
from tests.browser.harness.lab import Lab
from tests.browser.harness.wire import Wire, most_in_a_second

ROW = 24  # bytes at most
MESSAGE = 300  # bytes at most, not counting its rows
ROWS = 8_000

FAST = """
import torch
from lrwidget import LRFinderWidget

model = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
data = [(torch.randn(8, 4), torch.randn(8, 2))]
"""
SWEEPS = f"""
w = LRFinderWidget(
    model, optimizer, torch.nn.functional.mse_loss, data,
    steps=100, repeats={ROWS // 100}, end_lr=1e-2, stop_at_divergence=False, seed=0,
)
w
"""


@pytest.mark.own_page
def test_traffic_grows_with_the_rows_alone(lab: Lab) -> None:
    wire = Wire(lab.page)
    finder = open_finder(lab, setup=FAST, widget=SWEEPS)
    before = len(wire.messages)
    finder.button("Start").click()
    finder.wait_for_state("finished")
    messages = wire.messages[before:]

    rows = sum(message.buffers_size for message in wire.rows_messages) // 16
    assert rows == ROWS == lab.kernel.value("len(w.records)")
    assert most_in_a_second(messages) <= 25
    stream = [message for message in wire.rows_messages if "detail" not in message.content]
    assert len(stream) > 10
    # `starts` is sent once, with the rows, and has more entries the longer the page waits.
    starts = [len(json.dumps(message.content["starts"])) for message in stream]
    assert max(m.content_size - n for m, n in zip(stream, starts, strict=True)) <= MESSAGE
    # The total includes the updates of traits and the details at the end.
    assert sum(message.size for message in messages) <= ROW * rows + MESSAGE * len(messages)
