"""A notebook in a page of the tests' own, which the Jupyter server serves with a real kernel."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Page

from tests.browser.harness.frontends import serve_cdns
from tests.browser.harness.kernel import Kernel
from tests.browser.harness.seen import TIMEOUT
from tests.browser.harness.server import JupyterServer


class KernelPage:
    """A notebook without cells of its own: `run` shows a cell's widget below the last one.

    Args:
        name: of the page `frontends/NAME.html` and of the object there that does as it is told.
    """

    def __init__(self, server: JupyterServer, page: Page, folder: str, name: str) -> None:
        self.server = server
        self.page = page
        self.name = name
        self.folder = server.notebooks / folder
        self.folder.mkdir()
        shutil.copy(Path(__file__).with_name("steps.py"), self.folder)
        self._notebook = f"{folder}/notebook.ipynb"
        server.give_kernel(self._notebook)
        self.kernel = Kernel(server.connection_file(self._notebook))
        serve_cdns(page)

    def _open(self, **options: Any) -> None:
        query = urlencode({"token": self.server.token})
        self.page.goto(f"{self.server.url}/static/{self.name}.html?{query}")
        self.page.wait_for_function(f"window.{self.name}", timeout=TIMEOUT)
        session = self.server.sessions(self._notebook)[0]
        kernel = {"token": self.server.token, "kernel": session["kernel"]["id"]}
        self._ask("start", kernel | options)

    def _ask(self, method: str, argument: object) -> None:
        self.page.evaluate(f"async (argument) => {self.name}.{method}(argument)", argument)

    def run(self, *cells: str) -> None:
        """Run cells, each of which may show a widget. Does not wait for them to end."""
        for cell in cells:
            self._ask("run", cell)

    def show(self, model_id: str) -> None:
        """Show a widget below what is there."""
        self._ask("show", model_id)

    @property
    def model_id(self) -> str:
        """The model of the first widget that is shown."""
        model_id: str = self.page.evaluate(f"{self.name}.shown[0].id")
        return model_id

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
