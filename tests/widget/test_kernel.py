"""Tests of the widget in a real kernel, which streams during cells and listens between them."""

from __future__ import annotations

import ast
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

from tests.widget.fakepage import Sent, page_after

TIMEOUT = 120
pytestmark = pytest.mark.process

SETUP = """
import threading, time, torch
from torch import nn
from lrwidget import LRFinderWidget

torch.set_num_threads(1)
torch.manual_seed(0)
inputs = torch.randn(256, 4)
data = torch.utils.data.TensorDataset(inputs, (inputs.sum(1) > 0).long())
model = nn.Linear(4, 2)
fails = False

def loss(output, target):
    time.sleep(0.005)
    if fails:
        raise ArithmeticError("no luck")
    return nn.functional.cross_entropy(output, target)

def finder(**options):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sweep = {"start_lr": 1e-5, "end_lr": 1.0, "seed": 0} | options
    return LRFinderWidget(model, optimizer, loss, data, **sweep)
"""


class Notebook:
    """A kernel and every message that it has published."""

    def __init__(self) -> None:
        root = str(Path(__file__).parents[2])
        env = os.environ | {"PYTHONPATH": root, "JUPYTER_PLATFORM_DIRS": "1"}
        self.manager, self.client = start_new_kernel(kernel_name="python3", env=env)
        self.heard: list[dict[str, Any]] = []

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()

    def listen(self) -> dict[str, Any]:
        message: dict[str, Any] = self.client.get_iopub_msg(timeout=TIMEOUT)
        self.heard.append(message)
        return message

    def begin(self, code: str) -> str:
        """Send a cell to the kernel and return its message id."""
        cell: str = self.client.execute(code, user_expressions={"value": "value"})
        return cell

    def until_idle(self, cell: str, begun: bool = False) -> list[dict[str, Any]]:
        """Return the messages from a cell's start, or with `begun` from now, to its end."""
        said, inside = [], begun
        while True:
            message = self.listen()
            own = message["parent_header"].get("msg_id") == cell
            if own and message["msg_type"] == "status":
                if message["content"]["execution_state"] == "idle":
                    return said
                inside = True
            elif inside:
                said.append(message)

    def reply(self, cell: str) -> dict[str, Any]:
        while True:
            message = self.client.get_shell_msg(timeout=TIMEOUT)
            if message["parent_header"].get("msg_id") == cell:
                content: dict[str, Any] = message["content"]
                return content

    def run(self, code: str) -> Any:
        """Run a cell to its end and return the variable `value`."""
        cell = self.begin("value = None\n" + code)
        self.until_idle(cell)
        reply = self.reply(cell)
        assert reply["status"] == "ok", "\n".join(reply.get("traceback", []))
        return ast.literal_eval(reply["user_expressions"]["value"]["data"]["text/plain"])

    def say(self, comm_id: str, data: dict[str, Any]) -> None:
        """Send a message from the page."""
        content = {"comm_id": comm_id, "data": data}
        self.client.shell_channel.send(self.client.session.msg("comm_msg", content))

    def until(self, happened: Any) -> Any:
        """Receive messages until the condition holds, and return its value."""
        while not (found := happened()):
            self.listen()
        return found

    def sent(self, comm_id: str) -> list[Sent]:
        """Return what a widget has sent to its page so far."""
        return [
            Sent(
                m["content"]["data"],
                [bytes(buffer) for buffer in m["buffers"]],
                0.0,
                threading.current_thread(),
            )
            for m in self.heard
            if m["msg_type"] == "comm_msg" and m["content"]["comm_id"] == comm_id
        ]

    def rows_messages(self, comm_id: str) -> list[Sent]:
        return [m for m in self.sent(comm_id) if "offset" in m.content]

    def printed(self) -> list[str]:
        return [m["content"]["text"] for m in self.heard if m["msg_type"] == "stream"]


@pytest.fixture(scope="module")
def kernel() -> Iterator[Notebook]:
    notebook = Notebook()
    notebook.run(SETUP)
    yield notebook
    notebook.close()


@pytest.fixture(autouse=True)
def nothing_stays() -> None:
    """Replace the shared fixture, because `notebook` checks the threads in the kernel."""


@pytest.fixture
def notebook(kernel: Notebook) -> Iterator[Notebook]:
    kernel.heard.clear()
    kernel.run("fails = False")
    yield kernel
    names = kernel.run("w.close(); value = [t.name for t in threading.enumerate()]")
    assert [name for name in names if name.startswith("lrwidget")] == []
    assert kernel.printed() == []  # no thread and no warning printed to a cell


def test_rows_arrive_while_a_later_cell_sleeps(notebook: Notebook) -> None:
    page = notebook.run("w = finder(steps=300, stop_at_divergence=False); value = w.model_id")
    notebook.say(page, {"method": "custom", "content": {"type": "hello"}})
    notebook.run("w.start()")
    during = notebook.until_idle(notebook.begin("time.sleep(1); value = None"))
    streamed = [
        message["content"]["data"]["content"]["offset"]
        for message in during
        if message["msg_type"] == "comm_msg" and message["content"]["data"]["method"] == "custom"
    ]
    assert len(streamed) >= 5
    assert streamed == sorted(streamed)
    rows = notebook.run("value = w.wait().rows().tolist()")
    held = page_after(notebook.rows_messages(page))
    assert held.rows == rows
    assert held.last["state"] == "finished"
    lr = notebook.run("w.export('rate'); value = rate")
    assert type(lr) is float
    assert lr == held.last["lr"]


def test_a_loop_over_the_state_ends(notebook: Notebook) -> None:
    notebook.run("w = finder(steps=40); w.start()")
    assert notebook.run("while w.state == 'running': time.sleep(.01)\nvalue = w.step") == 40


def test_traits_are_told_with_no_cell_running(notebook: Notebook) -> None:
    page = notebook.run(
        "w = finder(steps=60); heard = []\n"
        "w.observe(lambda c: heard.append((c.new, threading.current_thread().name)), 'state')\n"
        "w.start(); value = w.model_id"
    )

    def ended() -> list[Sent]:
        updates = [m for m in notebook.sent(page) if m.data["method"] == "update"]
        return [m for m in updates if m.data["state"].get("state") == "finished"]

    [update] = notebook.until(ended)
    assert update.data["state"]["lr"] == update.data["state"]["suggestion"] is not None
    heard = notebook.run("value = heard")
    assert heard == [("running", "MainThread"), ("finished", "MainThread")]


def test_the_page_is_heard(notebook: Notebook) -> None:
    page = notebook.run("w = finder(steps=40); w.start(); w.wait(); value = w.model_id")
    notebook.say(page, {"method": "custom", "content": {"type": "hello"}})
    [sync] = notebook.until(
        lambda: [m for m in notebook.rows_messages(page) if m.content["type"] == "sync"]
    )
    assert page_after([sync]).rows == notebook.run("value = w.records.rows().tolist()")
    assert sync.content["model_id"] == page
    notebook.say(page, {"method": "update", "state": {"lr": 0.01, "smoothing": "much"}})
    assert notebook.run("value = (w.lr, w.smoothing)") == (0.01, 0.9)
    notebook.say(page, {"method": "custom", "content": {"type": "export", "name": "mine"}})
    [said] = notebook.until(
        lambda: [m for m in notebook.sent(page) if m.content.get("type") == "exported"]
    )
    assert said.content["ok"] is True
    assert notebook.run("value = mine") == 0.01
    notebook.say(page, {"method": "custom", "content": {"type": "export", "name": "model"}})
    notebook.say(page, {"method": "custom", "content": {"type": "command", "name": "exit"}})
    assert notebook.run("value = type(model).__name__") == "Linear"
    # The kernel logs the two invalid messages.
    warnings = [m for m in notebook.heard if "ignored " in str(m["content"].get("text"))]
    assert len(warnings) == 2
    for warning in warnings:
        notebook.heard.remove(warning)


def test_an_interrupt_ends_the_cell_and_not_the_sweep(notebook: Notebook) -> None:
    notebook.run("w = finder(steps=400, stop_at_divergence=False); w.start()")
    cell = notebook.begin("value = None; display('it waits'); w.wait()")
    notebook.until(lambda: notebook.heard and notebook.heard[-1]["msg_type"] == "display_data")
    notebook.manager.interrupt_kernel()
    notebook.until_idle(cell, begun=True)
    assert notebook.reply(cell)["ename"] == "KeyboardInterrupt"
    assert notebook.run("value = w.state") == "running"
    assert notebook.run("value = len(w.wait())") == 400


def test_a_failure_is_for_the_widget_and_for_wait(notebook: Notebook) -> None:
    page = notebook.run("fails = True; w = finder(steps=40); w.start(); value = w.model_id")
    wait = "while w.error is None: time.sleep(.01)"
    assert notebook.run(f"{wait}\nvalue = w.error") == "ArithmeticError: no luck"
    cell = notebook.begin("value = None; w.wait()")
    notebook.until_idle(cell)
    assert notebook.reply(cell)["ename"] == "ArithmeticError"
    assert page_after(notebook.rows_messages(page)).last["error"] == "ArithmeticError: no luck"
