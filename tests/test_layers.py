"""The layout of the sources: packages, their imports, and what works without torch."""

import os
import subprocess
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "lrwidget"
MOST_LINES = 400
# The widget's public methods are in one file.
LONG = {PACKAGE / "widget" / "widget.py"}
# Folders of tests without a package of the same name.
OTHER_TESTS = {"benchmarks", "browser", "vectors"}


def packages() -> set[str]:
    return {file.parent.name for file in PACKAGE.glob("*/__init__.py")}


def test_few_modules_stand_at_the_top() -> None:
    modules = sorted(file.name for file in PACKAGE.glob("*.py"))
    assert len(modules) <= 6, modules


def test_no_source_file_is_long() -> None:
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "js" / "src").rglob("*.ts")]
    assert {file.suffix for file in files} == {".py", ".ts"}
    lines = {file: len(file.read_text().splitlines()) for file in files if file not in LONG}
    assert not {str(file): count for file, count in lines.items() if count > MOST_LINES}


def test_every_package_has_its_folder_of_tests() -> None:
    folders = {file.parent.name for file in ROOT.glob("tests/*/test_*.py")}
    assert packages() <= folders
    assert folders - packages() <= OTHER_TESTS


def circle(imports: dict[str, set[str]]) -> list[str]:
    """Return the modules of a circle of imports, the first one again at the end; empty if none.

    Args:
        imports: the modules that each module imports.
    """
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found[::-1]
    return []


def test_no_circle_of_imports_counting_those_in_functions_and_for_types() -> None:
    graph = grimp.build_graph("lrwidget", cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    assert len(imports) == len(list(PACKAGE.rglob("*.py")))
    assert Counter(map(bool, imports.values()))[True] > len(packages())
    assert circle(imports) == []


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) in (
        ["a", "b", "c", "a"],
        ["b", "c", "a", "b"],
        ["c", "a", "b", "c"],
    )
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


# Without torch


@pytest.fixture(scope="module")
def python_without_torch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment with the widget's requirements but without torch."""
    environment = tmp_path_factory.mktemp("without_torch") / "venv"
    uv = [sys.executable, "-m", "uv"]
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    needs = ["anywidget", "bqplot", "ipywidgets", "numpy", "pandas"]
    for command in (
        [*uv, "venv", "--python", sys.executable, environment],
        [*uv, "pip", "install", "--python", python, *needs],
    ):
        done = subprocess.run(
            command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert done.returncode == 0, done.stdout
    return python


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the log of a finished sweep."""
    from lrwidget import lr_find
    from tests.tasks import problem

    path = tmp_path_factory.mktemp("log") / "sweep.jsonl"
    records = lr_find(*problem(), start_lr=1e-5, steps=60, seed=0, progress=False, log=path)
    assert records.suggestion.lr is not None
    return path


NO_TORCH = """
import importlib.util, sys
assert importlib.util.find_spec("torch") is None
path = sys.argv[1]
"""
RECORDS = """
from lrwidget import LRRecords, suggest
records = LRRecords.load(path)
shown = records._repr_mimebundle_()
assert "data:image/svg+xml" in shown["text/html"], shown
assert len(records.suggestions) > 1
assert suggest(records.lr, records.loss).lr == records.suggestion.lr
from lrwidget.sources.log import LogRunner
runner = LogRunner(path)
runner.start()
records = runner.wait(60)
runner.close()
print(len(records), len(records.frame), runner.state, records.suggestion.lr)
"""
WIDGET = """
from lrwidget import LRFinderWidget
w = LRFinderWidget.follow(path)
records = w.wait(60)
w.close()
print(len(records), len(w.records.frame), w.state, w.suggestion)
"""


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.timeout(600)
@pytest.mark.parametrize("code", [RECORDS, WIDGET], ids=["records", "widget"])
def test_without_torch_a_finished_log_is_read(
    code: str, python_without_torch: Path, log: Path
) -> None:
    from lrwidget import LRRecords

    done = subprocess.run(
        [python_without_torch, "-P", "-c", NO_TORCH + code, log],
        check=False,
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    rows, frame, end, lr = done.stdout.split()
    there = LRRecords.load(log)
    assert rows == frame == str(len(there))
    assert end == there.stop_reason
    assert float(lr) == there.suggestion.lr
