"""Restore the attributes of classes that training sets: `Model.count += 1`, `type(self).total`."""

from collections.abc import Callable, Iterable
from typing import Any

from lrwidget.backup.interrupts import finish
from lrwidget.backup.walk import is_from_a_library


class ClassState:
    """The data in the attributes of users' classes, without methods and other descriptors.

    They are the same objects afterwards. The items of lists, dicts and sets among them are taken
    for notes, and stay; the values of tensors and arrays are left to `Backup`.

    Args:
        kinds: classes; their bases count too, and those of torch, numpy and Python do not.
    """

    def __init__(self, kinds: Iterable[type]) -> None:
        bases = {base: None for kind in kinds for base in kind.__mro__}
        self._put_back = [
            _remember(base) for base in bases if not is_from_a_library(base.__module__)
        ]

    def restore(self) -> None:
        """Restore everything; may be called repeatedly."""
        finish(self._put_back)

    def close(self) -> None:
        """Release what was kept."""
        self._put_back.clear()


def _remember(kind: type) -> Callable[[], object]:
    kept = _data_of(kind)

    def put_back() -> None:
        now = _data_of(kind)
        # The methods of `type`, since a metaclass may refuse, or do more.
        for name in now.keys() - kept.keys():
            type.__delattr__(kind, name)
        for name, value in kept.items():
            if name not in now or now[name] is not value:
                type.__setattr__(kind, name, value)

    return put_back


def _data_of(kind: type) -> dict[str, Any]:
    return {
        name: value
        for name, value in list(vars(kind).items())
        if not name.startswith(("__", "_abc_")) and not hasattr(type(value), "__get__")
    }
