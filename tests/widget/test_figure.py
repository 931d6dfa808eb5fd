"""Tests of the parts of the figure that the browser fills."""

import math

import bqplot as bq
import pytest

from lrwidget.widget.figure import build_figure


def marks(figure: bq.Figure) -> dict[str, bq.Mark]:
    return {mark.labels[0]: mark for mark in figure.marks}


def test_marks_are_named_and_empty() -> None:
    figure = build_figure(1e-6, 1.0)
    named = marks(figure)
    assert list(named) == [
        "others",  # drawn behind the active run
        "band",
        "raw loss",
        "smoothed loss",
        "median",
        "suggestion",
        "rule",
        "marker",
    ]
    assert all(len(mark.x) == 0 and len(mark.y) == 0 for mark in figure.marks)


def test_marks_leave_domains_and_messages_to_the_page() -> None:
    for mark in build_figure(1e-6, 1.0).marks:
        assert mark.preserve_domain == {"x": True, "y": True}
        assert mark.interactions == {}
        assert mark.enable_hover is False
        assert mark.tooltip is None


def test_marks_leave_their_style_to_the_page() -> None:
    style = ("colors", "stroke_width", "line_style", "fill", "fill_opacities", "default_size")
    for mark in build_figure(1e-6, 1.0).marks:
        plain = type(mark)(x=[], y=[], scales=mark.scales)
        for name in style:
            if mark.has_trait(name):
                assert getattr(mark, name) == getattr(plain, name), (mark.labels, name)


def test_x_axis_is_logarithmic_over_the_sweep() -> None:
    figure = build_figure(1e-6, 1.0)
    scale = marks(figure)["smoothed loss"].scales["x"]
    assert isinstance(scale, bq.LogScale)
    assert (scale.min, scale.max) == (1e-6, 1.0)
    assert all(mark.scales["x"] is scale for mark in figure.marks)


def test_marker_and_rule_do_not_move_with_the_loss_axis() -> None:
    named = marks(build_figure(1e-6, 1.0))
    upright = named["marker"].scales["y"]
    assert named["rule"].scales["y"] is upright
    assert named["suggestion"].scales["y"] is upright
    assert upright is not named["raw loss"].scales["y"]
    assert (upright.min, upright.max) == (0.0, 1.0)


def test_marker_is_dragged_sideways_only() -> None:
    marker = marks(build_figure(1e-6, 1.0))["marker"]
    assert isinstance(marker, bq.Scatter)
    assert marker.enable_move
    assert marker.restrict_x
    assert marker.update_on_move


def test_nothing_animates_and_no_toolbar_covers_the_chart() -> None:
    figure = build_figure(1e-6, 1.0, height=240)
    assert figure.animation_duration == 0
    assert figure.display_toolbar is False
    assert figure.layout.height == "240px"


def test_axes_are_named() -> None:
    labels = {axis.label: axis.orientation for axis in build_figure(1e-6, 1.0).axes}
    assert labels == {"learning rate": "horizontal", "loss": "vertical"}


@pytest.mark.parametrize(
    ("start_lr", "end_lr"),
    [(0.0, 1.0), (-1e-3, 1.0), (1.0, 1.0), (1.0, 1e-3), (math.nan, 1.0), (1e-6, math.inf)],
)
def test_rates_that_span_no_axis_are_refused(start_lr: float, end_lr: float) -> None:
    with pytest.raises(ValueError, match="start_lr < end_lr"):
        build_figure(start_lr, end_lr)
