"""What a type checker knows of the public names."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def pyright(*arguments: str) -> Any:
    """Run pyright, and return its report and what it printed beside it."""
    env = {
        **os.environ,
        # The packages that pyright knows are those of the interpreter on PATH.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "stubs")]),
        "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1",
    }
    command = [sys.executable, "-m", "pyright", *arguments, "--outputjson"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    before, brace, report = done.stdout.partition("{")  # a first run tells of its download before
    assert brace, before + done.stderr
    return json.loads(brace + report)


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_type_of_every_public_name_is_written_down() -> None:
    types = pyright("--verifytypes", "lrwidget", "--ignoreexternal")["typeCompleteness"]
    assert Path(types["packageRootDirectory"]) == ROOT / "lrwidget"
    missing = {
        symbol["name"]: [problem["message"] for problem in symbol["diagnostics"]]
        for symbol in types["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"]
    }
    assert not missing
    assert types["exportedSymbolCounts"]["withKnownType"] > 1000
    assert types["completenessScore"] == 1


USE = """
from typing import assert_type
import numpy as np
from lrwidget import LRFinderWidget, LRRecords, lr_find

def use(w: LRFinderWidget) -> None:
    assert_type(w.lr, float | None)
    assert_type(w.lr_range, tuple[float, float] | None)
    assert_type(w.smoothing, float)
    assert_type(w.y_max, float | None)
    assert_type(w.log_y, bool)
    assert_type(w.variable, str)
    assert_type(w.state, str)
    assert_type(w.step, int)
    assert_type(w.steps, int)
    assert_type(w.suggestion, float | None)
    assert_type(w.error, str | None)
    assert_type(w.records, LRRecords)
    assert_type(lr_find(None).suggestion.lr, float | None)
    w.lr = w.y_max = np.float32(0.1)
    w.lr = w.y_max = w.lr_range = None
    w.lr_range = [1, 2.5]
    w.lr = "fast"
    w.state = "idle"
    w.start_lr = 1e-6
"""


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_type_checker_knows_the_traits_and_what_they_can_be_set_to(tmp_path: Path) -> None:
    file = tmp_path / "use.py"
    file.write_text(USE)
    wrong = [one["range"]["start"]["line"] for one in pyright(str(file))["generalDiagnostics"]]
    last = USE.count("\n")
    assert wrong == [last - 3, last - 2, last - 1]
