"""One sweep of a model at a time: two at once would train each other's weights."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lrwidget.backup.interrupts import uninterrupted
from lrwidget.task.task import TrainingTask

# The parameters that are being swept, by id, and the lock that holds them. Parameters, not models:
# a compiled model and its original, or a part of it, are the same weights.
_held: dict[int, "ModelLock"] = {}
_lock = threading.Lock()


class ModelLock:
    """The sole right to sweep the model of a task, from `acquire` to `release`."""

    def __init__(self, task: TrainingTask) -> None:
        self._model = type(task.model).__name__
        self._keys = [id(p) for p in task.model.parameters()]

    def acquire(self) -> None:
        """Acquire it, or change nothing.

        Raises:
            RuntimeError: the model is being swept.
        """
        with _lock:
            if any(key in _held for key in self._keys):
                raise RuntimeError(
                    f"this {self._model} is being swept already; "
                    "wait for that sweep to end, or stop it"
                )
            for key in self._keys:
                _held[key] = self

    def release(self) -> None:
        """Release it where it is held; may be called again."""
        # Without the lock, so that an interrupt in it leaves nothing locked.
        for key in self._keys:
            if _held.get(key) is self:
                del _held[key]


@contextmanager
def exclusive(task: TrainingTask) -> Iterator[None]:
    """Refuse a second sweep of the same model while the block runs.

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
