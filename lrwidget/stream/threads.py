"""Which threads are in the background: a sweep's and a sender's, which must not touch traits."""

import threading

_here = threading.local()


def mark_background() -> None:
    """Say that the calling thread is a sweep's or a sender's: it must not touch traits."""
    _here.background = True


def in_background() -> bool:
    """Whether the calling thread is a sweep's or a sender's."""
    return getattr(_here, "background", False)
