#!/bin/sh
# Prints the path of a Chromium that playwright can drive; installs one if there is none.
set -eu
cd "$(dirname "$0")/.."
python=${VENV:-.venv}/bin/python

say() { echo "browser: $*" >&2; }

on_path() {
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        # Ubuntu's chromium-browser may be a stub for a snap, which cannot run.
        if found=$(command -v "$name") && "$found" --version >/dev/null 2>&1; then
            say "using $found ($("$found" --version 2>/dev/null))"
            echo "$found"
            return 0
        fi
    done
    return 1
}

of_playwright() {
    found=$("$python" -c '
from playwright.sync_api import sync_playwright
with sync_playwright() as p:
    print(p.chromium.executable_path)') && [ -x "$found" ] && "$found" --version >/dev/null 2>&1 || return 1
    say "using playwright's $found"
    echo "$found"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

if [ -n "${CHROMIUM:-}" ]; then
    say "using $CHROMIUM, as CHROMIUM says"
    echo "$CHROMIUM"
    exit 0
fi
if on_path || of_playwright; then exit 0; fi

say "no Chromium here; trying playwright's own download"
if "$python" -m playwright install --with-deps chromium >&2 && of_playwright; then exit 0; fi

say "that did not work; trying apt-get install chromium"
if command -v apt-get >/dev/null; then
    as_root apt-get update >&2 || say "apt-get update failed; trying with the lists there are"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        chromium fonts-liberation >&2 || true
    if on_path; then exit 0; fi
fi

say "could not install Chromium. Install one, or set CHROMIUM to the path of its executable."
exit 1
