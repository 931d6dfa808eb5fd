"""When a sweep passed over few samples so often that its curve is doubted."""

from typing import Any

import pytest

from lrwidget.curve.few_samples import FEW_SAMPLES, few_samples_doubt

FEW = {"samples_in_epoch": 96}
OFTEN = {"epochs_begin_at": [10, 20, 30, 40]}


def test_few_samples_that_were_passed_over_often_are_a_doubt() -> None:
    why = few_samples_doubt(FEW | OFTEN, [0], 50)
    assert why is not None
    assert "the sweep passed 5 times over few samples, about 96," in why
    assert "refine" in why


@pytest.mark.parametrize(
    ("meta", "rows"),
    [
        ({}, 50),
        (OFTEN, 50),
        (OFTEN | {"samples_in_epoch": FEW_SAMPLES}, 50),
        (FEW, 50),
        (FEW | {"epochs_begin_at": [20, 40]}, 50),
        (FEW | OFTEN, 30),
    ],
    ids=["unknown", "no number", "many samples", "one pass", "three passes", "rows not kept"],
)
def test_nothing_else_is_a_doubt(meta: dict[str, Any], rows: int) -> None:
    assert few_samples_doubt(meta, [0], rows) is None


def test_each_sweep_begins_anew_and_the_longest_counts() -> None:
    borders = [20, 40, 70, 90, 120, 130, 140, 150]
    assert few_samples_doubt(FEW | {"epochs_begin_at": borders[:4]}, [0, 50], 100) is None
    why = few_samples_doubt(FEW | {"epochs_begin_at": borders}, [0, 50, 100], 160)
    assert why is not None
    assert "passed 5 times" in why


def test_few_different_samples_are_a_doubt_whatever_a_pass_is() -> None:
    meta = {"samples_in_epoch": 6400, "different_samples": 64, "samples_in_step": 32.0}
    why = few_samples_doubt(meta, [0, 5], 13)
    assert why is not None
    assert "passed 4 times over few samples, about 64," in why
    assert few_samples_doubt(meta, [0, 5], 12) is None
    assert few_samples_doubt(meta | {"different_samples": FEW_SAMPLES}, [0], 999) is None
    for bad in (None, "32", 0, -1.0, float("nan"), float("inf"), [32]):
        assert few_samples_doubt(meta | {"samples_in_step": bad}, [0], 99) is None
        assert few_samples_doubt(meta | {"different_samples": bad}, [0], 99) is None


def test_of_a_pass_whose_last_batch_is_not_full_the_samples_are_named() -> None:
    meta = OFTEN | {"samples_in_epoch": 64, "different_samples": 40, "samples_in_step": 32}
    assert "about 40," in str(few_samples_doubt(meta, [0], 50))
    for bad in (None, "40", 0, -1, 40.5):
        assert "about 64," in str(few_samples_doubt(meta | {"different_samples": bad}, [0], 50))


@pytest.mark.parametrize("borders", [None, 7, "40", [40.5] * 9, [None] * 9, {"40": 1}])
@pytest.mark.parametrize("samples", [None, "96", 96.0, [96], 96])
def test_a_file_may_hold_anything(borders: Any, samples: Any) -> None:
    assert (
        few_samples_doubt({"epochs_begin_at": borders, "samples_in_epoch": samples}, [0], 50)
        is None
    )
