"""The outputs of a notebook in VS Code: its own renderer, over a real kernel."""

from __future__ import annotations

from base64 import b64decode
from typing import Any, Literal

from playwright.sync_api import Page

from tests.browser.harness.frontends import npm_file
from tests.browser.harness.kernel_page import KernelPage
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
SOURCES: dict[Scripts, str] = {
    "local": "/static/{module}/index.js",
    "cdn": "https://cdn.jsdelivr.net/npm/{module}@{{version}}/dist/index.js",
}


class VSCode(KernelPage):
    """A notebook in VS Code.

    Args:
        scripts: where anywidget and bqplot come from: the folders that pip installs them to, or a
            CDN, which is answered from there.
    """

    def __init__(self, server: JupyterServer, page: Page, folder: str, scripts: Scripts) -> None:
        npm_file(RENDERER)
        super().__init__(server, page, folder, "vscode")
        self._sources = {name: SOURCES[scripts].format(module=name) for name in MODULES}
        self.loaded: list[str] = []  # the addresses of all that the page has asked for
        page.on("request", lambda request: self.loaded.append(request.url))

    def open(self, theme: Theme, state: State | None = None) -> None:
        """Load the page, with the kernel; or with a saved state of all widgets and without one."""
        self._open(sources=self._sources, theme=theme, state=state)

    def hide(self, index: int) -> None:
        """Take a shown widget away."""
        self._ask("hide", index)

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
