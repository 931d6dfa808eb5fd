"""Finish what has to be finished, whatever Ctrl-C says meanwhile."""

from collections.abc import Callable, Iterable
from typing import Any


def uninterrupted(actions: Iterable[Callable[[], Any]]) -> None:
    """Call all of `actions`, in order, and only then let a KeyboardInterrupt through.

    Args:
        actions: without arguments; one that is interrupted is called again.

    Raises:
        KeyboardInterrupt: one came meanwhile.
        Exception: what an action raises, at once.
    """
    interrupt: KeyboardInterrupt | None = None
    for action in actions:
        while True:
            try:
                action()
                break
            except KeyboardInterrupt as error:
                interrupt = error
    if interrupt is not None:
        raise interrupt
