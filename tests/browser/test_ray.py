"""Sweeps on a real Ray cluster of two nodes, from a notebook whose kernel joins the cluster.

The model is defined in the notebook itself, so that Ray sends it to the workers by value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.harness.cells import open_finder, start
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import TIMEOUT, Lab
from tests.browser.harness.server import JupyterServer
from tests.ray.cluster import Nodes, cluster

STEPS = 40
ENDLESS = 100_000

# Each step waits at the gate "steps", a file that the workers read.
SETUP = """
import pathlib
import threading
import time

import torch
from lrwidget import LRFinderWidget
from lrwidget.distributed import RayRunner

GATE = pathlib.Path("steps").resolve()

class Net(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))

class GatedLoss(torch.nn.CrossEntropyLoss):
    calls = 0

    def forward(self, output, target):
        self.calls += 1
        while int(GATE.read_text()) < self.calls:
            time.sleep(0.005)
        return super().forward(output, target)

def make_task(batch_size=32):
    torch.set_num_threads(1)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    inputs = torch.randn(512, 8)
    data = torch.utils.data.TensorDataset(inputs, (inputs @ torch.randn(8, 3)).argmax(1))
    return model, optimizer, GatedLoss(), torch.utils.data.DataLoader(data, batch_size)

def threads():
    return [t.name for t in threading.enumerate() if t.name.startswith("lrwidget")]
"""


@pytest.fixture(scope="module")
def nodes(server: JupyterServer, context: BrowserContext) -> Iterator[Nodes]:
    """Yield a cluster with one core, on a node that stays; server and browser do not join it."""
    with cluster() as nodes:
        nodes.add(num_cpus=1)
        yield nodes


@pytest.fixture
def notebook(nodes: Nodes, lab: Lab) -> Iterator[Lab]:
    """Yield a notebook whose kernel leaves the cluster at the end."""
    yield lab
    lab.allow("steps", ENDLESS)
    lab.kernel.run("w.close(); import ray; ray.shutdown()")


def open_on(nodes: Nodes, notebook: Lab, steps: int, needs: str = "num_gpus=0") -> Finder:
    """Return the idle widget of a notebook with a runner on the cluster."""
    widget = f"""
w = LRFinderWidget(make_task, runner=RayRunner({nodes.address!r}, {needs}),
                   start_lr=1e-5, end_lr=1.0, steps={steps}, stop_at_divergence=False, seed=0)
w"""
    return open_finder(notebook, setup=SETUP, widget=widget)


def outputs(notebook: Lab) -> list[str]:
    """Return the types of the cells' outputs."""
    return [output["output_type"] for index in range(2) for output in notebook.outputs(index)]


def wait_for_all(finder: Finder, rows: list[list[float]]) -> None:
    """Wait until the page has these rows, of which it draws few where many share a pixel."""
    finder.wait_for_text(f"step {len(rows)} of")
    pixel = math.log(1.0 / 1e-5) / finder.plot["width"]

    def drawn_to_the_end() -> bool:
        return math.log(rows[-1][0] / finder.rows[-1][0]) <= pixel

    finder.lab.wait_for("the line goes to the last row", drawn_to_the_end)
    assert all(row in rows for row in finder.rows)


def test_rows_come_live_a_reload_shows_all_and_pause_and_stop_reach_the_worker(
    nodes: Nodes, notebook: Lab
) -> None:
    finder = open_on(nodes, notebook, ENDLESS)
    start(finder)
    for count in (1, 7, 12):
        notebook.allow("steps", count)
        finder.wait_for_rows(count)
        assert finder.rows == finder.kernel_rows
    assert finder.mark("raw loss").x_range == [1e-5, 1.0]

    notebook.reload()
    finder.wait_for_rows(12)
    notebook.allow("steps", 20)
    finder.wait_for_rows(20)
    assert finder.rows == finder.kernel_rows

    finder.button("Pause").click()
    notebook.allow("steps", ENDLESS)
    finder.wait_for_state("paused")
    held = finder.kernel_rows
    assert 20 <= len(held) < ENDLESS
    wait_for_all(finder, held)
    assert finder.kernel_rows == held

    finder.button("Resume").click()
    notebook.wait_for("it goes on", lambda: finder.rows[-1] != held[-1])
    finder.button("Stop").click()
    finder.wait_for_state("stopped")
    wait_for_all(finder, finder.kernel_rows)
    assert notebook.kernel.value("str(w.wait(60).stop_reason)") == "stopped"
    notebook.wait_for("no thread stays", lambda: notebook.kernel.value("threads()") == [])
    assert outputs(notebook) == ["execute_result"]  # the widget, and no output of a worker


# In `test`: tests/ray/test_runs.py for the runs, and a failed run in tests/browser/test_run.py.
@pytest.mark.full
def test_where_a_node_dies_the_page_says_so_and_the_other_run_goes_on(
    nodes: Nodes, notebook: Lab
) -> None:
    finder = open_on(nodes, notebook, STEPS)
    notebook.allow("steps", 5)
    start(finder)
    finder.wait_for_rows(5)
    # The first node has no free core, so the next run is on the second one.
    second = nodes.add(num_cpus=1)
    notebook.kernel.run("w.start(label='small', batch_size=8)")
    steps = "[len(run) for run in w.runs]"
    notebook.wait_for("both are under way", lambda: notebook.kernel.value(steps) == [5, 5])
    finder.wait_for_rows(5)
    small = finder.rows
    nodes.kill(second)
    finder.wait_for_state("failed")
    finder.wait_for_text("WorkerLostError: the worker was lost after 5 steps: its process or its")
    assert finder.rows == small == finder.kernel_rows
    notebook.reload()
    finder.wait_for_text("the worker was lost after 5 steps")
    finder.wait_for_rows(5)

    notebook.allow("steps", STEPS)
    notebook.kernel.run("w.activate('run 1')")
    finder.wait_for_state("finished")
    finder.wait_for_rows(STEPS)
    assert finder.rows == finder.kernel_rows
    assert finder.rows[:5] != small
    finder.wait_for_kernel(notebook.kernel.value("w.suggestion"))
    expect(finder.button("Start")).to_be_enabled()


def test_a_check_says_in_its_panel_what_it_waits_for(nodes: Nodes, notebook: Lab) -> None:
    finder = open_on(nodes, notebook, STEPS, "num_gpus=1")
    notebook.kernel.run("w.check([1e-3, 1e-2], steps=5)")
    panel = finder.root.get_by_role("group", name="Check", exact=True)
    waits = "Waiting for a node with 1 CPU and 1 GPU: none of the "
    expect(panel).to_contain_text(waits, timeout=TIMEOUT * 1000)
    finder.button("Stop").click()
    state = "w._run_list.check.state"
    notebook.wait_for("it has ended", lambda: notebook.kernel.value(state) == "stopped")
    expect(panel).not_to_contain_text("Waiting", timeout=TIMEOUT * 1000)

    finder.button("Start").click()
    finder.wait_for_text(waits)
    finder.button("Stop").click()
    finder.wait_for_state("stopped")
    assert notebook.kernel.value("len(w.wait(60))") == 0
