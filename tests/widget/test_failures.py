"""Tests that a failure is shown and raised, and that the training's state is restored."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pytest
import torch
from ipywidgets.widgets.widget import _instances

from lrwidget import LRFinderWidget
from lrwidget.stream.redact import redact_paths
from tests.widget.fakepage import page_after
from tests.widget.finder import (
    ENDED,
    Gate,
    OutOfLuckError,
    comm_of,
    everything,
    finder,
    training,
    until,
)

# -- failures


def test_an_exception_is_shown_raised_and_leaves_all_as_it_was(gate: Gate) -> None:
    parts = training() | {"loss_fn": gate}
    before = everything(parts)
    w = LRFinderWidget(**parts, steps=30)
    w.start()
    gate.let(7)
    until(lambda: gate.calls == 7)
    gate.error = OutOfLuckError("no\nluck at step 8")
    gate.open()
    with pytest.raises(OutOfLuckError) as raised:
        w.wait()
    assert raised.value is gate.error
    assert everything(parts) == before
    assert (w.state, w.error) == ("failed", "OutOfLuckError: no luck at step 8")
    assert w.records.stop_reason == "failed"
    assert len(w.records) == 7
    text = w._detail["traceback"]
    assert "OutOfLuckError" in text
    assert 'File "finder.py"' in text
    assert os.sep + "lrwidget" + os.sep not in text  # the saved traceback hides local folders
    last = page_after(comm_of(w).rows_messages).last
    assert (last["state"], last["error"]) == ("failed", w.error)
    assert last["detail"]["traceback"] == text
    # The next sweep succeeds.
    gate.error = None
    w.start()
    assert w.error is None
    assert len(w.wait()) == 30
    assert w._detail["traceback"] is None
    assert everything(parts) == before


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            '  File "/home/me/project/train.py", line 3, in step',
            '  File "train.py", line 3, in step',
        ),
        ('  | File "C:\\Users\\me\\train.py", line 3', '  | File "train.py", line 3'),
        ('  File "<string>", line 1', '  File "<string>", line 1'),
        ('  File "/a b/c d/train.py", line 3', '  File "train.py", line 3'),
        ("No such file: '/home/me/my data/x.pt'", "No such file: 'x.pt'"),
        ("cannot read /home/me/x.pt: bad", "cannot read x.pt: bad"),
        ("at C:\\Users\\me\\x.pt", "at x.pt"),
        ("ValueError: a/b", "ValueError: a/b"),
        ("see https://host/a/b, ./a/b and ~/a/b", "see https://host/a/b, ./a/b and ~/a/b"),
        ("3 / 4 / 5 of /lr/", "3 / 4 / 5 of /lr/"),
        ("'/ 4 / 5' or '/lr/'", "'/ 4 / 5' or '/lr/'"),
        ("no /home/me/.env, /home/me/-x.", "no .env, -x."),
        ("in /home/me/.cache/ and '/home/me/my data/'", "in .cache/ and 'my data/'"),
        ("of /home/me/ (/Users/me), 'C:\\Users\\me\\'", "of ~/ (~), '~\\'"),
        ("file:///home/me/x.py, file:///C:/Users/me/x.py", "x.py, x.py"),
        ("file:///home/me", "~"),
        ("PATH=/a/b:/c/d, not:/home/me/x", "PATH=b:d, not:x"),
        ("at \\\\server\\share\\x.pt", "at x.pt"),
        ('open("/home/o\'neill/x y.py")', 'open("x y.py")'),
        ("cc -I/where/i/live/inc, /where/i/live/", "cc -I~/inc, ~/"),
        ("see s3://where/i/live and /where/i/lived", "see s3://where/i/live and lived"),
    ],
)
def test_messages_and_tracebacks_name_files_without_their_folders(
    line: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/where/i/live")
    assert redact_paths(f"Traceback:\n{line}\n") == f"Traceback:\n{shown}\n"


def test_what_is_saved_holds_no_path_and_no_environment(gate: Gate) -> None:
    gate.error = OutOfLuckError(f"no luck with {__file__}")
    gate.open()
    w = finder(loss_fn=gate)
    w.start()
    with pytest.raises(OutOfLuckError):
        w.wait()
    assert w.error == f"OutOfLuckError: no luck with {Path(__file__).name}"
    saved = str(ipywidgets.Widget.get_manager_state(widgets=_instances.values()))
    assert "no luck" in saved
    assert str(Path(__file__).parents[2]) not in saved
    for name in ("HOME", "PWD", "PATH", "VIRTUAL_ENV"):
        if len(os.environ.get(name, "")) > 1:
            assert os.environ[name] not in saved


def test_what_a_button_came_to_and_labels_are_saved_without_folders(tmp_path: Path) -> None:
    missing = tmp_path / "telltale.yaml"
    missing.touch()

    def factory(parameters: Any) -> torch.optim.Optimizer:
        missing.read_text()
        return torch.optim.SGD(parameters, lr=0.1)

    w = finder(optimizer=factory)
    w.start(label=f"of {missing}", batch_size=64)
    records = w.wait()
    records.meta["label"] = str(missing)  # loaded records can have such a label
    w.add(records)
    w.lr = 1e-3
    missing.unlink()
    comm_of(w).say(type="command", name="apply")  # calls the factory again
    assert w._detail["notice"].endswith("No such file or directory: 'telltale.yaml'")
    assert [label for _, label, _ in w._legend["runs"]] == ["of telltale.yaml", "telltale.yaml"]
    saved = str(ipywidgets.Widget.get_manager_state(widgets=_instances.values()))
    assert "telltale.yaml" in saved
    assert str(tmp_path) not in saved


def test_a_loader_without_a_batch_is_said_in_words() -> None:
    class Nothing(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            return iter(())

    with pytest.raises(ValueError, match="without a single batch"):
        finder(data=[])
    w = finder(data=Nothing())
    w.start()
    with pytest.raises(ValueError, match="without a single batch"):
        w.wait()
    assert w.state == "failed"
    assert "without a single batch" in w.error


def test_a_curve_without_a_suggestion_leaves_the_marker_away(gate: Gate) -> None:
    gate.losses = lambda call: 1.0
    gate.open()
    w = finder(loss_fn=gate)
    w.start()
    w.wait()
    assert (w.state, w.suggestion, w.lr) == ("finished", None, None)
    assert w._detail["reason"]
    assert page_after(comm_of(w).rows_messages).last["lr"] is None


def test_a_loss_that_becomes_nan_diverges_and_stays_json(gate: Gate) -> None:
    gate.losses = lambda call: 1.0 if call < 12 else float("nan")
    gate.open()
    w = finder(loss_fn=gate)
    w.start()
    records = w.wait()
    assert (w.state, records.stop_reason) == ("diverged", "non-finite")
    assert w._detail["stop_reason"] == "non-finite"
    assert np.isnan(np.array(page_after(comm_of(w).rows_messages).rows)[-1, 1])


def test_rules_that_fail_are_logged_and_the_run_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("in the rule")

    monkeypatch.setattr("lrwidget.records.records.suggest", broken)
    w = finder()
    w.start()
    assert len(w.wait()) == 20
    assert (w.state, w.suggestion) == ("finished", None)
    assert "the log has the details" in w._detail["reason"]
    assert "in the rule" in caplog.text


# -- several threads at once


@pytest.mark.slow
def test_page_changes_from_another_thread_do_not_disturb_reads(gate: Gate) -> None:
    w = finder(loss_fn=gate, steps=2000, stop_at_divergence=False)
    gate.open()
    seen: list[float] = []
    w.observe(lambda change: seen.append(change.new), "smoothing")
    problems: list[BaseException] = []

    def subshell() -> None:
        try:
            for i in itertools.count():
                comm_of(w).set(smoothing=(i % 90) / 100, lr=2.0 if i % 3 else "bad")
                if w.state in ENDED:
                    return
        except BaseException as problem:  # noqa: BLE001 - the test asserts below
            problems.append(problem)

    w.start()
    thread = threading.Thread(target=subshell)
    thread.start()
    while w.state == "running":
        w.y_max = w.step + 1.0
    thread.join()
    assert problems == []
    assert len(w.wait()) == 2000
    assert w.lr == 1.0
    assert w.smoothing == seen[-1]
