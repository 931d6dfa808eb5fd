"""What the site takes from outside of `docs/`: pages that stand where they belong.

MkDocs knows only its own folder. Links are written as they work in the repository, and are turned
here into those of the site.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # MkDocs loads this file by itself, from whichever folder

from scripts import gallery  # noqa: E402

TAKEN_IN = ("CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/**/README.md", "examples/*.ipynb")
LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)\s#]+)(?=[)#\s])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what `TAKEN_IN` names, under the path that it has in the repository."""
    for pattern in TAKEN_IN:
        for path in sorted(ROOT.glob(pattern)):
            uri = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, uri, abs_src_path=str(path)))
    for uri, path in gallery.assets().items():
        files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn the links of a page, which are those of the repository, into those of the site."""
    return LINK.sub(lambda found: _in_site(found[1], page.file.src_uri), markdown)


def on_post_page(output: str, page: Page, **_: object) -> str:
    """Put the recorded runs into the pages of the gallery."""
    if "runs" not in page.meta:
        return output
    root = relpath(".", PurePosixPath(page.file.dest_uri).parent)
    return gallery.with_curve(output, page.meta, root)


def in_repository(uri: str) -> PurePosixPath:
    """Where the source of a page of the site is, from the root of the repository."""
    own = PurePosixPath("docs") / uri
    return own if (ROOT / own).is_file() else PurePosixPath(uri)


def _in_site(link: str, uri: str) -> str:
    target = PurePosixPath(normpath(in_repository(uri).parent / link))
    if target.parts[0] == "docs":
        target = target.relative_to("docs")
    return relpath(target, PurePosixPath(uri).parent)
