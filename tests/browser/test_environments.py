"""The wheel in other people's environments: the oldest and newest packages, on each Python.

An environment takes minutes and gigabytes the first time; afterwards it is made of links into uv's
cache. `make test` covers the same in one environment.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.conftest import picture
from tests.browser.harness.cells import STEPS, finish_and_export, open_finder, start
from tests.browser.harness.lab import Lab
from tests.browser.harness.server import JupyterServer
from tests.test_package import NOT_SOURCES, ROOT, run

pytestmark = [pytest.mark.full, pytest.mark.process, pytest.mark.timeout(1800)]

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
RESOLUTIONS = ("lowest-direct", "highest")
UV = (sys.executable, "-m", "uv")
# Other people's environments know nothing of this checkout.
OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "JUPYTER_PATH")


def interpreter(version: str) -> str:
    """Return a Python of this version: uv's or the system's, pyenv's, or one that uv can fetch."""
    found = subprocess.run([*UV, "python", "find", version], **CAPTURED)
    if found.returncode == 0:
        return found.stdout.strip()
    if pyenv := shutil.which("pyenv"):
        prefix = subprocess.run([pyenv, "prefix", version], **CAPTURED)
        if prefix.returncode == 0:
            return f"{prefix.stdout.strip()}/bin/python"
    fetched = subprocess.run([*UV, "python", "install", "--no-bin", version], **CAPTURED)
    if fetched.returncode != 0:
        said = fetched.stderr.strip().splitlines()
        pytest.skip(f"no Python {version} here, and uv cannot fetch it: {said[-1].strip()}")
    return run(*UV, "python", "find", version).strip()


CAPTURED: dict[str, Any] = {"capture_output": True, "text": True, "check": False}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built in a copy of it, since its node packages are made anew."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "lrwidget"
    shutil.copytree(ROOT, copy, ignore=lambda _, names: NOT_SOURCES.intersection(names))
    run(*UV, "build", "--wheel", "--out-dir", folder, "--python", sys.executable, copy)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(
    scope="module",
    params=[(version, resolution) for version in PYTHONS for resolution in RESOLUTIONS],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def python(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The interpreter of an environment with the wheel and what `examples` needs."""
    version, resolution = request.param
    environment = tmp_path_factory.mktemp("environment") / "venv"
    python = environment / "bin" / "python"
    install = [*UV, "pip", "install", "--python", python]
    run(*UV, "venv", "--python", interpreter(version), environment)
    # The oldest that there is a wheel of for this Python. From the table of the project, since to
    # uv a wheel's own requirements are not direct ones.
    table = ["--requirements", ROOT / "pyproject.toml", "--extra", "examples"]
    run(*install, "--no-build", "--resolution", resolution, *table)
    run(*install, "--no-deps", wheel)
    run(*UV, "pip", "check", "--python", python)
    yield python
    shutil.rmtree(environment)


SCRIPT = """
import json, sys
from importlib.metadata import version
import torch
from torch import nn
from lrwidget import LRFinderWidget, LRRecords, TrainingTask, check_lrs, lr_find, refine

torch.manual_seed(0)
x = torch.randn(512, 8)
y = (x @ torch.randn(8, 3)).argmax(1)
data = torch.utils.data.TensorDataset(x, y)
model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
loss_fn = nn.CrossEntropyLoss()
before = {name: value.clone() for name, value in model.state_dict().items()}

task = TrainingTask(model, optimizer, loss_fn, data)
records = lr_find(task, start_lr=1e-5, end_lr=1.0, steps=60, seed=0, log="sweep.jsonl")
loaded = LRRecords.load("sweep.jsonl")
trials = check_lrs(task, [1e-3, 1e-2], steps=5)
refined = refine(task, records, 400)
records.plot().figure.savefig("plot.png")
w = LRFinderWidget(model, optimizer, loss_fn, data, start_lr=1e-5, end_lr=1.0, steps=60, seed=0)
w.start()
same = w.wait().rows().tolist() == records.rows().tolist()
found, rate = w.suggestion, w.lr
w.apply()
applied = optimizer.param_groups[0]["lr"] == rate
pictures = [value._repr_mimebundle_()["text/html"] for value in (records, trials, refined)]
w.close()
packages = "torch numpy pandas ipywidgets anywidget bqplot tqdm matplotlib jupyterlab".split()
print(json.dumps({
    "columns": list(records.frame.columns),
    "rows": len(records.frame),
    "loaded": loaded.rows().tolist() == records.rows().tolist(),
    "suggestion": records.suggestion.lr,
    "widget": found,
    "same rows": same,
    "applied": applied,
    "best": trials.best,
    "refined": refined.lr,
    "pictures": [picture.count("data:image/svg+xml") for picture in pictures],
    "restored": all(torch.equal(value, before[name]) for name, value in model.state_dict().items()),
    "versions": {name: version(name) for name in packages},
    "path": sys.modules["lrwidget"].__file__,
}))
"""


def release(text: str) -> tuple[int, ...]:
    """Return the numbers of a version, without zeros at its end: 8.1.0 as (8, 1)."""
    numbers = [int(number) for number in re.match(r"[\d.]+", text)[0].split(".")]
    while numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def test_a_script_and_a_widget_without_a_page(
    python: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    own = {name: value for name, value in os.environ.items() if name not in OURS}
    said = run(python, "-c", SCRIPT, cwd=tmp_path, env=own)
    facts = json.loads(said.splitlines()[-1])
    assert Path(facts["path"]).is_relative_to(python.parents[1])
    assert facts["columns"] == ["lr", "loss"]
    assert 30 <= facts["rows"] <= 60
    assert facts["loaded"]
    assert facts["same rows"]
    assert facts["widget"] == facts["suggestion"]
    assert 1e-5 < facts["suggestion"] < 1
    assert facts["applied"]
    assert facts["best"] == 1e-2
    assert 1e-5 < facts["refined"] < 1
    assert facts["pictures"] == [1, 1, 1]
    assert facts["restored"]
    assert (tmp_path / "plot.png").stat().st_size > 1000
    if request.node.callspec.params["python"] == ("3.11", "lowest-direct"):
        # What pyproject.toml names as the least is what has been tried.
        named = re.findall(r'^  "([\w-]+)>=([\d.]+)"', (ROOT / "pyproject.toml").read_text(), re.M)
        least = {name: release(version) for name, version in named if name in facts["versions"]}
        assert least == {name: release(version) for name, version in facts["versions"].items()}


def test_a_session_in_the_browser(
    python: Path,
    context: BrowserContext,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    server = JupyterServer(tmp_path, python)
    page = context.new_page()
    lab = Lab(server, page, "session")
    try:
        finder = open_finder(lab, allowed=40)
        assert Path(lab.kernel.value("__import__('sys').prefix")) == python.parents[1]
        start(finder)
        finder.wait_for_rows(40)  # while it runs: the 41st step is held
        finish_and_export(finder)
        assert lab.kernel.value("model_is_as_before()")
        lab.reload()
        finder.wait_for_rows(STEPS)
        assert not lab.errors
    except BaseException:
        picture(page, request.node.name)
        raise
    finally:
        lab.close(keep_kernel=False)
        server.close()
