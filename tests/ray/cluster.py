"""A real Ray cluster of two nodes on this machine, and tasks for it."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil
import ray
import torch
from ray.cluster_utils import Cluster
from torch import nn

from lrwidget.engine.runner import Runner
from tests.tasks import blobs

T = TypeVar("T")

# Seconds to wait for a condition; reached only if it never holds.
TIMEOUT = 250.0
# Seconds for runners to close: less than a test's limit leaves after one TIMEOUT.
CLOSES_WITHIN = 40.0

NODE: dict[str, Any] = {
    "node_ip_address": "127.0.0.1",
    "object_store_memory": 80 * 2**20,
    # These processes are of no use to the tests.
    "include_dashboard": False,
    "include_log_monitor": False,
    "no_monitor": True,
}
# On a busy machine a node gives up when one of its helpers needs more than 15 seconds to start, and
# no setting changes that. No retry begins after this many seconds, and each takes 90 at most, so
# the two nodes that a test may start stay below its limit.
TRIED_FOR = 50.0


def patiently(begin: Callable[[], T]) -> T:
    """Return the result of starting a node, with retries."""
    before = children()
    deadline = time.monotonic() + TRIED_FOR
    while time.monotonic() < deadline:
        with contextlib.suppress(Exception):
            return begin()
        for process in started_since(before):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        with warnings.catch_warnings():  # about processes that were not waited for
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
    return begin()


def children() -> set[psutil.Process]:
    """Return the descendants of this process."""
    return set(psutil.Process().children(recursive=True))


def started_since(before: set[psutil.Process]) -> set[psutil.Process]:
    """Return the descendants of this process that are not in `before` or below."""
    theirs = set[psutil.Process]()
    for process in before:
        with contextlib.suppress(psutil.NoSuchProcess):
            theirs.update(process.children(recursive=True))
    return children() - before - theirs


class Nodes:
    """A cluster: a head without cores, and nodes that tests add and kill."""

    def __init__(self) -> None:
        self._cluster = Cluster()

    def begin(self) -> None:
        """Start the head, and let this process take part."""
        self.add(num_cpus=0)
        ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")

    @property
    def address(self) -> str:
        """The address of the head."""
        address: str = self._cluster.address
        return address

    def add(self, num_cpus: int) -> Any:
        """Add a node and return it."""
        return patiently(lambda: self._cluster.add_node(**NODE, num_cpus=num_cpus))

    def kill(self, node: Any) -> None:
        """Kill a node without a graceful shutdown."""
        self._cluster.remove_node(node, allow_graceful=False)

    def shutdown(self) -> None:
        """End all of it."""
        ray.shutdown()
        self._cluster.shutdown()


@contextlib.contextmanager
def cluster() -> Iterator[Nodes]:
    """Start a cluster on the loopback interface; all its processes end with the block."""
    before = children()
    nodes = Nodes()
    ours: set[psutil.Process] = set()
    try:
        nodes.begin()
        yield nodes
        ours = started_since(before)
        assert {address.removeprefix("::ffff:") for address in listening(ours)} == {"127.0.0.1"}
    finally:
        nodes.shutdown()
    assert ours
    _, alive = psutil.wait_procs(ours, timeout=TIMEOUT)
    assert alive == []


def listening(processes: set[psutil.Process]) -> set[str]:
    """Return the addresses on which processes listen."""
    numbers = {process.pid for process in processes}
    return {
        connection.laddr.ip
        for connection in psutil.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and connection.pid in numbers
    }


def until(happened: Callable[[], object], every: float = 0.01) -> None:
    """Wait for a condition; check it every `every` seconds."""
    deadline = time.monotonic() + TIMEOUT
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(every)


def close_all(runners: Sequence[Runner[Any]]) -> None:
    """Close the runners, each in a separate thread, so that one that hangs blocks no other."""
    threads = [threading.Thread(target=runner.close, daemon=True) for runner in runners]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + CLOSES_WITHIN
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    stuck = [runner for runner, thread in zip(runners, threads, strict=True) if thread.is_alive()]
    assert stuck == []


class Gate:
    """A file with the number of steps that may run, on any node."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.let(0)

    def let(self, steps: int) -> None:
        """Allow `steps` steps of each sweep in total."""
        new = self.path.with_suffix(".new")
        new.write_text(str(steps))
        new.replace(self.path)

    def open(self) -> None:
        """Allow all steps."""
        self.let(10**9)


class GatedLoss(nn.CrossEntropyLoss):
    """Cross entropy that waits at a gate, and raises at call `fails_at` if it is given."""

    def __init__(self, gate: Path | None, fails_at: int | None) -> None:
        super().__init__()
        self.gate, self.fails_at, self.calls = gate, fails_at, 0

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        while self.gate is not None and int(self.gate.read_text()) < self.calls:
            time.sleep(0.005)
        if self.calls == self.fails_at:
            raise ArithmeticError("no luck on this worker")
        return super().forward(output, target)


def make_task(
    gate: Path | None = None, fails_at: int | None = None, batch_size: int = 32
) -> tuple[Any, ...]:
    """A small classifier whose weights are drawn at random."""
    torch.set_num_threads(1)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    loader = torch.utils.data.DataLoader(blobs(), batch_size=batch_size, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return model, optimizer, GatedLoss(gate, fails_at), loader
