"""Finds and starts a Chromium."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, BrowserType

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# No sandbox: containers and root cannot use it, and all pages are ours.
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]


def executable(chromium: BrowserType) -> str:
    """Return the browser to use: $CHROMIUM, else playwright's own, else the system's."""
    own = chromium.executable_path
    candidates = [os.environ.get("CHROMIUM"), own, *map(shutil.which, NAMES)]
    for candidate in candidates:
        if candidate and Path(candidate).exists():
            return candidate
    raise FileNotFoundError(
        "no Chromium found: run `playwright install chromium`, install your system's chromium, "
        "or name one in $CHROMIUM"
    )


def launch(chromium: BrowserType, profile: Path, **options: Any) -> BrowserContext:
    """Start a headless Chromium with its profile in an empty folder; `options` are playwright's.

    The profile keeps the scripts of a front end compiled; a context without one compiles them at
    each load, which takes a fifth of the processor time of loading JupyterLab.
    """
    return chromium.launch_persistent_context(
        profile, executable_path=executable(chromium), args=ARGUMENTS, **options
    )


def launch_without_profile(chromium: BrowserType) -> Browser:
    """Start a headless Chromium whose contexts one makes oneself."""
    return chromium.launch(executable_path=executable(chromium), args=ARGUMENTS)
