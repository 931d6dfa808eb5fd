"""A Jupyter server with JupyterLab and Notebook 7."""

from __future__ import annotations

import json
import secrets
import sys
import urllib.request
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_path

from tests.browser.harness.frontends import FRONTENDS, NODE_MODULES
from tests.browser.harness.kernel import Kernel
from tests.browser.harness.process import ServerProcess, free_port

# Switches off what JupyterLab would ask or download by itself: it would cover the page and use the
# network.
SETTINGS: dict[str, dict[str, object]] = {
    "@jupyterlab/apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}
# Each load of JupyterLab would otherwise start yarn to look whether it has to be built anew.
PAGE = {"buildAvailable": False, "buildCheck": False}
# What is left are modules, which each collection of garbage would go through, for .2 s.
EMPTY = """
import ipywidgets
ipywidgets.Widget.close_all()
get_ipython().run_line_magic("reset", "-f")
__import__("gc").freeze()
"""


class JupyterServer(ServerProcess):
    """A running `jupyter lab`, which serves Notebook 7 as well.

    `home` is an empty directory that takes everything the server writes; the notebooks live in
    its subdirectory `notebooks`. Below `/static` it serves the tests' own pages, their node
    packages and the scripts of widgets that pip has installed. `python` is the interpreter of the
    environment that it runs in.
    """

    def __init__(self, home: Path, python: str | Path = sys.executable) -> None:
        self.notebooks = home / "notebooks"
        self.token = secrets.token_hex(16)
        self._idle: str | None = None
        settings = home / "settings"
        self.notebooks.mkdir()
        for name, values in SETTINGS.items():
            file = settings / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        page = home / "config" / "labconfig" / "page_config.json"
        page.parent.mkdir(parents=True)
        page.write_text(json.dumps(PAGE))
        port = free_port()
        super().__init__(
            home,
            port,
            *("jupyterlab", "--no-browser", "--allow-root"),
            *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"),
            "--ServerApp.port_retries=0",
            f"--IdentityProvider.token={self.token}",
            f"--ServerApp.root_dir={self.notebooks}",
            # The server follows no links out of these, and in a worktree each may be one.
            *(
                f"--ServerApp.extra_static_paths={folder.resolve()}"
                for folder in (FRONTENDS, NODE_MODULES, _nbextensions())
            ),
            "--ServerApp.terminals_enabled=False",
            f"--LabApp.user_settings_dir={settings}",
            f"--LabApp.workspaces_dir={home / 'workspaces'}",
            "--LabApp.extension_manager=readonly",
            # Defines `window.jupyterapp` in the page; the tests run commands with it.
            "--LabApp.expose_app_in_browser=True",
            "--JupyterNotebookApp.expose_app_in_browser=True",
            python=python,
        )

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Call the server's REST interface; return the decoded JSON, None for an empty answer."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = response.read()
        return json.loads(answer) if answer else None

    def sessions(self, notebook: str) -> list[dict[str, Any]]:
        """Return the sessions of a notebook, given by its path below `notebooks`."""
        return [s for s in self.request("GET", "/api/sessions") if s["path"] == notebook]

    def give_kernel(self, notebook: str) -> None:
        """Give a notebook that is not open yet an empty kernel.

        It is the last test's kernel if that test returned it, because importing torch takes ten
        times as long as a test.
        """
        kernel, self._idle = self._idle, None
        if kernel is None:
            kernel = self.request("POST", "/api/kernels", {"name": "python3"})["id"]
        session = {"path": notebook, "name": "", "type": "notebook", "kernel": {"id": kernel}}
        self.request("POST", "/api/sessions", session)
        self._run(kernel, f"__import__('os').chdir({str((self.notebooks / notebook).parent)!r})")

    def take_kernel_back(self, notebook: str) -> None:
        """Empty a notebook's kernel for the next notebook; its cells must have ended."""
        kernel = self.sessions(notebook)[0]["kernel"]["id"]
        self._run(kernel, EMPTY)
        self._idle = kernel

    def _run(self, kernel: str, code: str) -> None:
        client = Kernel(self._connection_file(kernel))
        try:
            client.run(code)
        finally:
            client.close()

    def _connection_file(self, kernel: str) -> Path:
        return self.runtime / f"kernel-{kernel}.json"

    def connection_file(self, notebook: str) -> Path:
        """Return the connection file of a notebook's kernel; raise LookupError if it has none."""
        sessions = self.sessions(notebook)
        if len(sessions) != 1:
            raise LookupError(f"{notebook} has {len(sessions)} kernel sessions instead of one")
        return self._connection_file(sessions[0]["kernel"]["id"])

    def shut_down_kernels(self, notebook: str) -> None:
        """End the kernels of a notebook."""
        for session in self.sessions(notebook):
            self.request("DELETE", f"/api/sessions/{session['id']}")


def _nbextensions() -> Path:
    """The folder with the scripts of widgets, each with its `index.js`."""
    folders = map(Path, jupyter_path("nbextensions"))
    return next(folder for folder in folders if (folder / "anywidget").is_dir())
