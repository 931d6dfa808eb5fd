"""Smoothing, loss limit and logarithmic axis, which the page computes while the kernel is busy."""

from __future__ import annotations

import math

import pytest
from playwright.sync_api import expect

from lrwidget.curve.centred import centred
from tests.browser.harness.cells import BUSY_INDEX, SETUP, STEPS, open_finder, start
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import Lab


@pytest.fixture
def busy(lab: Lab) -> Finder:
    """Return a widget in the middle of a sweep whose kernel is busy with another cell."""
    finder = open_finder(lab, allowed=60)
    start(finder)
    finder.wait_for_rows(60)
    lab.run_cell(BUSY_INDEX, wait=False)
    lab.wait_for("the kernel is busy", lambda: lab.is_busy(BUSY_INDEX))
    return finder


def test_the_smoothing_slider_redraws_while_the_kernel_is_busy(lab: Lab, busy: Finder) -> None:
    losses = [loss for _, loss in busy.rows]
    slider = busy.slider("Smoothing")
    drawn = {busy.mark("smoothed loss").path}
    for key in ("Home", "End", "ArrowLeft"):
        slider.press(key)
        lab.wait_for("the line moves", lambda: busy.mark("smoothed loss").path not in drawn)
        beta = float(slider.input_value())
        assert busy.mark("smoothed loss").y == pytest.approx(centred(losses, beta), rel=1e-12)
        drawn.add(busy.mark("smoothed loss").path)
    expect(busy.root.get_by_text(f"{beta:.2f}, both sides")).to_be_visible()
    assert lab.is_busy(BUSY_INDEX)

    lab.allow("busy", 1)
    lab.wait_for_cell(BUSY_INDEX)
    assert lab.kernel.value("w.smoothing") == float(slider.input_value())


def test_the_loss_limit_slider_zooms_while_the_kernel_is_busy(lab: Lab, busy: Finder) -> None:
    rows = busy.rows
    drawn = {busy.mark("smoothed loss").path}
    limits = set()
    for key in ("PageDown", "ArrowLeft", "End"):
        busy.slider("Loss limit").press(key)
        lab.wait_for("the line moves", lambda: busy.mark("smoothed loss").path not in drawn)
        drawn.add(busy.mark("smoothed loss").path)
        limits.add(busy.mark("smoothed loss").y_range[1])
    assert len(limits) == 3
    assert busy.rows == rows  # zooming keeps all rows
    assert lab.is_busy(BUSY_INDEX)

    lab.allow("busy", 1)
    lab.wait_for_cell(BUSY_INDEX)
    assert lab.kernel.value("w.y_max") == busy.mark("smoothed loss").y_range[1]


LOG = "Logarithmic loss axis"
LOSS_LABELS = """
(root) => [...root.querySelectorAll('.bqplot .axis')]
  .map((axis) => [...axis.querySelectorAll('.tick text')].map((text) => text.textContent))
  .at(-1)
"""


def test_the_loss_axis_becomes_logarithmic_while_the_kernel_is_busy(lab: Lab, busy: Finder) -> None:
    rows = busy.rows
    linear = busy.mark("smoothed loss")
    busy.field(LOG).check()
    places = pytest.approx([math.log10(loss) for _, loss in rows], rel=1e-12)
    lab.wait_for("the line moves", lambda: busy.mark("raw loss").y == places)
    smoothed_places = pytest.approx([math.log10(loss) for loss in linear.y], rel=1e-12)
    lab.wait_for("so does the other", lambda: busy.mark("smoothed loss").y == smoothed_places)
    lab.wait_for("it is drawn", lambda: busy.mark("smoothed loss").path != linear.path)
    # The logarithmic range has the upper end of the linear one and includes the lowest loss.
    top = pytest.approx(math.log10(linear.y_range[1]))
    lab.wait_for("the axis follows", lambda: busy.mark("raw loss").y_range[1] == top)
    raw = busy.mark("raw loss")
    assert raw.y_range[0] < min(raw.y)

    def labels_fit() -> bool:
        written = [float(text) for text in busy.root.evaluate(LOSS_LABELS)]
        places = [math.log10(loss) for loss in written if loss > 0]
        return len(written) == len(places) >= 2 and (
            raw.y_range[0] <= min(places) < max(places) <= raw.y_range[1]
        )

    lab.wait_for("the labels are those of the new axis", labels_fit)

    busy.field(LOG).uncheck()
    lab.wait_for("the line is back", lambda: busy.mark("smoothed loss").path == linear.path)
    assert busy.rows == rows
    busy.field(LOG).press("Space")
    assert lab.is_busy(BUSY_INDEX)

    lab.allow("busy", 1)
    lab.wait_for_cell(BUSY_INDEX)
    assert lab.kernel.value("w.log_y") is True
    lab.reload()
    busy.wait_until_drawn()
    lab.wait_for("it is still so", lambda: busy.mark("raw loss").y[: len(rows)] == places)


def test_a_logarithmic_axis_leaves_gaps_where_the_loss_is_not_above_zero(lab: Lab) -> None:
    setup = SETUP.replace(
        "return cross_entropy(output, target)", "return cross_entropy(output, target) - 0.9"
    )
    finder = open_finder(lab, allowed=STEPS, setup=setup)
    start(finder)
    finder.wait_for_state("finished")
    losses = [loss for _, loss in finder.rows]
    assert min(losses) < 0 < max(losses)
    finder.field(LOG).check()
    lab.wait_for("there are gaps", lambda: any(math.isnan(y) for y in finder.mark("raw loss").y))
    drawn = finder.mark("raw loss")
    assert [math.isnan(y) for y in drawn.y] == [loss <= 0 for loss in losses]
    assert drawn.path is not None
    assert "NaN" not in drawn.path


def test_without_a_loss_above_zero_there_is_no_logarithmic_axis(lab: Lab) -> None:
    setup = SETUP.replace(
        "return cross_entropy(output, target)", "return 0 * cross_entropy(output, target) - 1"
    )
    finder = open_finder(lab, allowed=5, setup=setup)
    lab.kernel.run("w.log_y = True")
    expect(finder.field(LOG)).to_be_checked()  # no loss has arrived yet
    start(finder)
    finder.wait_for_rows(5)
    expect(finder.field(LOG)).to_be_disabled()
    expect(finder.field(LOG)).not_to_be_checked()
    expect(finder.field(LOG)).to_have_attribute("title", "no loss is above 0")
    assert finder.mark("raw loss").y == [-1.0] * 5
    lab.allow("steps", STEPS)
    finder.wait_for_state("finished")
