"""A process that is forked while a sweep runs in the background, as by multiprocessing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
# A child that hangs is ended by its alarm, and tells nothing.
SCRIPT = """
import os, signal, threading
from tests.widget.finder import training
from lrwidget import LRFinderWidget
from torch import nn

within, go = threading.Event(), threading.Event()
ended = LRFinderWidget(**training(), steps=3)
ended.start()
ended.wait()
later = LRFinderWidget(**training(), steps=3)

def loss(output, target):
    within.set()
    go.wait()
    return nn.functional.cross_entropy(output, target)

w = LRFinderWidget(**training() | {"loss_fn": loss}, steps=3)
w.start()
within.wait()
for do in DO:
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            print(eval(do), flush=True)
        except RuntimeError as error:
            print(error, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
go.set()
w.wait()
"""


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_in_a_forked_process_nothing_waits_for_the_sweep_of_the_other() -> None:
    expected = {
        "w.state": "stopped",
        "w.wait()": "from which this one was forked with the rows until then; wait() there",
        "(w.close(), w.state)": "(None, 'stopped')",
        "(w.reset(), w.state)": "(None, 'idle')",
        "(len(ended.wait()), ended.state)": "(3, 'finished')",
        "(later.start(), len(later.wait()), later.state)": "(None, 3, 'finished')",
    }
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT.replace("DO", repr(list(expected)))]
    out = subprocess.check_output(command, cwd=ROOT, env=environment, text=True)
    for line, words in zip(out.splitlines(), expected.values(), strict=True):
        assert words in line
