"""Serves, from local files, axe-core and what pages outside of Jupyter load from a CDN."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from jupyter_core.paths import jupyter_path
from playwright.sync_api import Page, Route

NODE_MODULES = Path(__file__).parents[1] / "frontends" / "node_modules"
# The files by what their addresses have in common, whatever version is asked for.
HTML_MANAGER = "@jupyter-widgets/html-manager"
NPM_FILES = {
    r"/require\.js/[^/]+/require\.min\.js$": "requirejs/require.js",
    r"/jquery/[^/]+/jquery\.min\.js$": "jquery/dist/jquery.min.js",
    rf"/{HTML_MANAGER}@[^/]+/dist/(?P<file>[^/]+)$": f"{HTML_MANAGER}/dist",
}
# Of anywidget, bqplot and bqscales, pip installs the files that npm publishes.
PUBLISHED = r"/npm/(?P<package>anywidget|bqplot|bqscales)@[^/]+/dist/index\.js$"
# Formulas and icons, which none of our cells has.
NOT_NEEDED = r"/mathjax/|/@fortawesome/"


def npm_file(path: str) -> Path:
    """Return a file of a package that `frontends/package.json` lists."""
    file = NODE_MODULES / path
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: run `npm ci` in {NODE_MODULES.parent}")
    return file


def cdn_file(url: str) -> Path | None:
    """Return the local file that a CDN would serve at a URL; None if there is none."""
    path = unquote(urlsplit(url).path)
    for pattern, name in NPM_FILES.items():
        if match := re.search(pattern, path):
            return npm_file("/".join([name, *match.groupdict().values()]))
    if match := re.search(PUBLISHED, path):
        (folder,) = (
            Path(p) for p in jupyter_path("nbextensions", match["package"]) if Path(p).is_dir()
        )
        return folder / "index.js"
    return None


def serve_cdns(page: Page) -> None:
    """Answer the page's requests to other hosts with local files; all others fail, as offline."""

    def answer(route: Route) -> None:
        url = route.request.url
        if file := cdn_file(url):
            route.fulfill(path=file, headers={"Access-Control-Allow-Origin": "*"})
        elif re.search(NOT_NEEDED, url):
            style = urlsplit(url).path.endswith(".css")
            route.fulfill(body="", content_type="text/css" if style else "text/javascript")
        else:
            route.abort()

    page.route(re.compile(r"^https://"), answer)
