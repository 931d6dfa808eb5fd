"""The example notebook about linking widgets, in a real page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import TIMEOUT, Lab

NOTEBOOK = Path(__file__).parents[2] / "examples" / "linking.ipynb"


@pytest.fixture
def finder(lab: Lab) -> Finder:
    """Return the widget of the notebook after all cells were run."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    lab.open(*("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"))
    lab.run_all()
    finder = Finder(lab)
    finder.wait_until_drawn()
    return finder


def test_linked_widgets_move_the_marker_and_follow_it(lab: Lab, finder: Finder) -> None:
    field = lab.page.get_by_role("spinbutton", name="field")
    readout = lab.page.locator(".widget-readout")  # of the slider in another cell
    printed = lab.page.locator(".jp-OutputArea-output").filter(has_text="step 30:").last

    finder.type_lr("0.02")
    expect(field).to_have_value("0.02", timeout=TIMEOUT * 1000)
    expect(printed).to_contain_text("step 30: 2.0e-02", timeout=TIMEOUT * 1000)
    field.fill("0.005")
    field.press("Enter")
    lab.wait_for("the marker moves", lambda: finder.chosen == 0.005)
    lab.wait_for("the kernel has it", lambda: lab.kernel.value("w.lr") == 0.005)
    expect(printed).to_contain_text("step 30: 5.0e-03", timeout=TIMEOUT * 1000)
    assert lab.kernel.value("picks[-2:]") == [0.02, 0.005]

    finder.slider("Smoothing").press("Home")
    lab.wait_for("smoothing", lambda: lab.kernel.value("smoothing.value") == 0)
    expect(readout).to_have_text("0.00", timeout=TIMEOUT * 1000)
