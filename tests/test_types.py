"""What a type checker knows of the public names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_type_of_every_public_name_is_written_down() -> None:
    env = {
        **os.environ,
        # The packages that pyright knows are those of the interpreter on PATH.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "stubs")]),
        "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1",
    }
    command = [sys.executable, "-m", "pyright", "--verifytypes", "lrwidget", "--ignoreexternal"]
    done = subprocess.run(
        [*command, "--outputjson"], check=False, capture_output=True, text=True, env=env
    )
    before, brace, report = done.stdout.partition("{")  # a first run tells of its download before
    assert brace, before + done.stderr
    types = json.loads(brace + report)["typeCompleteness"]
    assert Path(types["packageRootDirectory"]) == ROOT / "lrwidget"
    missing = {
        symbol["name"]: [problem["message"] for problem in symbol["diagnostics"]]
        for symbol in types["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"]
    }
    assert not missing
    assert types["exportedSymbolCounts"]["withKnownType"] > 1000
    assert types["completenessScore"] == 1
