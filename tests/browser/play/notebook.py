"""The notebook of a game, and the state that its kernel reports."""

from __future__ import annotations

STEPS = 40
LOW, HIGH = 1e-4, 1.0

# A step passes the gate; then the file "trouble" of the player may make it raise an exception or
# take longer.
SETUP = """
import contextlib
import threading
import time
from pathlib import Path
import torch
from lrwidget import LRFinderWidget
from steps import Gate

torch.set_num_threads(1)
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(512, 8)
targets = (inputs @ torch.randn(8, 3)).argmax(1)
data = torch.utils.data.TensorDataset(inputs, targets)
cross_entropy = torch.nn.CrossEntropyLoss()
gate = Gate("steps")
trouble = Path("trouble")
before = [tensor.clone() for tensor in model.state_dict().values()]

def loss_fn(output, target):
    gate.pass_through()
    if trouble.exists():
        kind = trouble.read_text()
        trouble.unlink(missing_ok=True)
        if kind == "exception":
            raise RuntimeError("a batch that the player spoilt")
        time.sleep(0.3)
    return cross_entropy(output, target)

def refined():
    run = w._run_list.refinement
    of_this = run is not None and run.sweep is w._run_list.active
    ended = of_this and run.state in ("finished", "stopped")
    return [run.result.lr] if ended else []

def snapshot():
    now = model.state_dict().values()
    return {
        "state": w.state,
        "lr": w.lr,
        "suggestion": w.suggestion,
        "refined": refined(),
        "smoothing": w.smoothing,
        "lr_range": w.lr_range,
        "labels": [records.meta["label"] for records in w.runs],
        "hidden": [number in w._hidden and number != w._legend["active"]
                   for number, _, _ in w._legend["runs"]],
        "rows": w.records.rows().tolist(),
        "edges": [edge[:3] for edge in edges],
        "threads": [t.name for t in threading.enumerate() if t.name.startswith("lrwidget")],
        "restored": all(torch.equal(*pair) for pair in zip(now, before, strict=True)),
    }
"""

# `edges`: every change of the state that an observer sees, and whether the table is a new one.
WIDGET = """
w = LRFinderWidget(
    model, optimizer, loss_fn, data,
    start_lr={low}, end_lr={high}, steps={steps}, repeats={repeats}, seed=0,
)
edges = []

def note(change):
    records = w.records
    another = not edges or edges[-1][3] is not records
    edges.append((change.old, change.new, another, records))

w.observe(note, "state")
w
"""

BUSY = """
Gate("busy").pass_through()
"""
BUSY_INDEX = 2

# Errors are expected here: a refused call, or the exception of the player.
WAIT = """
with contextlib.suppress(RuntimeError):
    w.wait()
"""
WAIT_INDEX = 3


def widget(repeats: int) -> str:
    """Return the cell that shows the widget."""
    return WIDGET.format(low=LOW, high=HIGH, steps=STEPS, repeats=repeats)
