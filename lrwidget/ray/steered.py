"""A runner whose steps are taken by workers, which it steers by commands."""

from typing import TypeVar

from lrwidget.engine.runner import Runner

# Seconds between two polls of the workers.
POLL_INTERVAL = 0.05
# Seconds between two queries of the cluster's resources while something waits for them.
CLUSTER_QUERY_INTERVAL = 2.0

Result = TypeVar("Result")


class SteeredRunner(Runner[Result]):
    """Passes commands on to workers.

    The flags of `Runner` control a thread that takes steps. The thread of this runner must go on
    polling while its workers pause or stop, so it sends them `_command` instead: "run", "pause",
    "stop" or "abort".
    """

    _command: str = "run"

    def pause(self) -> None:
        """Pause after the present steps; does nothing unless running."""
        if self._command == "run":
            self._command = "pause"

    def resume(self) -> None:
        """Continue after a pause; does nothing unless paused."""
        if self._command == "pause":
            self._command = "run"

    def stop(self) -> None:
        """Stop the workers after the present steps and keep their rows; returns at once."""
        if self._command != "abort":
            self._command = "stop"

    def close(self) -> None:
        """Abort at once, even during a step, and keep the rows received so far."""
        self._command = "abort"
        super().close()
