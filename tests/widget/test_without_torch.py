"""Tests that the widget can follow a log and show its records without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lrwidget import lr_find
from tests.widget.finder import training

FOLLOW = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoTorch())
from lrwidget import LRFinderWidget, LRRecords

w = LRFinderWidget.follow(sys.argv[1])
w.wait()
assert w.lr == w.records.suggestion.lr is not None
assert "text/plain" in w.records._repr_mimebundle_()
again = w.add(LRRecords.load(sys.argv[1]), "again")
w.activate(again)
assert [label for _, label, _ in w._legend["runs"]] == ["sweep.jsonl", "again"]
for refused, error in ((w.apply, ValueError), (w.check, RuntimeError)):
    try:
        refused()
    except error as answer:
        print(answer)
w.close()
print(len(w.records), w.state)
"""


@pytest.mark.process
def test_a_log_is_followed_without_torch(tmp_path: Path) -> None:
    log = tmp_path / "sweep.jsonl"
    lr_find(**training(), start_lr=1e-5, end_lr=1.0, steps=30, log=log, progress=False)
    done = subprocess.run(
        [sys.executable, "-c", FOLLOW, str(log)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    no_optimizer, no_model, shown = done.stdout.splitlines()
    assert "give the one that you train with" in no_optimizer
    assert "has no model to train" in no_model
    assert shown == "30 finished"
