"""RayRunner: its arguments, and its errors without Ray or a cluster."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import ray

from lrwidget import LRFinderWidget
from lrwidget.distributed import RayRunner

ROOT = Path(__file__).parents[2]
WITHOUT_RAY = """
import sys
sys.modules["ray"] = None
from lrwidget.distributed import RayRunner
try:
    RayRunner()
except ImportError as error:
    print(error)
"""


def test_without_ray_it_says_how_to_install_it() -> None:
    said = subprocess.run(
        [sys.executable, "-c", WITHOUT_RAY],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ).stdout
    assert said == "RayRunner needs Ray, which is not installed; pip install 'lrwidget[ray]'\n"


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"address": 6379}, TypeError, "address is 6379; expected text such as 'auto'"),
        ({"address": "ray://head:10001"}, ValueError, "of Ray Client, which cannot stream"),
        ({"num_cpus": -1}, ValueError, "num_cpus is -1; expected 0 or more"),
        ({"num_gpus": "2"}, TypeError, "num_gpus is '2', a str; expected a number"),
        ({"workers": 0}, ValueError, "workers is 0; expected at least 1"),
        ({"max_retries": 1.5}, TypeError, "max_retries is 1.5"),
    ],
)
def test_bad_input_is_refused_at_once(
    given: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        RayRunner(**given)


def test_its_repr_says_where_and_with_what() -> None:
    runner = RayRunner("auto", workers=2, num_gpus=0.5)
    assert repr(runner) == "RayRunner('auto', workers=2, 1 CPU and 0.5 GPU each)"


def test_the_widget_takes_nothing_else_for_a_runner_and_nothing_beside_a_factory() -> None:
    with pytest.raises(TypeError, match=r"runner is a str; expected a .*RayRunner"):
        LRFinderWidget(lambda: None, runner="ray")
    with pytest.raises(TypeError, match="optimizer, data beside a task_factory"):
        LRFinderWidget(lambda: None, 1, data=2, runner=RayRunner())


def test_where_nobody_answers_it_says_so_at_once() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # the port does not listen
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(ConnectionError, match=f"cluster at '{address}': nothing answers at"):
            LRFinderWidget(lambda: None, runner=RayRunner(address))
    assert time.monotonic() - began < 30  # Ray itself would need a quarter of an hour
    assert not ray.is_initialized()


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ConnectionError, match=r"at 'nonsense': Invalid address format"):
        RayRunner("nonsense").connect()
