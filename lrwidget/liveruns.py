"""The widget's runs: starting and ending them, waiting for them, and telling the page of them."""

import time
from typing import Any

from lrwidget.livecheck import CheckWidget
from lrwidget.liverun import LiveRun
from lrwidget.livetraits import in_background
from lrwidget.records import LRRecords
from lrwidget.stream import rows_message


class RunsWidget(CheckWidget):
    """The runs' part of the widget. One of them is the active run, which the traits speak of."""

    lr_range: Any
    _run: LiveRun | None = None

    def start(self) -> None:
        """Run the sweep in the background; returns at once. A new start is a new table.

        Raises:
            RuntimeError: it, or a check, is under way, or the widget is closed.
        """
        with self._lock:
            _ = self._open_source
            run = self._current
            self._refuse_while_under_way("sweep")
            if run.started:
                run = self._new_run(run.number + 1)
            run.start()
            self._run = self._latest = run
            self._catch_up()

    def pause(self) -> None:
        """Pause after the step in hand; nothing happens unless it is running."""
        self._current.pause()

    def resume(self) -> None:
        """Go on after a pause; nothing happens unless it is paused."""
        self._current.resume()

    def stop(self) -> None:
        """End what is under way, sweep or check, after the step in hand; the rows are kept."""
        self._current.stop()
        if self._checking is not None:
            self._checking.stop()

    def wait(self, timeout: float | None = None) -> LRRecords:
        """Block until the sweep, or the check, has ended and the model is restored.

        An interrupt (KeyboardInterrupt) ends the waiting only; the sweep goes on.

        Returns:
            The records of the sweep; `check()` has returned those of the check.

        Args:
            timeout: seconds to wait at most; None waits without end.

        Raises:
            RuntimeError: no sweep has been started, so there is nothing to wait for.
            TimeoutError: it has not ended in time; it goes on.
            Exception: what the model, the loss or the data raised.
        """
        latest, records = self._latest, self.records
        if in_background():
            raise RuntimeError("wait() inside the sweep would wait for itself; call it elsewhere")
        if latest is None:
            raise RuntimeError("no sweep has been started; press Start or call start() first")
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = 0.5 if deadline is None else min(0.5, deadline - time.monotonic())
            ended = latest.wait(max(0.0, left))
            # Observers and linked widgets live on while this cell waits.
            self._catch_up(tell=True)
            if ended:
                latest.raise_error()
                return records
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"the {latest.what} has not ended in {timeout} s; it goes on")

    def reset(self) -> None:
        """Back to idle: stop what is under way, forget rows, check, the pick and its range."""
        run, _ = self._current, self._open_source
        # Not under the lock: the sweep may be in the middle of a long step.
        run.close()
        self._forget_check()
        with self._lock:
            self._latest = None
            self._run = self._new_run(run.number + 1)
            self.lr = self.lr_range = None
            self._page.picked = False
            self._catch_up()
            self._tell()

    @property
    def records(self) -> LRRecords:
        """The rows of the latest run so far, empty before the first."""
        return self._current.records

    # -- for the page

    def _tell(self, kind: str = "rows", offset: int | None = 0, **more: Any) -> None:
        """Send the rows from `offset` on, and all there is to say."""
        run = self._current
        if run.outcome is not None and not self._page.picked:
            more["lr"] = self._page.clamp(run.outcome.suggestion)
        self.send(*rows_message(run.status(), run.records, offset, kind=kind, detail=True, **more))

    def _new_run(self, number: int) -> LiveRun:
        return LiveRun(number, self._open_source.runner(""), self._page)

    @property
    def _current(self) -> LiveRun:
        assert self._run is not None
        return self._run
