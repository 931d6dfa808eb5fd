"""An environment on top of the tests' own, for what must not be installed there."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

UV = (sys.executable, "-m", "uv")


def environment(folder: Path, *packages: str, differing: tuple[str, ...] = ()) -> Path:
    """Make an environment with these packages and all of the tests' own; returns its Python.

    What both have is in the same version, but for the packages in `differing`. It takes seconds
    and the network, and leaves what is installed for the tests as it is.
    """
    root = folder / "environment"
    python = root / "bin" / "python"
    run(*UV, "venv", "--python", sys.executable, str(root))
    installed = folder / "installed.txt"
    frozen = run(*UV, "pip", "freeze", "--exclude-editable", "--python", sys.executable)
    same = (line for line in frozen.splitlines() if line.split("==")[0] not in differing)
    installed.write_text("\n".join(same))
    install = ("pip", "install", "--python", str(python), "--constraints", str(installed))
    run(*UV, *install, *packages)
    own, tests = (sysconfig.get_path("purelib", vars=paths) for paths in (_paths(root), None))
    Path(own, "below.pth").write_text(f"import site; site.addsitedir({tests!r})\n")
    return python


def _paths(root: Path) -> dict[str, str]:
    return {"base": str(root), "platbase": str(root)}


def run(*command: str) -> str:
    """Run a command and return what it prints; AssertionError with its errors if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
