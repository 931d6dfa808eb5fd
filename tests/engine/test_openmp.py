"""The calling thread gives its OpenMP workers up for a sweep in another thread."""

import sys
import threading
from collections.abc import Callable, Iterator

import psutil
import pytest
import torch

from lrwidget import LRFinderWidget
from lrwidget.engine.openmp import release_worker_threads

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="has no effect outside Linux")


# Enough for torch to share the sum among threads.
NUMBERS = torch.linspace(0.0, 1.0, 100_000)


@pytest.fixture(autouse=True)
def two_threads(one_thread_and_a_seed: None) -> Iterator[None]:
    torch.set_num_threads(2)
    release_worker_threads()
    yield
    torch.set_num_threads(1)


def parallel_sum() -> float:
    return float(NUMBERS.sum())


def threads() -> set[int]:
    return {thread.id for thread in psutil.Process().threads()}


def worker() -> set[int]:
    """Return the calling thread's new worker."""
    before = threads()
    parallel_sum()
    new = threads() - before
    assert len(new) == 1
    return new


def in_a_thread(function: Callable[[], float]) -> float:
    results: list[float] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def test_the_worker_ends_and_another_comes() -> None:
    first = worker()
    assert first <= threads()
    release_worker_threads()
    assert not first & threads()
    assert worker()


def test_no_setting_and_no_result_changes() -> None:
    before = parallel_sum()
    release_worker_threads()
    assert torch.get_num_threads() == 2
    assert parallel_sum() == before
    release_worker_threads()
    assert in_a_thread(parallel_sum) == before


def test_only_the_calling_thread_loses_its_worker() -> None:
    kept = worker()
    in_a_thread(lambda: release_worker_threads() or 0.0)
    assert kept <= threads()


def test_it_may_be_called_without_a_worker() -> None:
    release_worker_threads()
    assert worker()


@pytest.mark.parametrize(
    "begin", [LRFinderWidget.start, lambda w: w.check([1e-3], steps=4)], ids=["sweep", "check"]
)
def test_a_run_in_the_background_has_the_only_worker(
    begin: Callable[[LRFinderWidget], object],
) -> None:
    seen: list[set[int]] = []

    class Watched(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            parallel_sum()
            seen.append(threads())
            return super().forward(x)

    batches = [(torch.randn(4, 2), torch.randint(2, (4,)))] * 4
    w = LRFinderWidget(
        Watched(2, 2), torch.optim.SGD, torch.nn.CrossEntropyLoss(), batches, steps=4
    )
    released = worker()
    begin(w)
    w.wait()
    w.close()
    assert seen
    assert not any(released & ids for ids in seen)
