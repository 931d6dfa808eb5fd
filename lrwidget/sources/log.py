"""The log of a sweep elsewhere, as a widget's source."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Never

from lrwidget.records.records import LRRecords
from lrwidget.sources.base import NONE, Elsewhere, Overrides
from lrwidget.sources.follow import Follower
from lrwidget.task.options import SweepOptions


class LogSource(Elsewhere):
    """A file that `lr_find(..., log=path)` writes, followed while it grows.

    Args:
        path: of the file, which need not exist yet.
    """

    parallel = False  # it is one file
    where = "in the process that writes the log"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.options = SweepOptions()

    def runner(self, label: str, overrides: Overrides = NONE) -> Follower:
        """Follows the file from its beginning."""
        if overrides:
            raise TypeError(
                f"start() was given {', '.join(overrides)}, and this widget follows "
                f"{self.path.name}: give them to the lr_find() that writes it"
            )
        return Follower(self.path, LRRecords({"label": label}))

    def checker(self, lrs: Sequence[float], steps: int, overrides: Overrides = NONE) -> Never:  # noqa: ARG002
        """Refuse: there is nothing here to train."""
        raise RuntimeError(
            f"this widget follows {self.path.name}, and has no model to train; call "
            "check_lrs(task, lrs) where the sweep runs"
        )
