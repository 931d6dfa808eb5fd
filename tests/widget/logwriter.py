"""Writes the log of a simulated sweep in another process."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

OPTIONS = {"start_lr": 1e-4, "end_lr": 1e-1, "steps": 30, "repeats": 1}


def losses(count: int, height: float = 1.0) -> list[tuple[float, float]]:
    """Return the first rows of a curve that falls and then climbs."""
    rates = [1e-4 * 1000 ** (i / 30) for i in range(1, 31)]
    return [(lr, height * (0.2 + abs(i - 22) / 22)) for i, lr in enumerate(rates)][:count]


class Writer:
    """Writes a log row by row, as another process would."""

    def __init__(self, path: Path) -> None:
        self._path = path
        head = {"format": "lrwidget-records", "version": 1, "id": uuid.uuid4().hex}
        head |= {"stop_reason": None, "meta": {"options": OPTIONS}}
        path.write_text(json.dumps(head) + "\n")

    def write(self, rows: list[tuple[float, float]]) -> None:
        self._add(*({"lr": lr, "loss": loss} for lr, loss in rows))

    def finish(self) -> None:
        self._add({"stop_reason": "finished", "meta": {"options": OPTIONS}})

    def _add(self, *lines: dict[str, Any]) -> None:
        with self._path.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
