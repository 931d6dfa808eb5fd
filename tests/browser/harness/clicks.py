"""Clicks whose times are those that the test says, however slow the machine is."""

from __future__ import annotations

from typing import Any

from tests.browser.harness.lab import Lab


def click_at(lab: Lab, x: float, y: float, seconds: float, count: int = 1) -> None:
    """Click at a time since the epoch; a `count` of 2 is the second click of a double click."""
    browser = lab.page.context.new_cdp_session(lab.page)
    for kind in ("mousePressed", "mouseReleased"):
        event: dict[str, Any] = {
            "type": kind,
            "x": x,
            "y": y,
            "button": "left",
            "clickCount": count,
            "timestamp": seconds,
        }
        browser.send("Input.dispatchMouseEvent", event)
    browser.detach()
