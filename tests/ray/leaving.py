"""A process that repeatedly disconnects from a Ray cluster while its sweeps run.

RAY_ADDRESS=... python -m tests.ray.leaving ROUNDS

It is a separate process, since a fault here may hang in C++ or crash.
"""

from __future__ import annotations

import faulthandler
import sys
from collections.abc import Callable
from typing import Any

import pytest
import ray

from lrwidget.distributed import RayRunner
from lrwidget.engine.runner import RunState
from lrwidget.ray.connection import WorkerLostError
from lrwidget.ray.source import RaySource
from tests.ray.cluster import TIMEOUT, make_task, until

LEFT = "this process has left the Ray cluster"
ENDLESS: dict[str, Any] = {"steps": 100_000, "stop_at_divergence": False, "end_lr": 1e-3}


def running() -> Any:
    """Return an endless sweep that has its first rows."""
    runner = RaySource(make_task, RayRunner("auto"), **ENDLESS).runner("")
    runner.start()
    until(lambda: len(runner.records) > 5)
    return runner


def ends(runner: Any) -> None:
    """Check that the run ended with the error of a disconnected process, and kept its rows."""
    with pytest.raises(WorkerLostError, match=LEFT):
        runner.wait(TIMEOUT)
    assert runner.state is RunState.FAILED
    assert len(runner.records) > 5
    runner.close()


def leave() -> None:
    """Disconnect; no later call may start another cluster, although Ray's own calls would."""
    runner = running()
    handle = runner._handles[0]
    ray.shutdown()
    ends(runner)
    for late in (handle.submit, lambda: handle.steer("stop"), handle.receive):
        with pytest.raises(WorkerLostError, match=LEFT):
            late()
    handle.release()
    assert not ray.is_initialized()


def leave_and_come_back() -> None:
    """Disconnect and reconnect at once: the running sweep sees another connection."""
    runner = running()
    ray.shutdown()
    RayRunner("auto").connect()
    ends(runner)
    again = running()
    again.close()
    assert again.state is RunState.STOPPED


WAYS: tuple[Callable[[], None], ...] = (leave, leave_and_come_back)


def main(rounds: str) -> None:
    """Disconnect `rounds` times in each way; a hang ends the process with all stacks."""
    faulthandler.dump_traceback_later(TIMEOUT, exit=True)
    for number in range(int(rounds)):
        for way in WAYS:
            way()
        sys.stderr.write(f"round {number}\n")
        faulthandler.dump_traceback_later(TIMEOUT, exit=True)
    ray.shutdown()
    sys.stderr.write("left\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
