"""Tests of how a notebook displays records and check results."""

import json
import math
import re
import xml.etree.ElementTree as ET
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter

from lrwidget import LRRecords
from lrwidget.curve.loss_range import loss_range, trials_range
from lrwidget.records.check_results import CheckResults
from lrwidget.records.picture import TOP, WIDTH, thinned
from lrwidget.records.refinement import Refinement
from lrwidget.text.numbers import rate_in_words
from tests.records.test_records import curve, filled

SVG = "{http://www.w3.org/2000/svg}"
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "lossrange.json").read_text())[
    "cases"
]


class Shown(HTMLParser):
    """Parses the HTML as a page would and collects its elements, text and pictures."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.pictures: list[ET.Element] = []
        self.alt = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "img":
            given = dict(attrs)
            kind, _, svg = (given["src"] or "").partition(",")
            assert kind == "data:image/svg+xml;base64"
            self.pictures.append(ET.fromstring(b64decode(svg, validate=True)))
            self.alt = given["alt"] or ""

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(value: LRRecords | CheckResults | Refinement) -> Shown:
    return Shown(value._repr_mimebundle_()["text/html"])


def picture(value: LRRecords | CheckResults | Refinement) -> ET.Element:
    (svg,) = shown(value).pictures
    return svg


def texts(svg: ET.Element) -> list[str]:
    return [text.text or "" for text in svg.iter(f"{SVG}text")]


def courses(svg: ET.Element) -> list[list[np.ndarray]]:
    """Return the lines inside the frame, each as a list of (points, 2) arrays split at its gaps."""
    (inside,) = svg.findall(f"{SVG}svg")
    lines = []
    for path in inside.iter(f"{SVG}path"):
        pieces = [
            np.array(re.findall(r"-?[\d.]+(?:e-?\d+)?", piece), float)
            for piece in path.attrib["d"].replace("h0l", " ").replace("h0", "").split("M")[1:]
        ]
        lines.append([piece.reshape(-1, 2).cumsum(axis=0) for piece in pieces])
    return lines


def size(bundle: dict[str, str]) -> int:
    return sum(len(text.encode()) for text in bundle.values())


def noisy(steps: int, seed: int = 0) -> list[tuple[float, float]]:
    """Return a sweep with independent noise in each row, which is the hardest case for thinning."""
    noise = np.random.default_rng(seed).normal(0, 0.3, steps)
    rates = np.geomspace(1.15e-6, 1, steps)
    falls = 2.3 - 2 / (1 + (1e-3 / rates) ** 2)
    return [(lr, loss) for lr, loss in zip(rates.tolist(), (falls + noise).tolist(), strict=True)]


# Contents


def test_records_are_shown_as_picture_words_and_folded_table() -> None:
    records = curve()
    page = shown(records)
    rate = rate_in_words(records.suggestion.lr, 3)
    assert len(page.pictures) == 1
    assert page.tags.index("img") < page.tags.index("p") < page.tags.index("details")
    assert page.tags.index("details") < page.tags.index("summary") < page.tags.index("table")
    assert f"Suggested learning rate {rate}: {records.suggestion.reason}" in page.text
    assert f"Suggested learning rate {rate}" in page.alt
    assert {"smoothed loss", "loss", "learning rate", f"suggestion {rate}"} <= {
        *texts(page.pictures[0])
    }
    assert {"flat", "falling", "exploding"} <= {*texts(page.pictures[0])}
    assert not {"style", "script", "link", "svg"} & {*page.tags}


def test_plain_text_has_the_suggestion_and_the_first_and_last_rows() -> None:
    records = filled([(1e-6 * 1.15**i, 2.0 - 0.01 * i) for i in range(1, 41)])
    plain = records._repr_mimebundle_()["text/plain"]
    found = f"Suggested learning rate {rate_in_words(records.suggestion.lr, 3)} (low confidence)"
    assert plain.startswith(f"{found}: {records.suggestion.reason}\n40 steps, lr 1.15e-6 to ")
    rows = plain.splitlines()[3:]
    assert rows[0].split() == ["lr", "loss"]
    assert rows[1].split() == ["0", "1.15e-6", "1.99"]
    assert rows[6].split() == ["…", "…", "…"]
    assert rows[-1].split() == ["39", rate_in_words(records.lr[-1], 3), "1.6"]
    assert len(rows) == 12
    assert len({len(row) for row in rows}) == 1


def test_the_table_has_all_rows_of_a_usual_sweep_and_the_ends_of_a_long_one() -> None:
    usual = shown(filled(noisy(150))).text
    long = shown(filled(noisy(10_000))).text
    assert usual.count("e-") > 140
    assert "1.15e-6" in usual
    assert "149" in usual
    assert "1.15e-6" in long
    assert "9999" in long
    assert "5000" not in long
    assert "…" in long
    assert "…" not in usual


def test_what_was_measured_beside_the_loss_is_in_the_table() -> None:
    records = LRRecords()
    records.append(1e-3, 2.0, {"val_loss": 2.25})
    records.append(2e-3, math.nan)
    (html, plain) = records._repr_mimebundle_().values()
    assert "<td>0</td><td>1e-3</td><td>2</td><td>2.25</td>" in html
    assert "<td>1</td><td>2e-3</td><td>nan</td><td></td>" in html
    assert "val_loss" in plain


def test_ipython_takes_it_and_front_ends_may_choose() -> None:
    records = curve()
    data, _ = DisplayFormatter().format(records)
    assert data == records._repr_mimebundle_()
    assert set(data) == {"text/html", "text/plain"}
    assert set(records._repr_mimebundle_(include={"text/plain"})) == {"text/plain"}
    assert set(records._repr_mimebundle_(exclude={"text/plain"})) == {"text/html"}


# Drawing


def test_the_curve_lies_where_its_axes_say() -> None:
    svg = picture(filled([(1e-4, 3.0), (1e-3, 2.0), (1e-2, 1.0), (1e-1, 1.5)]))
    ((raw,), _) = courses(svg)
    assert np.diff(raw[:, 0]) == pytest.approx(np.full(3, np.ptp(raw[:, 0]) / 3), abs=0.11)
    places = {text.text: text.attrib for text in svg.iter(f"{SVG}text")}
    assert float(places["1e-3"]["x"]) == pytest.approx(raw[1, 0], abs=0.11)
    assert float(places["2"]["y"]) - 4 == pytest.approx(raw[1, 1], abs=0.11)
    assert raw[0, 1] < raw[1, 1] < raw[3, 1] < raw[2, 1]


def test_a_linear_sweep_has_a_linear_axis() -> None:
    rows = [(0.1 * i, 2.0 - 0.1 * i) for i in range(1, 11)]
    ((linear,), _) = courses(picture(filled(rows, {"options": {"spacing": "linear"}})))
    ((log,), _) = courses(picture(filled(rows, {"options": {"spacing": "log"}})))
    assert np.ptp(np.diff(linear[:, 0])) < 0.3
    assert np.ptp(np.diff(log[:, 0])) > 50
    assert "0.4" in texts(picture(filled(rows, {"options": {"spacing": "linear"}})))


def test_several_sweeps_are_thin_lines_with_their_median() -> None:
    records = LRRecords()
    for offset in (0.0, 5.0, 1.0):
        records.begin_sweep()
        for i in range(30):
            records.append(10 ** (i / 10 - 4), offset + 1 - i / 60)
    svg = picture(records)
    *sweeps, median = [line[0] for line in courses(svg)]
    assert len(sweeps) == 3
    assert np.array_equal(median, sweeps[2])
    assert {"median", "3 sweeps, smoothed"} <= {*texts(svg)}


def test_what_is_not_finite_is_a_gap() -> None:
    losses = [2.0, 1.9, math.nan, 1.8, math.inf, 1.7, 1.6]
    raw, smooth = courses(picture(filled([(10.0**-i, loss) for i, loss in enumerate(losses)])))
    assert [len(piece) for piece in raw] == [len(piece) for piece in smooth] == [2, 1, 2]


def test_an_explosion_neither_flattens_the_curve_nor_leaves_the_numbers_a_page_can_draw() -> None:
    rows = [(10 ** (i / 10 - 6), 2.0 - 0.03 * i) for i in range(50)]
    ((raw,), _) = courses(picture(filled([*rows, (0.2, 1e30), (0.3, 1e300)])))
    assert np.ptp(raw[:50, 1]) > 100
    assert -1000 < raw[:, 1].min() < TOP


def test_thinning_keeps_the_lowest_and_the_highest_loss_of_each_column() -> None:
    random = np.random.default_rng(5)
    columns = np.sort(random.integers(0, 100, 5000))
    values = random.normal(size=5000)
    values[random.integers(0, 5000, 500)] = np.nan
    kept = thinned(columns, values)
    assert len(kept) <= 200
    assert np.all(np.diff(kept) > 0)
    for column in range(100):
        here = values[columns == column]
        drawn = values[kept][columns[kept] == column]
        assert {np.nanmin(here), np.nanmax(here)} == {*drawn}


def test_thinning_keeps_a_gap_as_wide_as_a_column() -> None:
    columns = np.array([0, 0, 0, 1, 1, 2])
    kept = thinned(columns, np.array([3.0, math.nan, 1.0, math.inf, math.nan, 2.0]))
    assert columns[kept].tolist() == [0, 0, 1, 2]


def test_a_single_bad_batch_in_ten_thousand_is_seen() -> None:
    rows = [(lr, 1.0) for lr in np.geomspace(1e-6, 1, 10_000).tolist()]
    rows[7000] = (rows[7000][0], 0.5)
    rows[3000] = (rows[3000][0], 1.5)
    ((raw,), _) = courses(picture(filled(rows)))
    usual = np.median(raw[:, 1])
    assert (raw[:, 1] > usual + 20).sum() == (raw[:, 1] < usual - 20).sum() == 1
    assert len(raw) < 2 * WIDTH


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_the_loss_axis_is_that_of_the_page(case: dict) -> None:
    """`numeric/loss-range.test.ts` compares the page with the same numbers."""
    sweeps = [np.array(sweep, float) for sweep in case["sweeps"]]
    assert loss_range(sweeps) == pytest.approx(case["range"], rel=1e-12)
    assert trials_range(sweeps) == pytest.approx(case["trials"], rel=1e-12)


def test_a_limit_is_the_upper_end_of_the_loss_axis() -> None:
    sweeps = [np.array([2.0, 1.0, 0.5, 3.0])]
    low, high = loss_range(sweeps)
    assert loss_range(sweeps, 1.5) == (low, 1.5)
    assert loss_range(sweeps, math.nan) == (low, high)
    assert loss_range(sweeps, -4.0) == (pytest.approx(-4 - (high - low)), -4.0)


# Properties of every picture


SIZES = {
    "one sweep": [noisy(10_000)],
    "five repeats": [noisy(2000, seed) for seed in range(5)],
    "hundred repeats": [noisy(100, seed) for seed in range(100)],
}


@pytest.mark.parametrize("name", SIZES)
def test_ten_thousand_rows_take_40_kb(name: str) -> None:
    records = LRRecords()
    for sweep in SIZES[name]:
        records.begin_sweep()
        for i, (lr, loss) in enumerate(sweep):
            records.append(lr, loss, {"val_loss": loss, "metric": 0.123456} if i % 3 else None)
    assert len(records) == 10_000
    assert size(records._repr_mimebundle_()) <= 40_000


def test_a_curve_that_never_falls_is_flat_until_it_explodes() -> None:
    rates = np.geomspace(1e-6, 1, 60)
    records = filled([(lr, 2.0 + (20 * lr) ** 2) for lr in rates.tolist()])
    assert records.suggestion.falls_at is None
    assert records.suggestion.explodes_at is not None
    names = {"flat", "falling", "exploding"} & {*texts(shown(records).pictures[0])}
    assert names == {"flat", "exploding"}


def test_the_same_records_give_the_same_bytes() -> None:
    first = curve()
    assert first._repr_mimebundle_() == first._repr_mimebundle_() == curve()._repr_mimebundle_()


NAN, INF = math.nan, math.inf
ODD = {
    "nothing": [],
    "one row": [(1e-3, 2.0)],
    "one rate": [(1e-3, 2.0), (1e-3, 1.0)],
    "no number": [(1e-3, NAN), (1e-2, INF), (1e-1, -INF)],
    "one number": [(1e-3, NAN), (1e-2, 2.0), (1e-1, NAN)],
    "flat": [(1e-3, 2.0), (1e-2, 2.0), (1e-1, 2.0)],
    "zeros": [(1e-3, 0.0), (1e-2, 0.0)],
    "largest": [(1e-3, 1e308), (1e-2, -1e308), (1e-1, 1e308)],
    "smallest": [(5e-324, 5e-324), (1e-320, 1e-323)],
    "rates close together": [(1.0, 2.0), (1.0 + 1e-12, 1.0)],
    "rates that are none": [(0.0, 2.0), (-1.0, 1.0), (NAN, 1.0), (INF, 1.0), (1e-3, 1.0)],
    "falling rates": [(10.0**-i, 1.0 * i) for i in range(9)],
}


@pytest.mark.parametrize("meta", [{}, {"options": {"spacing": "linear"}}, {"options": "?"}])
@pytest.mark.parametrize("name", ODD)
def test_odd_curves_are_shown_too(name: str, meta: dict) -> None:
    records = filled(ODD[name], meta)
    page = shown(records)
    assert "uggested learning rate" in page.text
    assert "no steps yet" in page.text or "steps," in page.text or "1 step," in page.text
    numbers = [number for svg in page.pictures for line in courses(svg) for number in line]
    assert all(np.isfinite(piece).all() for piece in numbers)
    expected = {"nothing": 0, "one row": 0, "one rate": 0, "no number": 0, "flat": 1, "zeros": 1}
    assert len(page.pictures) == expected.get(name, len(page.pictures))


def test_a_sweep_with_rows_still_to_come_is_running() -> None:
    records = filled([(1e-3, 2.0)])
    assert "running" not in shown(records).text
    records.under_way = True
    assert "running" in shown(records).text


def test_what_comes_from_a_file_cannot_become_part_of_the_page() -> None:
    evil = "</table><script>alert(1)</script>\"'&"
    records = LRRecords({"options": {"spacing": evil}, "model": evil})
    for i in range(30):
        records.append(10.0 ** (i / 10 - 4), 1.0, {evil: 1.0})
    page = shown(records)
    assert "script" not in page.tags
    assert evil in page.text
