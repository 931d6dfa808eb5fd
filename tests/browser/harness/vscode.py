"""The outputs of a notebook in VS Code: its own renderer, in a page of the Jupyter server."""

from __future__ import annotations

import shutil
import time
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

from playwright.sync_api import Page

from tests.browser.harness.frontends import npm_file, serve_cdns
from tests.browser.harness.kernel import Kernel
from tests.browser.harness.seen import TIMEOUT
from tests.browser.harness.server import JupyterServer

State = dict[str, Any]
Scripts = Literal["local", "cdn"]
Theme = Literal[
    "vscode-dark",
    "vscode-light",
    "vscode-high-contrast",
    "vscode-high-contrast vscode-high-contrast-light",
]
MODULES = ("anywidget", "bqplot", "bqscales")
RENDERER = "@vscode/jupyter-ipywidgets8/dist/ipywidgets.js"


class VSCode:
    """A notebook without cells of its own: `run` shows a cell's widget below the last one.

    Args:
        scripts: where anywidget and bqplot come from: the folders that pip installs them to, or a
            CDN, which is answered from there.
    """

    def __init__(self, server: JupyterServer, page: Page, folder: str, scripts: Scripts) -> None:
        npm_file(RENDERER)
        self.server = server
        self.page = page
        self.folder = server.notebooks / folder
        self.folder.mkdir()
        shutil.copy(Path(__file__).with_name("steps.py"), self.folder)
        self._notebook = f"{folder}/notebook.ipynb"
        self._sources = {name: _source(name, scripts) for name in MODULES}
        server.give_kernel(self._notebook)
        self.kernel = Kernel(server.connection_file(self._notebook))
        self.scripts: list[str] = []  # the addresses of all that were loaded
        page.on("request", lambda request: self.scripts.append(request.url))
        serve_cdns(page)

    def open(self, theme: Theme, state: State | None = None) -> None:
        """Load the page, with the kernel; or with a saved state of all widgets and without one."""
        query = urlencode({"token": self.server.token})
        self.page.goto(f"{self.server.url}/static/vscode.html?{query}")
        self.page.wait_for_function("window.vscode", timeout=TIMEOUT)
        session = self.server.sessions(self._notebook)[0]
        self.page.evaluate(
            "(options) => vscode.start(options)",
            {
                "token": self.server.token,
                "kernel": "" if state else session["kernel"]["id"],
                "sources": self._sources,
                "theme": theme,
                "state": state,
            },
        )

    def run(self, *cells: str) -> None:
        """Run cells, each of which may show a widget."""
        for cell in cells:
            self.page.evaluate("(code) => { vscode.run(code) }", cell)

    def show(self, model_id: str) -> None:
        """Show a widget below what is there."""
        self.page.evaluate("(id) => vscode.show(id)", model_id)

    def hide(self, index: int) -> None:
        """Take a shown widget away."""
        self.page.evaluate("(index) => { vscode.hide(index) }", index)

    @property
    def model_id(self) -> str:
        """The model of the first widget that is shown."""
        model_id: str = self.page.evaluate("vscode.shown[0].id")
        return model_id

    @property
    def state(self) -> State:
        """The state of all widgets, as a notebook holds it."""
        state: State = self.page.evaluate("vscode.manager.get_state_sync({ drop_defaults: true })")
        return state

    @property
    def saved_files(self) -> dict[str, bytes]:
        """What the page has given the extension to save, by name."""
        posted = self.page.evaluate("vscode.posted")
        return {file["name"]: b64decode(file["data"].partition("base64,")[2]) for file in posted}

    def wait_for(self, what: str, fact: Callable[[], object]) -> None:
        """Ask `fact` again and again until it is truthy; `what` says it in words."""
        deadline = time.monotonic() + TIMEOUT / 1000
        while not fact():
            assert time.monotonic() < deadline, f"not within {TIMEOUT / 1000:g} s: {what}"
            self.page.wait_for_timeout(30)

    def allow(self, gate: str, times: int) -> None:
        """Let a gate be passed so many times in all: see steps.py."""
        new = self.folder / f"{gate}.new"
        new.write_text(str(times))
        new.replace(self.folder / gate)

    def close(self) -> None:
        """Leave the kernel empty to the next notebook."""
        self.kernel.close()
        self.allow("steps", 1_000_000)
        self.server.take_kernel_back(self._notebook)


def _source(module: str, scripts: Scripts) -> str:
    if scripts == "cdn":
        return f"https://cdn.jsdelivr.net/npm/{module}@{{version}}/dist/index.js"
    return f"/static/{module}/index.js"
