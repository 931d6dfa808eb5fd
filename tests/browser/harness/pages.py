"""Pages that tests reuse one after the other."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, Page, ViewportSize

VIEWPORT: ViewportSize = {"width": 1200, "height": 900}


class Pages:
    """Lends one page at a time; the next test gets the same page if JupyterLab is loaded in it.

    Loading JupyterLab takes longer than most tests. Two pages of single documents at once would not
    work, because JupyterLab opens another workspace in the second one.
    """

    def __init__(self, context: BrowserContext) -> None:
        self._context = context
        self._kept: Page | None = None

    def take(self, fresh: bool = False) -> Page:
        """Return a page for one test; with `fresh` a new one."""
        page, self._kept = self._kept, None
        if fresh and page is not None:
            page.close()
        if fresh or page is None:
            return self._context.new_page()
        page.set_viewport_size(VIEWPORT)
        page.mouse.move(0, 0)
        return page

    def give_back(self, page: Page) -> None:
        """Take a page back after a test; it is kept if it was not closed."""
        if not page.is_closed():
            self._kept = page
