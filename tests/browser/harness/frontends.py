"""Files that pages outside of Jupyter load from a CDN, and axe-core, from this machine instead."""

from __future__ import annotations

from pathlib import Path

NODE_MODULES = Path(__file__).parents[1] / "frontends" / "node_modules"


def npm_file(path: str) -> Path:
    """A file of a package that `frontends/package.json` names."""
    file = NODE_MODULES / path
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: run `npm ci` in {NODE_MODULES.parent}")
    return file
