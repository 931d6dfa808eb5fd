"""Marks the threads of sweeps and senders, which must not use traits."""

import threading

_here = threading.local()


def mark_background() -> None:
    """Mark the calling thread as a sweep's or a sender's: it must not use traits."""
    _here.background = True


def in_background() -> bool:
    """Return whether the calling thread is a sweep's or a sender's."""
    return getattr(_here, "background", False)
