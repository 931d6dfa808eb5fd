"""A sweep restores everything after Ctrl-C at any moment, even during its setup or its restore.

CPython delivers the interrupt where a function begins and where a call into C returns, which are
a profiler's events. Generators are skipped: an exception that a profiler raises when a generator
resumes ends it without running its `finally`, which a real interrupt never does.
"""

import ast
import contextlib
import inspect
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from torch import nn

import lrwidget
from lrwidget import LRRecords, lr_find
from lrwidget.backup import reach, walk
from lrwidget.records.jsonl import Log
from lrwidget.restore.attributes import put_back_after
from tests.restore.endings import interrupt
from tests.restore.fingerprint import differences, fingerprint
from tests.restore.scenes import Scene, warm_adam

OURS = (str(Path(lrwidget.__file__).parent), contextlib.__file__)
# They only read: an interrupt while they do is one of their caller, whose state is still the same.
READERS = {reach.__file__, walk.__file__}
# A sweep has thousands of such moments; trying every one would take too long.
STRIDES = {"quick": 17, "thorough": 7}
OPTIONS: dict[str, Any] = {"steps": 2, "start_lr": 1e-4, "end_lr": 1e-2, "progress": False}


class InterruptAt:
    """A profiler that counts the moments of a possible interrupt and interrupts at one.

    Of the moments between a call into `READERS` and its return, it counts the first.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.count = 0
        self.where = ""
        self._enters = False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event not in {"call", "c_return"}:
            return
        name = frame.f_code.co_filename
        reads = name in READERS
        if not (reads or name.startswith(OURS)):
            return
        if event == "call":
            if reads and frame.f_back.f_code.co_filename not in READERS:
                self._enters = True
            if frame.f_code.co_flags & inspect.CO_GENERATOR:
                return
        if reads:
            if not self._enters:
                return
            self._enters = False
        self.count += 1
        if self.count == self.number:
            self.where = f"{name}:{frame.f_lineno} {event} {argument!r}"
            raise KeyboardInterrupt


def test_readers_have_nothing_to_put_back() -> None:
    for path in READERS:
        for node in ast.walk(ast.parse(Path(path).read_text("utf-8"))):
            assert not isinstance(node, (ast.With, ast.Global, ast.Nonlocal, ast.Delete))
            assert not (isinstance(node, ast.Try) and node.finalbody)
            assert not (isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))


def find_with(profile: InterruptAt, it: Scene, snapshot: str) -> LRRecords | None:
    task = it.task(snapshot=snapshot)
    sys.setprofile(profile)
    try:
        return lr_find(task, **OPTIONS)
    except KeyboardInterrupt:
        return None
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize(
    ("snapshot", "stride"),
    [
        ("auto", "quick"),
        pytest.param("auto", "thorough", marks=pytest.mark.full),
        pytest.param("disk", "thorough", marks=pytest.mark.full),
    ],
)
def test_an_interrupt_at_any_moment(snapshot: str, stride: str) -> None:
    it = warm_adam()
    moments = InterruptAt(0)
    whole = find_with(moments, it, snapshot)
    assert whole is not None
    assert moments.count > 300
    before = it.fingerprint()
    for number in range(1, moments.count + 1, STRIDES[stride]):
        profile = InterruptAt(number)
        records = find_with(profile, it, snapshot)
        if records is not None:
            assert records.stop_reason in ("stopped", "finished"), profile.where
        assert not differences(before, it.fingerprint()), profile.where
    # The lock on the model is released.
    assert find_with(InterruptAt(0), it, snapshot) is not None


def test_a_second_interrupt_during_the_restore(monkeypatch: pytest.MonkeyPatch) -> None:
    it = warm_adam()
    task = it.task(snapshot="device")
    before = it.fingerprint()
    restore = lrwidget.backup.backup.Backup.restore
    calls = 0

    def slow(self: Any) -> None:
        nonlocal calls
        calls += 1
        if calls < 4:
            interrupt()
        restore(self)

    monkeypatch.setattr(lrwidget.backup.backup.Backup, "restore", slow)
    it.plan.at("forward", 3, interrupt)
    records = lr_find(task, **OPTIONS)
    assert records.stop_reason == "stopped"
    assert len(records) > 0
    assert calls == 4
    assert not differences(before, it.fingerprint())


def test_a_log_has_each_row_once_whenever_an_interrupt_comes(tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonl"
    profile = InterruptAt(0)
    while profile.count >= profile.number:
        profile = InterruptAt(profile.number + 1)
        records = LRRecords()
        with contextlib.suppress(KeyboardInterrupt), Log(path, records) as log:
            for lr in (1.0, 2.0):
                records.append(lr, 3 * lr)
                sys.setprofile(profile)
                try:
                    log.update()
                finally:
                    sys.setprofile(None)
        assert LRRecords.load(path).rows().tolist() == records.rows().tolist(), profile.where
        assert path.read_bytes().count(b"stop_reason") == 2, profile.where
    assert profile.number > 20


def test_what_an_adapter_puts_back_is_back_whenever_an_interrupt_comes() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = fingerprint(model=model)
    profile = InterruptAt(0)
    while profile.count >= profile.number:
        profile = InterruptAt(profile.number + 1)
        try:
            with put_back_after([model]):
                model.eval().note = "changed"
                sys.setprofile(profile)
        except KeyboardInterrupt:
            pass
        finally:
            sys.setprofile(None)
        assert not differences(before, fingerprint(model=model)), profile.where
    assert profile.number > 5
