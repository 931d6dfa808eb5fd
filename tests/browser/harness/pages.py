"""Pages for one test after the other."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, Page, ViewportSize

VIEWPORT: ViewportSize = {"width": 1200, "height": 900}


class Pages:
    """Hands out one page at a time; one in which JupyterLab is loaded comes to the next test.

    To load it takes longer, and more of the machine, than most tests. Two at once would not do:
    JupyterLab sends the second to a workspace of its own.
    """

    def __init__(self, context: BrowserContext) -> None:
        self._context = context
        self._kept: Page | None = None

    def take(self, fresh: bool = False) -> Page:
        """A page for one test; a `fresh` one has no past."""
        page, self._kept = self._kept, None
        if fresh and page is not None:
            page.close()
        if fresh or page is None:
            return self._context.new_page()
        page.set_viewport_size(VIEWPORT)
        page.mouse.move(0, 0)
        return page

    def give_back(self, page: Page) -> None:
        """After a test: a page that is not closed is kept."""
        if not page.is_closed():
            self._kept = page
