"""The figure that a page without bqplot makes for itself is the kernel's.

Both are held to tests/vectors/figure.json. The page's side is js/test/standin/figure.test.ts.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path

from lrwidget import LRFinderWidget
from lrwidget.widget.figure import build_figure

VECTOR = json.loads(
    (Path(__file__).parents[1] / "vectors" / "figure.json").read_text(encoding="utf-8")
)


def test_marks_and_their_scales_are_those_of_the_vector() -> None:
    figure = build_figure(1e-6, 1.0)
    loss = figure.axes[1].scale
    marks = {mark.labels[0]: mark.scales["y"] is loss for mark in figure.marks}
    wanted = {label: scale == "loss" for label, scale in VECTOR["marks"].items()}
    assert list(marks.items()) == list(wanted.items())


def test_axes_and_margin_are_those_of_the_vector() -> None:
    figure = build_figure(1e-6, 1.0)
    assert [axis.label for axis in figure.axes] == VECTOR["axes"]
    assert figure.fig_margin == VECTOR["margin"]
    height = inspect.signature(LRFinderWidget.__init__).parameters["height"].default
    assert height == VECTOR["height"]
