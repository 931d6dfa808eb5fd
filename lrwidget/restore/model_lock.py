"""A lock that allows one sweep of a model at a time: two would train the same weights."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lrwidget.backup.interrupts import uninterrupted
from lrwidget.restore.in_use import InUseError
from lrwidget.task.task import TrainingTask

# The lock that holds each parameter, by its id. Parameters, not models, since a compiled
# model, its original and its submodules share the same weights.
_held: dict[int, "ModelLock"] = {}
_lock = threading.Lock()


class ModelLock:
    """A lock on the parameters of a task's model; it never waits."""

    def __init__(self, task: TrainingTask) -> None:
        self._model = type(task.model).__name__
        self._keys = [id(p) for p in task.model.parameters()]
        self._stop: Callable[[], None] | None = None
        self._to_tell: list[Callable[[], None]] = []

    def acquire(self, stop: Callable[[], None] | None = None) -> None:
        """Acquire the lock, or raise and change nothing.

        Args:
            stop: ends the sweep that acquires it, for whoever wants the model meanwhile.

        Raises:
            InUseError: the model is being swept.
        """
        with _lock:
            holders = [_held[key] for key in self._keys if key in _held]
            if holders:
                raise InUseError(
                    f"this {self._model} is being swept already; "
                    "wait for that sweep to end, or stop it: by Stop or w.stop() of its widget w, "
                    "which a notebook whose cell was run again may still hold as Out[n], "
                    "or by restarting the kernel",
                    holders[0]._stop,
                    holders[0]._when_released,
                )
            self._stop = stop
            for key in self._keys:
                _held[key] = self

    def release(self) -> None:
        """Release the lock if it is held; may be called repeatedly."""
        # Without `_lock`, so that an interrupt cannot leave it locked.
        for key in self._keys:
            if _held.get(key) is self:
                del _held[key]
        for tell in self._to_tell:
            tell()

    def _when_released(self, tell: Callable[[], None]) -> None:
        """Call a function, on any thread, once the lock is no longer held; it may be repeated."""
        self._to_tell.append(tell)
        if _held.get(self._keys[0]) is not self:
            tell()


@contextmanager
def exclusive(task: TrainingTask) -> Iterator[None]:
    """Hold the lock on the model of a task while the block runs.

    Raises:
        RuntimeError: the model is being swept.
    """
    lock = ModelLock(task)
    last = [lock.release]
    try:
        lock.acquire()
        yield
    finally:
        try:
            uninterrupted(last)
        finally:
            uninterrupted(last)
