"""Fixtures and settings shared by all tests."""

import gc
import os
import signal

import hypothesis
import pytest

# Set before torch is imported, here or in a child process. On a busy machine with few cores,
# threads that wait for each other at every operation cost many times what they save.
os.environ["OMP_NUM_THREADS"] = "1"

import torch

# Set before matplotlib is imported, here or in a child process: no window may open.
os.environ["MPLBACKEND"] = "agg"
# Set before Ray is imported: it stays on the loopback interface and reports no usage. Its workers
# have a low priority by default, but the tests wait for them.
os.environ |= {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
}
# The duration of an example depends on the machine.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")
# A shell starts background jobs with interrupts ignored, but some tests interrupt processes.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Of the browser's files those that take longest. They begin before its others: while the last file
# of all is run, the other workers have nothing to do.
LONG = {"test_accessibility", "test_orphaned", "test_refine", "test_runs", "test_saved"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the browser tests last: playwright leaves an event loop running in the main thread."""
    last = [item for item in items if "browser" in item.path.parts]
    last.sort(key=lambda item: item.path.stem not in LONG)
    items[:] = [item for item in items if "browser" not in item.path.parts] + last


def pytest_collection_finish() -> None:
    """Take modules and tests out of the collection of garbage, which would go through them again
    and again: in some tests that was a tenth of the time."""
    gc.freeze()


@pytest.fixture(autouse=True)
def one_thread_and_a_seed() -> None:
    """Small models are fastest on one thread; the seed makes failures reproducible."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
