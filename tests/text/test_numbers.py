"""Numbers in sentences: the page and the package write a rate in the same way."""

import decimal
import json
import math
from pathlib import Path
from typing import Any

import pytest

from lrwidget import LRRecords
from lrwidget.text.numbers import rate_in_words, steps_in_words

CASES = json.loads((Path(__file__).parent.parent / "vectors" / "rates.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_rate_is_written_as_in_the_page(case: dict[str, Any]) -> None:
    assert rate_in_words(case["lr"], case["digits"]) == case["text"]


def test_what_is_no_rate_is_written_too() -> None:
    assert [rate_in_words(x) for x in (0.0, math.nan, math.inf, -0.25)] == [
        "0",
        "nan",
        "inf",
        "-2.5e-1",
    ]


def test_a_rate_has_its_digits_in_any_decimal_context() -> None:
    with decimal.localcontext(prec=1):
        assert rate_in_words(1.2345e-3, 3) == "1.23e-3"


def test_one_step_is_no_steps() -> None:
    assert [steps_in_words(n) for n in (0, 1, 20)] == ["0 steps", "1 step", "20 steps"]
    records = LRRecords()
    records.append(1e-3, 2.0)
    assert repr(records).startswith("LRRecords(1 step, ")
