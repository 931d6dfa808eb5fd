"""The cells of the tests' notebooks: a tiny training whose steps the test controls."""

from __future__ import annotations

import pytest

from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import Lab, Shell

STEPS = 100
START_LR = 1e-5
END_LR = 10.0

# A typical curve: flat, falling, exploding. Each step waits at the gate "steps".
SETUP = """
import threading
import torch
from lrwidget import LRFinderWidget
from steps import Gate

torch.set_num_threads(1)
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
inputs = torch.randn(512, 8)
targets = (inputs @ torch.randn(8, 3)).argmax(1)
data = torch.utils.data.TensorDataset(inputs, targets)
cross_entropy = torch.nn.CrossEntropyLoss()
gate = Gate("steps")
before = [tensor.clone() for tensor in model.state_dict().values()]

def loss_fn(output, target):
    gate.pass_through()
    return cross_entropy(output, target)

def model_is_as_before():
    now = model.state_dict().values()
    return all(torch.equal(*pair) for pair in zip(now, before, strict=True))

def threads():
    return [t.name for t in threading.enumerate() if t.name.startswith("lrwidget")]
"""

WIDGET = f"""
w = LRFinderWidget(
    model, optimizer, loss_fn, data,
    start_lr={START_LR}, end_lr={END_LR}, steps={STEPS}, stop_at_divergence=False, seed=0,
)
w
"""

# Keeps the kernel busy until the test opens the gate.
BUSY = """
Gate("busy").pass_through()
"""
WIDGET_INDEX = 1  # indices of the cells
BUSY_INDEX = 2


def open_finder(
    lab: Lab,
    *,
    allowed: int = 0,
    setup: str = SETUP,
    widget: str = WIDGET,
    shell: Shell = "notebook",
) -> Finder:
    """Open a notebook of three cells, run the first two and return the idle widget.

    `allowed` steps of its sweep may run at once, more after `lab.allow("steps", times)`. The third
    cell keeps the kernel busy.
    """
    lab.allow("steps", allowed)
    lab.open(setup, widget, BUSY, shell=shell)
    lab.run_cell(0)
    lab.run_cell(1)
    finder = Finder(lab)
    finder.wait_until_drawn()
    return finder


def open_second_view(lab: Lab) -> Finder:
    """Show the widget of `open_finder(shell="lab")` in a second view beside its notebook."""
    lab.open_second_view(WIDGET_INDEX)
    second = Finder(lab, view=1)
    second.wait_until_drawn()
    return second


def start(finder: Finder) -> None:
    """Press Start and wait until the page shows that the sweep runs or has ended."""
    finder.button("Start").click()
    finder.wait_for_state("running|finished|failed")


def finish_and_export(finder: Finder) -> None:
    """Let the sweep finish, drag the marker and export: what a user does in any front end."""
    lab = finder.lab
    lab.allow("steps", STEPS)
    finder.wait_for_state("finished")
    finder.wait_for_rows(STEPS)
    assert finder.rows == finder.kernel_rows
    assert finder.chosen == lab.kernel.value("w.suggestion")
    finder.drag_marker_to(0.02)
    assert finder.wait_for_kernel() == pytest.approx(0.02, rel=0.1)
    finder.button("Export").click()
    finder.wait_for_text("lr = ")
    assert lab.kernel.value("lr == w.lr")
