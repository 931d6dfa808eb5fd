"""What RayRunner is given, and what becomes of it without Ray."""

from __future__ import annotations

import os
import subprocess
import sys
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


def test_where_there_is_no_cluster_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_there(**_: Any) -> None:
        raise ConnectionError("could not find any running Ray instance")

    monkeypatch.setattr(ray, "init", nothing_there)
    with pytest.raises(
        ConnectionError, match=r"connect to a Ray cluster at 'auto': could not find"
    ):
        RayRunner("auto").connect()
