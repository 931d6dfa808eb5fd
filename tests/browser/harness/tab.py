"""Tabs of a single window, of which only the front one is visible.

Playwright makes all of its own pages visible and focused, and in a browser with a profile all pages
are its own. These tabs are therefore those of another browser, opened and controlled directly
through its protocol; `lab` opens the notebook and has its kernel.
"""

from __future__ import annotations

import json
import time
from typing import Any

from tests.browser.harness.browser import launch_without_profile
from tests.browser.harness.lab import TIMEOUT, Lab
from tests.browser.harness.lab_script import PAGE_SCRIPT


class Window:
    """A browser window; must be closed by the test."""

    def __init__(self, lab: Lab) -> None:
        first = lab.page.context.browser
        assert first is not None
        self.lab = lab
        self.browser = launch_without_profile(first.browser_type)
        self.session = self.browser.new_browser_cdp_session()
        self.context = self.session.send("Target.createBrowserContext")["browserContextId"]
        self.answers: dict[int, dict[str, Any]] = {}
        self.asked = 0
        self.session.on("Target.receivedMessageFromTarget", self._take)

    def _take(self, event: dict[str, Any]) -> None:
        message = json.loads(event["message"])
        if "id" in message:
            self.answers[message["id"]] = message

    def close(self) -> None:
        """Close all of its tabs and their browser."""
        self.browser.close()


class Tab:
    """A tab; a new tab is in front."""

    def __init__(self, window: Window) -> None:
        self._window = window
        send = window.session.send
        target = send(
            "Target.createTarget", {"url": "about:blank", "browserContextId": window.context}
        )
        attached = send("Target.attachToTarget", {"targetId": target["targetId"], "flatten": False})
        self._id = attached["sessionId"]

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command of the browser's protocol and return its result."""
        window = self._window
        window.asked += 1
        number = window.asked
        message = json.dumps({"id": number, "method": method, "params": params})
        window.session.send(
            "Target.sendMessageToTarget", {"sessionId": self._id, "message": message}
        )
        answer = window.lab.wait_for(
            f"the answer to {method}", lambda: window.answers.pop(number, None)
        )
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def evaluate(self, expression: str) -> Any:
        """Return the awaited value of a JavaScript expression, transferred as JSON."""
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self.send("Runtime.evaluate", **asked)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def to_front(self) -> None:
        """Show this tab, which hides the others."""
        self.send("Page.bringToFront")
        self._window.lab.wait_for("the tab is shown", lambda: not self.evaluate("document.hidden"))

    def open_notebook(self) -> None:
        """Open the lab's saved notebook with its running kernel."""
        lab = self._window.lab
        lab.save()
        self.send("Page.enable")
        self.send("Page.addScriptToEvaluateOnNewDocument", source=PAGE_SCRIPT)
        self.send("Page.navigate", url=f"{lab.page.url.split('?')[0]}?token={lab.server.token}")
        deadline = time.monotonic() + TIMEOUT
        while not self.evaluate(
            "document.querySelectorAll('.lrwidget .plotarea_background').length"
        ):
            assert time.monotonic() < deadline, "the tab shows no chart"
            lab.page.wait_for_timeout(100)
