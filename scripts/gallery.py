"""The curves of the gallery: the real widget over recorded rows, in a page without a kernel.

A page with `runs` at its head gets them where it says `<!-- the curve -->`. What shows them is what
shows a notebook that was exported to HTML, but all of its scripts are files of the site.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ipywidgets.embed import dependency_state, embed_data, escape_script
from jupyter_core.paths import jupyter_path

from lrwidget import LRFinderWidget, LRRecords

ROOT = Path(__file__).parent.parent
RUNS = ROOT / "docs" / "gallery" / "runs"
PLACE = "<!-- the curve -->"
ASSETS = "assets/widgets"

NODE_MODULES = ROOT / "tests" / "browser" / "frontends" / "node_modules"
FROM_NPM = {
    "require.js": "requirejs/require.js",
    "embed-amd.js": "@jupyter-widgets/html-manager/dist/embed-amd.js",
    "embed.js.LICENSE.txt": "@jupyter-widgets/html-manager/dist/embed.js.LICENSE.txt",
}
# What pip installs of these for the classic notebook is what a page loads.
FROM_PIP = ("anywidget", "bqplot", "bqscales")

VIEW = """
<div class="lrw-live"><script type="application/vnd.jupyter.widget-view+json">{view}</script></div>
<noscript>The curve is drawn by a script.</noscript>
{beneath}
"""
STATE = """
<script type="application/vnd.jupyter.widget-state+json">{state}</script>
<script src="{assets}/require.js"></script>
<script>require.config({{ paths: {paths} }});</script>
<script src="{assets}/embed-amd.js" data-jupyter-widgets-cdn="{assets}/"></script>
"""


def assets() -> dict[str, Path]:
    """The scripts that pages with a curve load, by their place in the site."""
    found = {name: NODE_MODULES / path for name, path in FROM_NPM.items()}
    for package in FROM_PIP:
        folders = [Path(folder) for folder in jupyter_path("nbextensions", package)]
        found[f"{package}.js"] = next(
            (folder / "index.js" for folder in folders if folder.is_dir()), folders[0]
        )
    for path in found.values():
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing: `make docs` installs what the gallery needs"
            )
    return {f"{ASSETS}/{name}": path for name, path in found.items()}


def with_curve(html: str, meta: dict[str, Any], root: str) -> str:
    """Put the widget of a page's runs into its HTML.

    Args:
        html: the whole page.
        meta: its head, with `runs`: the label of each run and its file; the first is the active
            one. With `refined` the marker stands at the refined rate, and the trials are beneath;
            with `log` the loss axis is logarithmic.
        root: the way from the page to the root of the site.
    """
    records = {label: LRRecords.load(RUNS / name) for label, name in meta["runs"].items()}
    refinement = next(iter(records.values())).refinement if meta.get("refined") else None
    data = _saved(
        list(meta["runs"].items()),
        None if refinement is None else refinement.lr,
        meta.get("log", False),
    )
    assets = f"{root}/{ASSETS}"
    paths = {package: f"{assets}/{package}" for package in FROM_PIP}
    view = VIEW.format(
        view=escape_script(json.dumps(data["view_specs"][0])),
        beneath="" if refinement is None else refinement._repr_mimebundle_()["text/html"],
    )
    state = STATE.format(
        state=escape_script(json.dumps(data["manager_state"])),
        assets=assets,
        paths=json.dumps(paths),
    )
    return html.replace(PLACE, view).replace("</body>", f"{state}</body>")


def _saved(runs: list[tuple[str, str]], lr: float | None, log: bool) -> dict[str, Any]:
    """The state of a widget that shows the runs, as a notebook keeps it."""
    (first, name), *others = runs
    w = LRFinderWidget.follow(RUNS / name)
    try:
        w.wait()
        w.rename(w.records, first)
        for label, name in others:
            w.add(LRRecords.load(RUNS / name), label=label)
        w.activate(first)
        w.log_y = log
        if lr is not None:
            w.lr = lr
        saved: dict[str, Any] = embed_data(
            views=[w], drop_defaults=False, state=dependency_state([w], drop_defaults=False)
        )
        return saved
    finally:
        w.close()
