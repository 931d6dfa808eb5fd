"""Fixtures and settings shared by all tests."""

import os
import signal

import hypothesis
import pytest

# Before anything imports torch, here or in a child process. Beside other processes on few cores,
# threads that wait for each other at every operation cost many times what they save.
os.environ["OMP_NUM_THREADS"] = "1"

import torch

# Before anything imports matplotlib: no window may open, here or in a child process.
os.environ["MPLBACKEND"] = "agg"
# Set before Ray is imported: it stays on the loopback interface and reports no usage. The tests
# wait for its workers, so these do not stand back behind everything else, as they do by default.
os.environ |= {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
}
# How long an example takes says something of the machine, and nothing of what is tested.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")
# A shell starts background jobs with interrupts ignored, in their children too; tests interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests last: playwright leaves an event loop running in the main thread."""
    items.sort(key=lambda item: "browser" in item.path.parts)


@pytest.fixture(autouse=True)
def one_thread_and_a_seed() -> None:
    """Small models are fastest on one thread, and a failure must come again on the next run."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
