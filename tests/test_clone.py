"""A clone can be built in any folder: named src, or with a blank and an "ü" in its path."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_package import NOT_SOURCES, ROOT, python, run

pytestmark = pytest.mark.process
BUNDLE = ("widget.js", "widget.css")


def link(source: str, target: str) -> None:
    """Hard-link a file, since no test changes these thousands of files; else copy it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clone: the sources, and the installed node packages of this checkout."""
    path = tmp_path_factory.mktemp("clone") / "src" / "my clone ü"
    shutil.copytree(ROOT, path, ignore=lambda _, names: NOT_SOURCES.intersection(names))
    packages = ROOT / "js" / "node_modules"
    if packages.exists():
        there = path / "js" / "node_modules"
        shutil.copytree(packages, there, symlinks=True, copy_function=link)
        stamp = there / ".package-lock.json"
        stamp.unlink()
        shutil.copy(packages / stamp.name, stamp)
    return path


@pytest.fixture
def unbuilt(clone: Path) -> Path:
    shutil.rmtree(clone / "lrwidget" / "static", ignore_errors=True)
    return clone


def assert_built(clone: Path) -> None:
    script, style = (clone / "lrwidget" / "static" / name for name in BUNDLE)
    assert "export" in script.read_text("utf-8")
    assert ".lrwidget" in style.read_text("utf-8")


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_builds_the_front_end(unbuilt: Path) -> None:
    run("make", "lrwidget/static/widget.js", cwd=unbuilt)
    assert_built(unbuilt)
    assert "up to date" in run("make", "lrwidget/static/widget.js", cwd=unbuilt)


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_knows_how_to_make_the_demo(unbuilt: Path) -> None:
    """`--dry-run` lists all commands; their paths are relative, so that no shell splits them."""
    steps = run("make", "--no-print-directory", "--dry-run", "demo", "test", cwd=unbuilt)
    assert "npm run build" in steps
    assert ".venv/bin/jupyter lab" in steps
    assert str(unbuilt) not in steps


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_editable_install_builds_and_finds_the_front_end(unbuilt: Path, tmp_path: Path) -> None:
    """Like `pip install -e git+…`, which clones into a folder src, and like `make demo`."""
    uv = [sys.executable, "-m", "uv", "pip", "install", "--no-deps", "--target", tmp_path]
    run(*uv, "--python", sys.executable, "--editable", unbuilt)
    assert_built(unbuilt)
    (link_to,) = tmp_path.glob("*.pth")
    found = python(
        "import lrwidget.widget.bundle as b; "
        "print(b.__file__, 'export' in b.bundled('widget.js', '').default_value)",
        env={**os.environ, "PYTHONPATH": link_to.read_text("utf-8").strip()},
    )
    assert found == f"{unbuilt / 'lrwidget' / 'widget' / 'bundle.py'} True"


def test_a_front_end_that_is_too_large_is_refused(unbuilt: Path) -> None:
    """The failed build leaves no bundle behind."""
    build = unbuilt / "js" / "build.mjs"
    sources = build.read_text("utf-8")
    build.write_text(sources.replace("40 * 1024", "10 * 1024"), "utf-8")
    try:
        done = subprocess.run(
            ["node", str(build)], check=False, text=True, stderr=subprocess.PIPE, cwd=unbuilt
        )
    finally:
        build.write_text(sources, "utf-8")
    assert done.returncode != 0
    assert "bytes gzipped, over 10240" in done.stderr
    assert not (unbuilt / "lrwidget" / "static").exists()


def test_a_front_end_with_a_package_of_unknown_licence_is_refused(unbuilt: Path) -> None:
    """Scoped or not, also where the package is there twice; and built once its licence is told."""
    js = unbuilt / "js"
    packages = {"tiny": "1.2.3", "@some/thing": "0.1.0", "tiny/node_modules/@some/thing": "9.9.9"}
    folders = [js / "node_modules" / "tiny", js / "node_modules" / "@some"]
    entry, notices = js / "src" / "widget.ts", unbuilt / "THIRD_PARTY_NOTICES.md"
    before = {path: path.read_text("utf-8") for path in (entry, notices)}

    def build() -> subprocess.CompletedProcess[str]:
        command = ["node", str(js / "build.mjs")]
        return subprocess.run(command, check=False, text=True, stderr=subprocess.PIPE, cwd=unbuilt)

    try:
        for path, version in packages.items():
            folder = js / "node_modules" / path
            folder.mkdir(parents=True)
            name = path.rpartition("node_modules/")[2]
            package = {"name": name, "version": version, "main": "index.js"}
            (folder / "package.json").write_text(json.dumps(package))
            (folder / "index.js").write_text("export {};")  # the bundle has a limit
        (folders[0] / "index.js").write_text("import '@some/thing'")
        entry.write_text(f"import 'tiny'; import '@some/thing';\n{before[entry]}", "utf-8")
        notices.write_text(f"{before[notices]}\n## @some/thing 0.1.0\n", "utf-8")
        refused = build()
        assert refused.returncode != 0
        assert "the bundle holds @some/thing 9.9.9, tiny 1.2.3: put" in refused.stderr
        assert not (unbuilt / "lrwidget" / "static").exists()
        notices.write_text(
            notices.read_text("utf-8") + "## @some/thing 9.9.9\n## tiny 1.2.3\n", "utf-8"
        )
        assert build().returncode == 0
    finally:
        for path, text in before.items():
            path.write_text(text, "utf-8")
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
    assert_built(unbuilt)


def test_a_watched_front_end_is_left_as_users_get_it(unbuilt: Path) -> None:
    """Only while it is watched does it contain its source map, which a debugger needs."""
    script = unbuilt / "lrwidget" / "static" / "widget.js"
    with subprocess.Popen(
        ["node", "js/build.mjs", "--watch"],
        cwd=unbuilt,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as watching:
        assert watching.stdout is not None
        try:
            assert any("build finished" in line for line in watching.stdout)
            assert "sourceMappingURL=data:" in script.read_text("utf-8")
        finally:
            watching.terminate()
        assert "bytes gzipped" in watching.stdout.read()
    assert "sourceMappingURL" not in script.read_text("utf-8")
