"""Tests of the records: rows, columns, smoothing and saving."""

import copy
import gzip
import json
import math
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrwidget import LRRecords, TrainingTask
from lrwidget.curve.smoothing import smoothed
from lrwidget.curve.suggest import suggest
from lrwidget.engine.sweep import sweep
from lrwidget.records.jsonl import Log
from lrwidget.records.table import StopReason
from lrwidget.task.options import SweepOptions
from tests.tasks import problem

numbers = st.floats(allow_nan=True, allow_infinity=True)
tables = st.lists(st.tuples(st.floats(1e-12, 1e3), numbers), max_size=40)


def filled(rows: list[tuple[float, float]], meta: dict[str, Any] | None = None) -> LRRecords:
    records = LRRecords(meta)
    for lr, loss in rows:
        records.append(lr, loss)
    return records


def curve(steps: int = 60) -> LRRecords:
    """Return records that fall from 2.3 to 0.3 around 1e-3 and explode past 0.3."""
    lr = np.geomspace(1e-6, 1.0, steps)
    loss = 0.3 + 2 / (1 + (lr / 1e-3) ** 2) + (lr / 0.5) ** 6
    return filled(list(zip(lr.tolist(), loss.tolist(), strict=True)))


def test_the_frame_has_exactly_lr_and_loss() -> None:
    frame = filled([(1e-3, 2.0), (1e-2, 1.0)]).frame
    assert list(frame.columns) == ["lr", "loss"]
    assert frame.to_dict("list") == {"lr": [1e-3, 1e-2], "loss": [2.0, 1.0]}


def test_columns_measured_now_and_then_are_nan_between() -> None:
    records = LRRecords()
    records.append(1.0, 2.0, {"val_loss": 3.0})
    records.append(2.0, 4.0)
    assert records.frame["val_loss"].tolist()[0] == 3.0
    assert math.isnan(records.frame["val_loss"][1])


def test_repeats_are_told_apart() -> None:
    records = LRRecords()
    for start in (1.0, 2.0):
        records.begin_sweep()
        for step in range(3):
            records.append(10.0**step, start + step)
    assert records.sweep_starts == [0, 3]
    assert records.frame["sweep"].tolist() == [0, 0, 0, 1, 1, 1]
    expected = [*smoothed([1.0, 2.0, 3.0], 0.5), *smoothed([2.0, 3.0, 4.0], 0.5)]
    assert records.smoothed(0.5).tolist() == expected


def test_what_was_read_does_not_change_when_rows_follow() -> None:
    records = filled([(1.0, 2.0)])
    rows, lr = records.rows(), records.lr
    for step in range(1000):
        records.append(float(step), 0.0)
    assert rows.tolist() == [[1.0, 2.0]]
    assert lr.tolist() == [1.0]
    assert records.rows(1000).tolist() == [[999.0, 0.0]]
    rows[:] = 7
    assert records.rows()[0].tolist() == [1.0, 2.0]


def test_a_copy_made_within_a_row_has_nothing_of_that_row() -> None:
    records = filled([(1.0, 2.0), (2.0, 1.0)])
    # What the sweep's thread has written when it has not counted the row yet, and after a copy
    # has read the count.
    records._extra["val_loss"] = {1: 7.0, 2: 9.0}
    records.sweep_starts.append(3)
    copied = records.copy()
    copied.append(3.0, 0.5)
    assert copied.frame.val_loss.tolist() == pytest.approx([math.nan, 7.0, math.nan], nan_ok=True)
    assert copied.sweep_starts == [0]


DUPLICATES = [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]


@pytest.mark.parametrize("duplicate", DUPLICATES)
def test_a_duplicate_shares_nothing(duplicate: Callable[[LRRecords], LRRecords]) -> None:
    records = filled([(1e-3, 2.0)], {"label": "first"})
    other = duplicate(records)
    records.append(1e-2, 3.0, {"val_loss": 1.0})
    records.begin_sweep()
    other.append(1e-1, 4.0)
    other.meta["label"] = "second"
    assert records.rows().tolist() == [[1e-3, 2.0], [1e-2, 3.0]]
    assert other.rows().tolist() == [[1e-3, 2.0], [1e-1, 4.0]]
    assert list(other.frame) == ["lr", "loss"]
    assert other.sweep_starts == [0]
    assert records.meta == {"label": "first"}


class Named(LRRecords):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


@pytest.mark.parametrize("duplicate", DUPLICATES)
def test_a_duplicate_has_what_a_subclass_adds(duplicate: Callable[[Any], Any]) -> None:
    named: Any = Named("first")
    named.append(1e-3, 2.0)
    named.of_user = [1]
    other = duplicate(named)
    assert (other.name, other.of_user, len(other)) == ("first", [1], 1)
    assert other.meta == {}


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_duplicate_made_while_rows_come_is_whole(
    duplicate: Callable[[LRRecords], LRRecords],
) -> None:
    records = LRRecords()
    ended = threading.Event()

    def write() -> None:
        for step in range(1, 100_000):
            if ended.is_set():
                return
            records.append(float(step), float(step), {"val_loss": float(step)})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(20):
            frame = duplicate(records).frame
            assert (frame.lr == frame.loss).all()
            assert frame.get("val_loss", frame.lr).equals(frame.lr)
    finally:
        ended.set()
        writer.join()


def test_a_reader_never_sees_a_half_written_row() -> None:
    records = LRRecords()
    broken: list[Any] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            rows = records.rows()
            if not np.array_equal(rows[:, 0] + 1, rows[:, 1]):
                broken.append(rows)

    reader = threading.Thread(target=read)
    reader.start()
    for step in range(20_000):
        records.append(step, step + 1)
    done.set()
    reader.join()
    assert not broken


def test_it_prints_as_one_telling_line() -> None:
    records = curve()
    records.stop_reason = StopReason.DIVERGED
    text = repr(records)
    assert "\n" not in text
    for fact in ("60 steps", "1e-6 to 1", "loss 2.3", "diverged", "suggestion"):
        assert fact in text
    assert repr(LRRecords()) == "LRRecords(no steps yet)"
    assert "no finite loss" in repr(filled([(1.0, math.nan)]))


def test_only_while_a_sweep_adds_rows_it_says_that_it_is_running(tmp_path: Path) -> None:
    records = curve()
    records.save(tmp_path / "rows.jsonl")
    for one in (records, LRRecords.load(tmp_path / "rows.jsonl")):
        assert "running" not in repr(one) + str(one._repr_mimebundle_())
    task = TrainingTask(*problem())
    work = sweep(task, SweepOptions(steps=5), swept := LRRecords())
    next(work)
    for text in (repr(swept), *swept._repr_mimebundle_().values()):
        assert "running" in text
    for duplicate in DUPLICATES:
        assert "running" not in repr(duplicate(swept))
    work.close()
    assert "stopped" in repr(swept)
    assert "running" not in repr(swept) + str(swept._repr_mimebundle_())


def test_the_suggestion_lies_in_the_fall_and_its_rules_are_named() -> None:
    records = curve()
    assert 1e-4 < records.suggestion.lr < 1e-1
    assert records.suggestion.reason
    assert {"auto", "minimum/10", "steepest", "valley"} <= set(records.suggestions)
    assert records.suggestions["auto"] == records.suggestion.lr


def test_of_few_samples_that_were_passed_over_often_the_suggestion_is_doubted() -> None:
    few, many = curve(), curve()
    assert few.suggestion.confidence == "high"
    many.meta |= {"epochs_begin_at": list(range(5, 60, 5)), "samples_in_epoch": 80}
    assert many.suggestion.lr == few.suggestion.lr
    assert many.suggestion.confidence == "low"
    assert many.suggestion.reason.startswith(few.suggestion.reason)
    assert "passed 12 times over few samples, about 80," in many.suggestion.reason


@pytest.mark.parametrize(("end", "story"), [(20, "neither fell nor climbed"), (35, "fell from")])
def test_a_sweep_that_was_stopped_is_not_told_to_raise_an_end_that_it_did_not_reach(
    end: int, story: str
) -> None:
    noise = np.column_stack([np.zeros(end), 0.05 * np.cos(2.0 * np.arange(end))])
    rows = (curve().rows()[:end] + noise).tolist()
    stopped, whole = filled(rows), filled(rows)
    stopped.meta["options"] = {"steps": 60}
    whole.meta["options"] = {"steps": end}
    stopped.stop_reason, whole.stop_reason = StopReason.STOPPED, StopReason.FINISHED
    assert story in stopped.suggestion.reason
    assert "raise end_lr" in whole.suggestion.reason
    assert "raise end_lr" not in stopped.suggestion.reason
    assert "sweep on to higher rates" in stopped.suggestion.reason
    assert stopped.suggestion.lr == whole.suggestion.lr


@pytest.mark.parametrize("reason", [StopReason.FINISHED, StopReason.DIVERGED])
def test_on_a_linear_ladder_a_lower_start_is_no_remedy(reason: StopReason) -> None:
    count = 100 if reason is StopReason.FINISHED else 8
    rates = np.arange(1, count + 1) / 10
    rows = list(zip(rates.tolist(), np.linspace(1.0, 50.0, count).tolist(), strict=True))
    options = {"steps": 100, "start_lr": 1e-7, "end_lr": 10.0}
    linear = filled(rows, {"options": {**options, "spacing": "linear"}})
    other = filled(rows, {"options": {**options, "spacing": "linear", "start_lr": 0.09}})
    linear.stop_reason = other.stop_reason = reason
    assert "start_lr" not in linear.suggestion.reason
    assert linear.suggestion.reason.endswith('use spacing="log"')
    assert "lower start_lr" in other.suggestion.reason


def test_the_suggestion_follows_the_rows() -> None:
    records = filled([(1e-6, 2.0)])
    assert records.suggestion.lr is None
    for lr, loss in curve().rows():
        records.append(lr, loss)
    assert records.suggestion.lr is not None


@given(tables)
def test_saved_records_load_to_the_last_bit(tmp_path_factory: Any, rows: list[Any]) -> None:
    path = tmp_path_factory.mktemp("records") / "sweep.jsonl"
    records = filled(rows, {"seed": 3, "options": {"steps": 5}})
    records.stop_reason = StopReason.NON_FINITE
    records.save(path)
    loaded = LRRecords.load(path)
    assert np.array_equal(loaded.rows(), records.rows(), equal_nan=True)
    assert loaded.meta == records.meta
    assert loaded.stop_reason is StopReason.NON_FINITE


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({"run": {"scores": [1.5, np.float32(3)]}}, r"meta\['run'\]\['scores'\]\[1\] is .*float32"),
        ({"seed": 1, "folder": Path("runs")}, r"meta\['folder'\] is .*'runs'.*str\(value\)"),
        ({"best": float("nan")}, r"meta\['best'\] is nan, a float"),
        ({(1, 2): 3}, r"a key of meta is \(1, 2\), a tuple"),
    ],
)
def test_a_meta_value_that_json_cannot_hold_is_named(
    tmp_path: Path, meta: dict[Any, Any], said: str
) -> None:
    path = tmp_path / "records.jsonl"
    filled([(0.1, 2.0)]).save(path)
    with pytest.raises(TypeError, match=said):
        filled([(0.1, 2.0)], meta).save(path)
    assert LRRecords.load(path).rows().tolist() == [[0.1, 2.0]]


def test_the_file_is_strict_json_a_meta_line_then_a_row_a_line(tmp_path: Path) -> None:
    records = filled([(1e-3, 2.0), (1e-2, math.nan), (1e-1, math.inf)], {"seed": None})
    records.append(1.0, 1.0, {"val_loss": 0.5})
    records.begin_sweep()
    records.append(1e-3, 2.0)
    path = tmp_path / "sweep.jsonl"
    records.save(path)
    head, *rows = [
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
        for line in path.read_text().splitlines()
    ]
    assert head["meta"] == {"seed": None}
    assert head["stop_reason"] is None
    assert rows[1] == {"lr": 1e-2, "loss": "nan"}
    assert rows[3] == {"lr": 1.0, "loss": 1.0, "val_loss": 0.5}
    assert rows[4] == {"lr": 1e-3, "loss": 2.0, "sweep": 1}
    loaded = LRRecords.load(path)
    assert loaded.sweep_starts == [0, 4]
    assert loaded.frame.equals(records.frame)
    assert list(tmp_path.iterdir()) == [path]


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonl"
    filled([(1.0, 2.0)]).save(path)
    before = path.read_text()
    with pytest.raises(TypeError):
        filled([(1.0, 2.0)], {"not json": object()}).save(path)
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_missing_is_named_by_the_path_that_was_given(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "sweep.jsonl"
    with pytest.raises(FileNotFoundError) as missing:
        filled([(1.0, 2.0)]).save(path)
    assert missing.value.filename == str(path)


@pytest.mark.parametrize(("row", "name"), [((1e-3, None), "loss"), ((None, 2.0), "lr")])
def test_nothing_is_not_taken_for_a_loss_that_is_not_finite(row: Any, name: str) -> None:
    records = filled([(1.0, 2.0)])
    with pytest.raises(TypeError, match=f"{name} is None; expected a number"):
        records.append(*row)
    assert len(records) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("{\n", "line 1 is not JSON"),
        ('HEAD\n{"stop_reason": "tired", "meta": {}}\n', "line 2 has no proper .*'tired'"),
        ('HEAD\n{"stop_reason": "finished"}\n', "line 2 has no proper meta"),
        ("[1]\n", "line 1 is not a JSON object"),
        ('{"lr": 1}\n', "line 1 is not the head"),
        ('{"format": "lrwidget-records", "version": 99, "meta": {}}\n', "version 99; expected 1"),
        ("HEAD\n{broken\n", "line 2 is not JSON"),
        ('HEAD\n{"lr": 1.0}\n', "line 2 is .*expected a row"),
        ('HEAD\n{"lr": 1.0, "loss": null}\n', "line 2 is .*expected a row"),
        (f'HEAD\n{{"lr": 1.0, "loss": {10**400}}}\n', "line 2 is .*expected a row"),
        ('HEAD\n{"lr": 1.0, "loss": 1' + 5000 * "0" + "}\n", "line 2 is not JSON"),
        (100_000 * "[", "line 1 is not JSON"),
        ('HEAD\n{"lr": 1.0, "loss": 2.0}\nHEAD\n', "line 3 is the head of another file"),
    ],
)
def test_a_file_that_is_not_ours_says_which_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "other.jsonl"
    head = {"format": "lrwidget-records", "version": 1, "meta": {}, "stop_reason": None}
    path.write_text(text.replace("HEAD", json.dumps(head)))
    with pytest.raises(ValueError, match=words):
        LRRecords.load(path)


@pytest.mark.parametrize("saved", [{"x": 1}, "x", [], {"centre": 1.0, "untrained": "?"}])
def test_a_refinement_that_is_none_is_named_when_the_file_is_read(
    tmp_path: Path, saved: object
) -> None:
    path = tmp_path / "sweep.jsonl"
    filled([(1.0, 2.0)], {"refinement": saved}).save(path)
    with pytest.raises(ValueError, match=r"sweep.jsonl: the refinement in the meta does not"):
        LRRecords.load(path)


@pytest.mark.parametrize("path", [None, 5, "", b"sweep.jsonl", ["sweep.jsonl"]])
def test_what_is_no_path_is_named(path: Any) -> None:
    for take in (filled([(1.0, 2.0)]).save, LRRecords.load):
        with pytest.raises(TypeError, match=r"path is .*; expected the path of a file"):
            take(path)
    with pytest.raises(TypeError, match=r"log is .*; expected the path of a file"):
        Log(path, LRRecords())


@pytest.mark.parametrize("end", ['{"lr": 3.0, "lo', '{"stop_reason": "fin', "\0\0\0"])
def test_a_log_whose_process_was_ended_while_it_wrote_keeps_its_rows(
    tmp_path: Path, end: str
) -> None:
    path = tmp_path / "log.jsonl"
    with Log(path, filled([(1.0, 2.0), (2.0, 1.0)])) as log:
        log.update()
        path.write_text(path.read_text() + end)
        assert LRRecords.load(path).lr.tolist() == [1.0, 2.0]


def test_a_saved_file_of_which_the_end_is_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonl"
    records = filled([(1.0, 2.0), (2.0, 1.0)])
    records.stop_reason = StopReason.FINISHED
    records.save(path)
    path.write_text(path.read_text()[:-5])
    with pytest.raises(ValueError, match="line 3 is not JSON"):
        LRRecords.load(path)


@pytest.mark.parametrize("given", ["sweep.jsonl", [1.0], curve().frame])
def test_records_are_not_made_of_a_path_or_of_rows(given: Any) -> None:
    with pytest.raises(TypeError, match=r"expected a dict\. LRRecords\.load\(path\) reads a file"):
        LRRecords(given)


def test_a_file_that_is_no_text_says_where(tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonl.gz"
    path.write_bytes(gzip.compress(b"{}\n"))
    with pytest.raises(ValueError, match=r"sweep\.jsonl\.gz: line 1 is not JSON"):
        LRRecords.load(path)


def test_the_suggestion_is_computed_once_for_so_many_rows(monkeypatch):
    calls = []
    for module in ("lrwidget.records.records", "lrwidget.curve.published_rules"):
        monkeypatch.setattr(f"{module}.suggest", lambda *curve: calls.append(1) or suggest(*curve))
    records = LRRecords()
    for i in range(20):
        records.append(10 ** (i / 4 - 5), 2.0)
    assert records.suggestions["auto"] == records.suggestion.lr == records.suggestions["auto"]
    assert len(calls) == 1
    records.append(1.0, 2.0)
    assert records.suggestions["auto"] == records.suggestion.lr
    assert len(calls) == 2


def test_the_reason_follows_how_the_sweep_ended() -> None:
    records = filled([(1e-6, 2.0), (1e-5, 2.0)], {"options": {"steps": 100}})
    assert records.suggestion.reason.startswith("2 of 100 steps so far")
    records.stop_reason = StopReason.STOPPED
    assert records.suggestion.reason.startswith("stopped after 2 of 100 steps")
