"""Smoothing and loss limit: computed in the page, while the kernel is busy."""

from __future__ import annotations

import pytest

from tests.browser.harness.cells import BUSY_INDEX, open_finder, start
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import Lab


@pytest.fixture
def busy(lab: Lab) -> Finder:
    """A finder in mid-sweep whose kernel is busy with another cell."""
    finder = open_finder(lab, allowed=60)
    start(finder)
    finder.wait_for_rows(60)
    lab.run_cell(BUSY_INDEX, wait=False)
    lab.wait_for("the kernel is busy", lambda: lab.is_busy(BUSY_INDEX))
    return finder


def smoothed(loss: list[float], beta: float) -> list[float]:
    """The design's formula, once more."""
    mean, result = 0.0, []
    for i, value in enumerate(loss, 1):
        mean = beta * mean + (1 - beta) * value
        result.append(mean / (1 - beta**i))
    return result


def test_the_smoothing_slider_redraws_while_the_kernel_is_busy(lab: Lab, busy: Finder) -> None:
    losses = [loss for _, loss in busy.rows]
    slider = busy.slider("Smoothing")
    drawn = {busy.mark("smoothed loss").path}
    for key in ("Home", "End", "ArrowLeft"):
        slider.press(key)
        lab.wait_for("the line moves", lambda: busy.mark("smoothed loss").path not in drawn)
        beta = float(slider.input_value())
        assert busy.mark("smoothed loss").y == pytest.approx(smoothed(losses, beta), rel=1e-12)
        drawn.add(busy.mark("smoothed loss").path)
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
    assert busy.rows == rows  # a zoom drops nothing
    assert lab.is_busy(BUSY_INDEX)

    lab.allow("busy", 1)
    lab.wait_for_cell(BUSY_INDEX)
    assert lab.kernel.value("w.y_max") == busy.mark("smoothed loss").y_range[1]
