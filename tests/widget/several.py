"""Helpers for the tests of several runs in one widget."""

from __future__ import annotations

from typing import Any

from lrwidget import LRFinderWidget, LRRecords


def run(w: LRFinderWidget, **options: Any) -> LRRecords:
    """Run a sweep to its end and return its records."""
    w.start(**options)
    return w.wait()


def labels(w: LRFinderWidget) -> list[str]:
    return [records.meta["label"] for records in w.runs]


def legend(w: LRFinderWidget) -> tuple[int, list[str]]:
    """Return the active run's number and the labels that the page receives."""
    told = w._legend
    return told["active"], [label for _, label, _ in told["runs"]]
