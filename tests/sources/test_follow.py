"""Follow the log of a sweep in another process."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lrwidget import LRRecords
from lrwidget.engine.runner import RunState
from lrwidget.records.jsonl import Log
from lrwidget.records.table import StopReason
from lrwidget.sources.log import POLL, LogRunner, LogSource, _Reader

HEAD = json.dumps(
    {
        "format": "lrwidget-records",
        "version": 1,
        "stop_reason": None,
        "meta": {"options": {"steps": 4, "repeats": 2}},
    }
)
NAMED_HEAD = json.dumps({**json.loads(HEAD), "id": "one"})
END = json.dumps({"stop_reason": "finished", "meta": {}})


def row(lr: float) -> str:
    return json.dumps({"lr": lr, "loss": 2 * lr})


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "this never came about"
        time.sleep(0.005)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sweep.jsonl"


class Following:
    """A follower and its replacements, each started as soon as it exists."""

    def __init__(self, path: Path) -> None:
        self.all = [LogRunner(path)]
        self.all[0].start()

    @property
    def now(self) -> LogRunner:
        while (replacement := self.all[-1].replacement) is not None:
            self.all.append(replacement)
            replacement.start()
        return self.all[-1]


def test_a_log_without_news_is_looked_at_now_and_then(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    paused = threading.Event()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        paused.set()

    clock = SimpleNamespace(sleep=pause, monotonic=time.monotonic)
    monkeypatch.setattr("lrwidget.sources.log.time", clock)
    runner = LogRunner(path)
    runner.start()
    assert paused.wait(60)
    runner.stop()
    runner.wait(60)
    assert set(pauses) == {POLL}


@pytest.fixture
def following(path: Path) -> Iterator[Following]:
    following = Following(path)
    yield following
    for follower in following.all:
        follower.close()


@pytest.fixture
def follower(following: Following) -> LogRunner:
    """Return the first follower."""
    return following.now


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def rates(follower: LogRunner) -> list[float]:
    return follower.records.lr.tolist()


def test_it_waits_for_a_file_that_does_not_exist_yet(path: Path, follower: LogRunner) -> None:
    time.sleep(0.12)
    assert (follower.state, len(follower.records)) == (RunState.RUNNING, 0)
    append(path, f"{HEAD}\n{row(1.0)}\n")
    until(lambda: rates(follower) == [1.0])
    assert follower.steps == 8
    append(path, f"{row(2.0)}\n{END}\n")
    assert follower.wait(60).lr.tolist() == [1.0, 2.0]
    assert follower.state is RunState.FINISHED


def test_a_torn_last_line_is_waited_for(path: Path, follower: LogRunner) -> None:
    append(path, f"{HEAD[:20]}")
    time.sleep(0.12)
    append(path, f"{HEAD[20:]}\n{row(1.0)}\n{row(2.0)[:5]}")
    until(lambda: rates(follower) == [1.0])
    time.sleep(0.12)
    assert rates(follower) == [1.0]
    append(path, f"{row(2.0)[5:]}\n")
    until(lambda: rates(follower) == [1.0, 2.0])


def test_a_truncated_file_is_a_new_sweep(path: Path, following: Following) -> None:
    first = following.now
    append(path, f"{HEAD}\n{row(1.0)}\n{row(2.0)}\n")
    until(lambda: rates(first) == [1.0, 2.0])
    path.write_text(f"{HEAD}\n")
    until(lambda: following.now is not first)
    append(path, f"{row(5.0)}\n")
    until(lambda: rates(following.now) == [5.0])
    assert first.wait(60).lr.tolist() == [1.0, 2.0]
    assert first.state is RunState.STOPPED
    assert first.records.stop_reason is StopReason.STOPPED
    assert "begun anew" in first.notice


def test_a_file_written_anew_and_already_longer_is_a_new_sweep(
    path: Path, following: Following
) -> None:
    append(path, f"{HEAD}\n{row(1.0)}\n")
    until(lambda: rates(following.now) == [1.0])
    other = json.dumps({**json.loads(HEAD), "id": "another"})
    with path.open("r+") as file:  # in one write, so that the file is never shorter
        file.write(f"{other}\n{row(5.0)}\n{row(6.0)}\n{row(7.0)}\n")
    until(lambda: rates(following.now) == [5.0, 6.0, 7.0])


def test_a_rotated_file_is_a_new_sweep(path: Path, following: Following) -> None:
    first = following.now
    append(path, f"{HEAD}\n{row(1.0)}\n")
    until(lambda: rates(first) == [1.0])
    path.rename(path.with_suffix(".old"))
    time.sleep(0.12)
    assert following.now is first
    append(path, f"{HEAD}\n{row(7.0)}\n{row(8.0)}\n{row(9.0)}\n{END}\n")
    until(lambda: following.now is not first)
    assert following.now.wait(60).lr.tolist() == [7.0, 8.0, 9.0]
    assert rates(first) == [1.0]


def test_a_file_that_is_moved_away_is_followed_until_another_is_there(
    path: Path, following: Following
) -> None:
    first = following.now
    append(path, f"{HEAD}\n{row(1.0)}\n")
    until(lambda: rates(first) == [1.0])
    moved = path.rename(path.with_suffix(".old"))
    append(moved, f"{row(2.0)}\n")
    until(lambda: rates(first) == [1.0, 2.0])
    # Both files are open at once: no line of either may be lost.
    with moved.open("a") as old, path.open("w") as new:
        old.write(f"{row(3.0)}\n")
        old.flush()
        new.write(f"{HEAD}\n{row(7.0)}\n{END}\n")
    until(lambda: following.now is not first)
    assert following.now.wait(60).lr.tolist() == [7.0]
    assert rates(first) == [1.0, 2.0, 3.0]


def test_an_empty_file_takes_no_place_yet(path: Path) -> None:
    path.write_text("first\n")
    reader = _Reader(path)
    assert reader.read()[1] == ["first"]
    moved = path.rename(path.with_suffix(".old"))
    path.touch()
    assert reader.read() == (False, [])
    append(moved, "second\n")
    assert reader.read() == (False, ["second"])
    append(path, "another\n")
    assert reader.read() == (True, ["another"])
    reader.close()


def copied_to(path: Path, text: str) -> None:
    """Replace the file by a new one, as rsync does."""
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)


def test_a_copy_that_replaces_the_file_at_each_sync_is_the_same_sweep(
    path: Path, following: Following
) -> None:
    first = following.now
    lines = [NAMED_HEAD, row(1.0), row(2.0), row(3.0), END]
    for count in range(4):
        copied_to(path, "\n".join([*lines[: 1 + count], lines[1 + count][:7]]))  # a torn line last
        until(lambda count=count: len(first.records) == count)
    copied_to(path, "\n".join([*lines, ""]))
    assert first.wait(60).lr.tolist() == [1.0, 2.0, 3.0]
    assert first.state is RunState.FINISHED
    assert following.now is first


def test_a_copy_that_is_still_on_its_way_is_waited_for(path: Path, following: Following) -> None:
    first = following.now
    text = f"{NAMED_HEAD}\n{row(1.0)}\n{row(2.0)}\n"
    path.write_text(text)
    until(lambda: rates(first) == [1.0, 2.0])
    for there in (0, 10, len(NAMED_HEAD) + 5):  # scp rewrites a file from its beginning
        path.write_text(text[:there])
        time.sleep(0.12)
        assert following.now is first
    path.write_text(f"{text}{row(3.0)}\n")
    until(lambda: rates(first) == [1.0, 2.0, 3.0])
    assert following.now is first


def test_a_copy_of_another_sweep_is_another_run(path: Path, following: Following) -> None:
    first = following.now
    copied_to(path, f"{NAMED_HEAD}\n{row(1.0)}\n")
    until(lambda: rates(first) == [1.0])
    other = NAMED_HEAD.replace("one", "two")
    copied_to(path, f"{other}\n{row(5.0)}\n{row(6.0)}\n")
    until(lambda: following.now is not first)
    until(lambda: rates(following.now) == [5.0, 6.0])
    assert rates(first) == [1.0]


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.EACCES])
def test_a_file_that_cannot_be_read_for_a_while_is_tried_again(
    path: Path, follower: LogRunner, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    append(path, f"{HEAD}\n{row(1.0)}\n")
    until(lambda: rates(follower) == [1.0])
    with monkeypatch.context() as mount:
        opened = Path.open

        def broken(file: Path, *mode: str) -> Any:
            if file == path:
                raise OSError(code, os.strerror(code))
            return opened(file, *mode)

        mount.setattr(Path, "open", broken)
        words = f"sweep.jsonl cannot be read now ({os.strerror(code)}); it is tried again."
        until(lambda: follower.notice == words)
        assert follower.state is RunState.RUNNING
    append(path, f"{row(2.0)}\n")
    until(lambda: rates(follower) == [1.0, 2.0])
    until(lambda: follower.notice == "")


def test_a_file_whose_old_handle_has_gone_stale_is_read_from_the_new_one(path: Path) -> None:
    """NFS gives a stale handle where the server has replaced the file."""
    reader = _Reader(path)
    path.write_text(f"{NAMED_HEAD}\n{row(1.0)}\n")
    assert reader.read() == (True, [NAMED_HEAD, row(1.0)])

    class Stale:
        def seek(self, offset: int) -> None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

        def close(self) -> None:
            """Do nothing: there is no file to close."""

    reader.close()
    reader._held = Stale()  # type: ignore[assignment]
    path.rename(path.with_suffix(".gone"))
    assert reader.read() == (False, [])
    assert reader.trouble == os.strerror(errno.ESTALE)
    path.write_text(f"{NAMED_HEAD}\n{row(1.0)}\n{row(2.0)}\n")
    assert reader.read() == (False, [row(2.0)])
    assert reader.trouble == ""
    reader.close()


def test_silence_is_noticed_and_does_not_end_the_following(
    path: Path, follower: LogRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrwidget.sources.log.MINUTE", 0.05)
    append(path, f"{HEAD}\n{row(1.0)}\n")
    until(lambda: follower.notice.startswith("No row has come to sweep.jsonl for "))
    assert "its process has ended" in follower.notice
    assert follower.state is RunState.RUNNING
    monkeypatch.undo()
    until(lambda: follower.notice == "")
    append(path, f"{row(2.0)}\n{END}\n")
    assert follower.wait(60).lr.tolist() == [1.0, 2.0]


def test_range_and_steps_are_those_of_the_file(path: Path, follower: LogRunner) -> None:
    until(lambda: follower.notice == "Waiting for sweep.jsonl: there is no such file yet.")
    assert follower.span == (1e-7, 10.0)
    options = {"start_lr": 1e-4, "end_lr": 1e-2, "steps": 4, "repeats": 1}
    append(path, json.dumps({**json.loads(HEAD), "meta": {"options": options}}) + "\n")
    until(lambda: follower.span == (1e-4, 1e-2))
    until(lambda: (follower.steps, follower.notice) == (4, ""))


def test_repeats_are_told_apart(path: Path, follower: LogRunner) -> None:
    append(path, f'{HEAD}\n{row(1.0)}\n{{"lr": 1.0, "loss": 3.0, "sweep": 1}}\n')
    until(lambda: rates(follower) == [1.0, 1.0])
    assert follower.records.sweep_starts == [0, 1]


def test_a_file_that_is_not_ours_fails_with_the_line(path: Path, follower: LogRunner) -> None:
    append(path, "nonsense\n")
    with pytest.raises(ValueError, match="line 1 is not JSON"):
        follower.wait(60)
    assert follower.state is RunState.FAILED


def test_a_folder_and_what_is_no_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a folder; expected the file that lr_find"):
        LogSource(tmp_path)
    with pytest.raises(TypeError, match="path is 5; expected the path of a file"):
        LogSource(5)  # type: ignore[arg-type]


def test_it_can_be_stopped(path: Path, follower: LogRunner) -> None:
    append(path, f"{HEAD}\n{row(1.0)}\n")
    until(lambda: rates(follower) == [1.0])
    follower.stop()
    assert len(follower.wait(60)) == 1
    assert follower.state is RunState.STOPPED


@pytest.mark.process
def test_a_sweep_in_another_process_is_followed_to_the_last_bit(
    path: Path, follower: LogRunner
) -> None:
    code = """
import sys
from lrwidget import lr_find
from tests.tasks import problem
options = dict(start_lr=1e-6, end_lr=1e-2, steps=60, seed=1, progress=False)
lr_find(*problem(), log=sys.argv[1], **options).save(sys.argv[2])
"""
    saved = path.with_name("saved.jsonl")
    subprocess.run([sys.executable, "-c", code, str(path), str(saved)], check=True)
    followed = follower.wait(60)
    assert np.array_equal(followed.rows(), LRRecords.load(saved).rows())
    assert followed.stop_reason is StopReason.FINISHED
    assert followed.meta["optimizer"] == "SGD"


def test_what_a_log_writes_is_followed_row_by_row(path: Path, follower: LogRunner) -> None:
    records = LRRecords({"options": {"steps": 2, "repeats": 1}})
    with Log(path, records) as log:
        for lr in (1.0, 2.0):
            records.append(lr, float("nan"))
            log.update()
            until(lambda: len(follower.records) == len(records))
        records.stop_reason = StopReason.DIVERGED
    follower.wait(60)
    assert follower.state is RunState.DIVERGED


def test_a_refinement_that_follows_the_sweep_is_waited_for(path: Path, follower: LogRunner) -> None:
    records = LRRecords({"options": {"steps": 1, "repeats": 1}})
    with Log(path, records) as log:
        records.append(1.0, 2.0)
        records.stop_reason = StopReason.FINISHED
        log.sweep_ended()
        until(lambda: follower.records.stop_reason is StopReason.FINISHED)
        until(lambda: "short trials" in follower.notice)
        assert follower.state is RunState.RUNNING
        torn = b'{"stop_reason": "fini'  # the process has died
        other = path.with_name("torn.jsonl")
        other.write_bytes(path.read_bytes() + torn)
        assert LRRecords.load(other).stop_reason is StopReason.FINISHED
        records.meta["refinement"] = 7
    follower.wait(60)
    assert follower.state is RunState.FINISHED
    assert follower.records.meta["refinement"] == 7
