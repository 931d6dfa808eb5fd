"""Trains what the pages of the gallery show: `python -m scripts.record_gallery` keeps the rows.

Each page of `docs/gallery/` has the code that made its runs. This runs that code, in a folder that
has 9,000 digits of MNIST where torchvision looks for them, and takes the files that the page names.
Give names of pages to record these alone.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

import yaml

from tests.markdown import blocks
from tests.mnist import write_mnist

GALLERY = Path(__file__).parent.parent / "docs" / "gallery"
RUNS = GALLERY / "runs"


def runs_of(page: Path) -> dict[str, str]:
    """The labels of a page's runs, and the files that hold them."""
    _, head, _ = page.read_text("utf-8").split("---\n", 2)
    runs: dict[str, str] = yaml.safe_load(head)["runs"]
    return runs


def pages() -> list[Path]:
    """The pages with runs."""
    return [page for page in sorted(GALLERY.glob("*.md")) if page.name != "index.md"]


def record(page: Path, target: Path) -> None:
    """Run a page's code and put its files into the folder `target`."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        write_mnist(Path("data"))
        exec(compile(blocks(page)[0].code, page.name, "exec"), {"__name__": "__main__"})
        for name in runs_of(page).values():
            shutil.copy(name, target / name)


def main() -> None:
    """Record the pages that the command line names, or all."""
    wanted = set(sys.argv[1:])
    for page in pages():
        if not wanted or page.stem in wanted:
            record(page, RUNS)


if __name__ == "__main__":
    main()
