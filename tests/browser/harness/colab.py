"""An output of a notebook in Google Colab: a manager like Colab's, over a real kernel."""

from __future__ import annotations

from typing import Literal

from playwright.sync_api import Page

from tests.browser.harness.kernel_page import KernelPage
from tests.browser.harness.server import JupyterServer


class Colab(KernelPage):
    """A notebook in Colab, where every output is a page of its own."""

    def __init__(self, server: JupyterServer, page: Page, folder: str) -> None:
        super().__init__(server, page, folder, "colab")

    def open(self, theme: Literal["light", "dark"]) -> None:
        """Load the page anew, which knows of no widget until it is shown."""
        self._open(theme=theme)
