"""The site as `make docs` builds it, without a network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.markdown import ROOT

OFFLINE = """
import socket, sys
def refuse(*_): sys.exit("the build asked for the network")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from mkdocs.__main__ import cli
cli()
"""


def build(folder: Path) -> None:
    """Build the site into a folder, strictly."""
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
