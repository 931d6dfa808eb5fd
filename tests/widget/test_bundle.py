"""Tests of how the widget loads the built front end."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

import lrwidget
from lrwidget.widget import bundle
from lrwidget.widget.bundle import bundled


@pytest.fixture
def static(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(bundle, "STATIC", tmp_path)
    monkeypatch.delenv("ANYWIDGET_HMR", raising=False)
    return tmp_path


def test_text_of_the_bundle(static: Path) -> None:
    (static / "widget.js").write_text("export default {}; // ä.js", "utf-8")
    assert bundled("widget.js", otherwise="") == "export default {}; // ä.js\n"


def test_file_for_live_reloading(static: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (static / "widget.js").write_text("export default {}", "utf-8")
    monkeypatch.setenv("ANYWIDGET_HMR", "1")
    assert bundled("widget.js", otherwise="") == static / "widget.js"


def test_sentence_where_nothing_is_built(static: Path) -> None:
    assert bundled("widget.js", otherwise=bundle.NOT_BUILT) == bundle.NOT_BUILT
    assert "npm run build" in bundle.NOT_BUILT


def test_the_built_front_end_is_small() -> None:
    """Every page that shows a widget loads script and style; `js/build.mjs` has the same limit."""
    built = Path(lrwidget.__file__).parent / "static"
    sizes = [
        len(gzip.compress((built / name).read_bytes())) for name in ("widget.js", "widget.css")
    ]
    assert min(sizes) > 1000
    assert sum(sizes) <= 40 * 1024


def test_the_lock_of_the_node_packages_says_what_and_not_where_from() -> None:
    lock = json.loads((Path(__file__).parents[2] / "js" / "package-lock.json").read_text())
    packages = [package for name, package in lock["packages"].items() if name]
    assert all("integrity" in package for package in packages)
    assert not any("resolved" in package for package in packages)
