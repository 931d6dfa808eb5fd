"""Complete clean-up actions despite KeyboardInterrupt (Ctrl-C) and errors."""

from collections.abc import Callable, Iterable
from typing import Any


def uninterrupted(actions: list[Callable[[], Any]]) -> None:
    """Call all `actions` in order, and raise a KeyboardInterrupt only afterwards.

    An interrupt may also arrive before the first action. Therefore call this function twice::

        finally:
            try:
                uninterrupted(actions)
            finally:
                uninterrupted(actions)

    Args:
        actions: functions without arguments; each is removed from the list when it has returned,
            and called again if it was interrupted.

    Raises:
        KeyboardInterrupt: one arrived during the actions.
        Exception: the error of an action, at once.
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
    """Call all `actions` in order, even if some raise.

    Raises:
        Exception: the error of the last action that raised, after all actions were called.
        KeyboardInterrupt: at once.
    """
    failed: Exception | None = None
    for action in actions:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - raised after the other actions
            failed = error
    if failed is not None:
        raise failed
