"""The pages that people read, as Markdown: their code, headings and links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PATTERNS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/**/*.md", "benchmarks/**/*.md")
PAGES = tuple(path for pattern in PATTERNS for path in sorted(ROOT.glob(pattern)))

FENCE = re.compile(r"^(?P<mark><!-- .*? -->\n+)?```(?P<kind>.*)\n(?P<code>(?s:.*?))^```$", re.M)
LINK = re.compile(r"\]\(([^)\s]+)(?:\s[^)]*)?\)|(?:src|href)=\"([^\"]+)\"")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its code, and why it is not run where it is marked so."""

    page: Path
    kind: str
    code: str
    why_not_run: str

    def __str__(self) -> str:
        first = self.code.partition("\n")[0]
        return f"{self.page.relative_to(ROOT)}: {self.kind or 'no language'}: {first}"


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page. `<!-- not run: WHY -->` before one is its mark."""
    text = page.read_text("utf-8")
    assert text.count("\n```") + text.startswith("```") == 2 * len(FENCE.findall(text)), page
    return [
        Block(page, found["kind"].strip(), found["code"], _reason(found["mark"] or ""))
        for found in FENCE.finditer(text)
    ]


def _reason(mark: str) -> str:
    found = re.fullmatch(r"<!-- not run: (\S.*) -->", mark.strip())
    return found[1] if found else ""


def prose(page: Path) -> str:
    """The page without its code."""
    return re.sub(r"`[^`\n]+`", "``", FENCE.sub("", page.read_text("utf-8")))


def links(page: Path) -> list[str]:
    """Where a page leads to within the repository."""
    found = [one or other for one, other in LINK.findall(prose(page))]
    return [link for link in found if not re.match(r"\w+:", link)]


def anchors(page: Path) -> set[str]:
    """What can stand after # in a link to the page, as GitHub makes it of the headings."""
    text = FENCE.sub("", page.read_text("utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    bare = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower() for title in titles]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in bare}
