"""An interpreter that ends while something runs in the background."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SCRIPT = """
import atexit, sys, time
from tests.widget.finder import everything, training
from lrwidget import LRFinderWidget
from torch import nn

task = training()
before = everything(task)
atexit.register(lambda: print("restored" if everything(task) == before else "changed"))

def loss(output, target):
    time.sleep(0.01)
    return nn.functional.cross_entropy(output, target)

w = LRFinderWidget(**task | {"loss_fn": loss}, steps=STEPS, snapshot="SNAPSHOT", end_lr=1.0)
w.start()
DO
print(w.state, w._run_list.latest.under_way)
"""


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "snapshot", "do"),
    [
        (5000, "disk", "time.sleep(0.1)"),
        (5000, "auto", "w.pause()\nwhile w.state == 'running': time.sleep(0.01)"),
        (30, "disk", "w.wait()\nw.refine(budget=100_000)"),
        (30, "auto", "w.wait()\nw.check([1e-3, 1e-2], steps=5000)"),
    ],
    ids=["a sweep", "a paused sweep", "a refinement", "a check"],
)
def test_what_runs_is_ended_and_the_model_restored(
    steps: int, snapshot: str, do: str, tmp_path: Path
) -> None:
    script = SCRIPT.replace("STEPS", str(steps)).replace("DO", do).replace("SNAPSHOT", snapshot)
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stdout.split()[1:]) == (0, ["True", "restored"]), done.stderr
    left = [file.name for file in tmp_path.iterdir() if "torchinductor" not in file.name]
    assert not left
