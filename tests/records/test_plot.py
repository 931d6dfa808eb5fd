"""Tests of the matplotlib plot of records."""

import subprocess
import sys
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from lrwidget import LRRecords
from lrwidget.curve.centred import centred
from lrwidget.text.numbers import rate_in_words
from tests.records.test_records import curve


@pytest.fixture(autouse=True)
def _close() -> object:
    yield
    plt.close("all")


def test_it_draws_raw_and_smoothed_loss_over_a_log_axis_with_the_suggestion() -> None:
    records = curve()
    assert np.array_equal(records.plot().get_lines()[1].get_ydata(), centred(records.loss, 0.9))
    ax = records.plot(smoothing=0.8)
    raw, line, chosen = ax.get_lines()
    assert ax.get_xscale() == "log"
    assert np.array_equal(raw.get_ydata(), records.loss)
    assert np.array_equal(line.get_ydata(), centred(records.loss, 0.8))
    assert chosen.get_xdata()[0] == records.suggestion.lr
    assert rate_in_words(records.suggestion.lr) in ax.get_legend().get_texts()[0].get_text()
    assert line.get_label() == ax.get_legend().get_texts()[1].get_text() == "smoothed to both sides"


def test_the_explosion_does_not_flatten_the_curve_and_y_max_is_obeyed() -> None:
    records = curve()
    assert records.loss.max() > 60
    assert 2.3 < records.plot().get_ylim()[1] < 5
    assert records.plot(y_max=10.0).get_ylim()[1] == pytest.approx(10, rel=0.06)


def test_it_draws_into_given_axes() -> None:
    _, ax = plt.subplots()
    assert curve().plot(ax) is ax


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ax": "sweep.png"}, "ax is a str; expected axes"),
        ({"ax": plt}, "ax is a module; expected axes"),
        ({"y_max": "5"}, "y_max is '5'; expected a finite number"),
        ({"y_max": (0, 5)}, "y_max is .*; expected a finite number"),
        ({"smoothing": 1}, "smoothing is 1; expected 0 to 0.99"),
    ],
)
def test_arguments_of_another_kind_are_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        curve().plot(**given)
    assert not any(figure.axes[0].lines for figure in map(plt.figure, plt.get_fignums()))


@pytest.mark.parametrize(
    "losses", [[], [1.0], [float("nan")] * 3, [2.0, 2.0, 2.0], [float("inf"), 1.0, 2.0]]
)
def test_odd_curves_are_drawn_too(losses: list[float]) -> None:
    records = LRRecords()
    for step, loss in enumerate(losses):
        records.append(10.0**step, loss)
    records.plot()


@pytest.mark.process
def test_without_matplotlib_it_says_what_to_install() -> None:
    code = """
import sys
sys.modules["matplotlib"] = None
sys.modules["matplotlib.pyplot"] = None
from lrwidget import LRRecords
try:
    LRRecords().plot()
except ModuleNotFoundError as error:
    assert "pip install 'lrwidget[plot]'" in str(error)
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("smoothing", [1.0, 0.995, -0.1, None, "0.9"])
def test_a_smoothing_out_of_its_range_is_named(smoothing: object) -> None:
    with pytest.raises(ValueError, match="smoothing is "):
        LRRecords().plot(smoothing=smoothing)  # type: ignore[arg-type]


@pytest.mark.parametrize("y_max", ["x", float("nan"), True, [1, 2]])
def test_a_y_max_that_is_no_number_is_named(y_max: object) -> None:
    with pytest.raises(ValueError, match=r"y_max is .*; expected a finite number, or None"):
        LRRecords().plot(y_max=y_max)  # type: ignore[arg-type]
