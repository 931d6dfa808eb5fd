"""Finds and starts a Chromium."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# No sandbox: containers and root cannot use it, and all pages are ours.
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]


def executable(playwright: Playwright) -> str:
    """Return the browser to use: $CHROMIUM, else playwright's own, else the system's."""
    own = playwright.chromium.executable_path
    candidates = [os.environ.get("CHROMIUM"), own, *map(shutil.which, NAMES)]
    for candidate in candidates:
        if candidate and Path(candidate).exists():
            return candidate
    raise FileNotFoundError(
        "no Chromium found: run `playwright install chromium`, install your system's chromium, "
        "or name one in $CHROMIUM"
    )


def launch(playwright: Playwright) -> Browser:
    """Start a headless Chromium."""
    return playwright.chromium.launch(executable_path=executable(playwright), args=ARGUMENTS)
