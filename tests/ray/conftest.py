"""The Ray cluster of a file of tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ray.cluster import Nodes, cluster

RESULTS = Path("~/ray_results").expanduser()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("process")


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """Start a head without cores, once for a file: the start takes longer than most tests."""
    before = sorted(RESULTS.glob("*"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOO_SOCKET_IFNAME", "lo")
        # Seconds that Ray Train waits for cores; only between two waits can it be ended.
        patch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "10")
        # Seconds between Ray Train's checks of whether the workers have ended.
        patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
        # Milliseconds between health checks of a node; after five failures Ray declares it dead.
        patch.setenv("RAY_health_check_period_ms", "500")
        with cluster() as nodes:
            yield nodes
    assert sorted(RESULTS.glob("*")) == before  # Ray Train's default place
