"""docs/front-ends.md: what it says is tested, is."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "front-ends.md").read_text("utf-8")
NAMED = re.compile(r"\b([a-z])\s`(test_\w+\.py)(?:::(test_\w+))?`")


def test_every_test_that_the_table_names_is_there() -> None:
    missing = []
    for letter, file, name in NAMED.findall(PAGE):
        source = ROOT / "tests" / "browser" / file
        if not source.is_file() or f"def {name or 'test_'}" not in source.read_text("utf-8"):
            missing.append((letter, file, name))
    assert missing == []


def test_every_letter_of_the_table_names_a_test_and_every_cell_says_something() -> None:
    rows = [line.strip("|").split("|") for line in PAGE.split("\n") if line.startswith("|")]
    head, _, *rows = rows
    assert len(rows) >= 11
    assert {len(row) for row in rows} == {len(head)}
    cells = [cell.strip() for row in rows for cell in row[1:]]
    assert all(re.match(r"[a-z]\b|–|no\b", cell) for cell in cells)
    used = {letter for cell in cells for letter in re.findall(r"\b[a-z]\b", cell)}
    assert used == {letter for letter, _, _ in NAMED.findall(PAGE)}
