"""Threads that are ended before the interpreter ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, sys, threading
from lrwidget.stream.at_exit import end_at_exit

parent = os.getpid()

class Run:
    def stop(self):
        print("in the child" if os.getpid() != parent else "in the parent", flush=True)

run, thread = Run(), threading.Thread(target=threading.Event().wait, args=(0.1,), daemon=True)
thread.start()
end_at_exit(thread, run.stop)
if os.fork() == 0:
    sys.exit()
os.wait()
"""


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_ends_no_thread_of_its_parent() -> None:
    root = Path(__file__).parent.parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", SCRIPT]
    told = subprocess.check_output(command, cwd=root, env=environment, text=True)
    assert told == "in the parent\n"
