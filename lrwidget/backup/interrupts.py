"""Finish what has to be finished, whatever Ctrl-C says meanwhile."""

from collections.abc import Callable, Iterable
from typing import Any


def uninterrupted(actions: list[Callable[[], Any]]) -> None:
    """Call all of `actions`, in order, and only then let a KeyboardInterrupt through.

    An interrupt may also come before this has begun, so that nothing is called. Call it twice::

        finally:
            try:
                uninterrupted(actions)
            finally:
                uninterrupted(actions)

    Args:
        actions: without arguments; each is taken from the list when it is done, and called again
            where it was interrupted.

    Raises:
        KeyboardInterrupt: one came meanwhile.
        Exception: what an action raises, at once.
    """
    interrupt: KeyboardInterrupt | None = None
    while actions:
        try:
            actions[0]()
            del actions[0]
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt


def finish(actions: Iterable[Callable[[], Any]]) -> None:
    """Call all of `actions`, in order, also where one raises.

    Raises:
        Exception: what the last of these raised, after all others are done.
        KeyboardInterrupt: at once.
    """
    failed: Exception | None = None
    for action in actions:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - raised when all else is done
            failed = error
    if failed is not None:
        raise failed
