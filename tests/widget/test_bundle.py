"""Tests of how the widget loads the built front end, and of what it says where it cannot."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from anywidget._util import enable_custom_widget_manager_once

import lrwidget
from lrwidget.widget import bundle
from lrwidget.widget.bundle import bundled
from tests.widget.finder import finder, training

ROOT = Path(__file__).parents[2]


@pytest.fixture
def static(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(bundle, "STATIC", tmp_path)
    monkeypatch.delenv("ANYWIDGET_HMR", raising=False)
    return tmp_path


def test_text_of_the_bundle(static: Path) -> None:
    (static / "widget.js").write_text("export default {}; // ä.js", "utf-8")
    trait = bundled("widget.js", otherwise="")
    assert trait.default_value == "export default {}; // ä.js"  # type: ignore[union-attr]
    assert trait.metadata == {"sync": True}  # type: ignore[union-attr]


def test_file_for_live_reloading(static: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (static / "widget.js").write_text("export default {}", "utf-8")
    monkeypatch.setenv("ANYWIDGET_HMR", "1")
    assert bundled("widget.js", otherwise="") == static / "widget.js"


def test_sentence_where_nothing_is_built(static: Path) -> None:
    trait = bundled("widget.js", otherwise=bundle.NOT_BUILT)
    assert trait.default_value == bundle.NOT_BUILT  # type: ignore[union-attr]
    assert "npm run build" in bundle.NOT_BUILT


def test_a_widget_needs_no_class_of_its_own_to_be_made() -> None:
    first, second = finder(), finder()
    assert type(first) is type(second) is lrwidget.LRFinderWidget
    assert first._anywidget_id == "lrwidget.widget.widget.LRFinderWidget"


def test_a_subclass_may_bring_its_own_front_end() -> None:
    class Bare(lrwidget.LRFinderWidget):
        _esm = "export default { render({ el }) { el.textContent = 'bare'; } };\n"

    w = Bare(**training(), steps=20)
    assert w.get_state("_esm")["_esm"] == Bare._esm
    assert w._anywidget_id.endswith("Bare")


def test_the_built_front_end_is_small() -> None:
    """Every page that shows a widget loads script and style; `js/build.mjs` has the same limit."""
    built = Path(lrwidget.__file__).parent / "static"
    sizes = [
        len(gzip.compress((built / name).read_bytes())) for name in ("widget.js", "widget.css")
    ]
    assert min(sizes) > 1000
    assert sum(sizes) <= 40 * 1024


@pytest.mark.parametrize("folder", ["js", "tests/browser/frontends"])
def test_the_lock_of_the_node_packages_says_what_and_not_where_from(folder: str) -> None:
    lock = json.loads((ROOT / folder / "package-lock.json").read_text())
    packages = [package for name, package in lock["packages"].items() if name]
    assert all("integrity" in package for package in packages)
    assert not any("resolved" in package for package in packages)


COLAB_CELL = "from google.colab import output; output.enable_custom_widget_manager()"


def test_where_no_widget_is_shown_the_text_names_the_cell_that_colab_needs() -> None:
    data, _ = finder()._repr_mimebundle_()
    first, *more = data["text/plain"].split("\n")
    assert first == "LRFinderWidget(idle, 20 steps)"
    assert "JupyterLab" in more[0]
    assert more[-1] == COLAB_CELL


def test_in_colab_that_cell_is_run_before_the_widget_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []
    output = ModuleType("google.colab.output")
    output.enable_custom_widget_manager = lambda: made.append("manager")  # type: ignore[attr-defined]
    output._widgets = SimpleNamespace(_installed_url="https://cdn/manager.js")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "google.colab.output", output)
    enable_custom_widget_manager_once.cache_clear()
    w = finder()
    assert made == ["manager"]
    _, metadata = w._repr_mimebundle_()
    [view] = metadata.values()
    assert view == {"colab": {"custom_widget_manager": {"url": "https://cdn/manager.js"}}}
