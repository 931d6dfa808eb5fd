"""Trait types for a widget whose values change while a sweep runs in another thread.

ipywidgets assumes one thread. Here there are up to four: the kernel's main thread, a subshell's
thread that may deliver what the page changed (ipykernel 7.1 to 7.3), the sweep's and the sender's.

- The sweep's and the sender's threads set no trait and send no trait. They publish values, and the
  widget's `_catch_up` puts it into the traits on another thread: on the kernel's loop, inside
  `wait()`, and whenever such a trait is read, so that `while w.state == "running": sleep(0.1)` ends
  though the kernel's loop has no turn meanwhile.
- The widget's `_lock`, an RLock, serialises everything that sets traits. Neither background thread
  ever takes it on its own account, so whoever holds it may wait for them.
"""

from typing import Any

import traitlets

from lrwidget.stream.threads import in_background


class Locked(traitlets.TraitType[Any, Any]):
    """A trait that is set by one thread at a time."""

    def set(self, obj: Any, value: Any) -> None:
        """Set under the widget's lock, observers included."""
        with obj._lock:
            super().set(obj, value)

    # Traitlets calls these two several times for a value of the page.

    def _validate(self, obj: Any, value: Any) -> Any:
        return value if obj._is_validated(self.name, value) else super()._validate(obj, value)

    def _cross_validate(self, obj: Any, value: Any) -> Any:
        return value if obj._is_validated(self.name, value) else super()._cross_validate(obj, value)


class Live(Locked):
    """A trait that the program moves: it is brought up to date before it is read."""

    def get(self, obj: Any, cls: Any = None) -> Any:
        """Catch up, unless on a background thread, then read."""
        if not in_background():
            obj._catch_up()
        return super().get(obj, cls)

    def move(self, obj: Any, value: Any) -> None:
        """Set it on the program's behalf."""
        self.set(obj, value)


class Published(Live):
    """A trait that only the widget sets; users may read, observe and link it."""

    read_only = True


class LiveAny(Published, traitlets.Any):
    """Anything."""


class LiveText(Published, traitlets.Unicode[Any, Any]):
    """Text or None."""


class LiveInt(Published, traitlets.Int[Any, Any]):
    """A count."""


class LiveFlag(Published, traitlets.Bool[Any, Any]):
    """Yes or no."""


class LockedText(Locked, traitlets.Unicode[Any, Any]):
    """Text that the user sets."""


class Number(Locked):
    """A finite number that the user sets, kept as a plain float; or None where that is allowed.

    Whatever converts to a float is accepted, such as a numpy scalar or a tensor of one element. NaN
    and infinities are not: JSON cannot hold them.
    """

    info_text = "a finite number"

    def validate(self, obj: Any, value: Any) -> float:  # noqa: ARG002 - traitlets passes it
        """Raises TraitError in words."""
        return finite(self.name or "value", value)


class LiveNumber(Published, Number):
    """A finite float or None."""


class Rate(Live, Number):
    """The chosen rate, which the user sets and, until then, the program."""

    def set(self, obj: Any, value: Any) -> None:
        """Set it, by assignment or from the page: that is a pick."""
        # In one message: a page that has a pick of its own must know that this one is newer.
        with obj.hold_sync():
            value = self._validate(obj, value)  # a refused value is no pick
            obj._note_pick()
            self._store(obj, value)

    def _store(self, obj: Any, value: Any) -> None:
        """Set a validated value, as traitlets does after its own validation."""
        old = obj._trait_values.get(self.name, self.default_value)
        obj._trait_values[self.name] = value
        if old != value:
            obj._notify_trait(self.name, old, value)

    def move(self, obj: Any, value: Any) -> None:
        """Set it on the program's behalf, which is no pick."""
        super().set(obj, value)


class NumberPair(Locked):
    """A pair (low, high) of finite numbers, low < high, or None."""

    info_text = "a pair of numbers (low, high) with low < high, or None"

    def validate(self, obj: Any, value: Any) -> tuple[float, float]:  # noqa: ARG002
        """Raises TraitError in words."""
        name = self.name or "value"
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            raise traitlets.TraitError(f"{name} is {value!r}; expected {self.info_text}")
        low, high = (finite(name, number) for number in value)
        if not low < high:
            raise traitlets.TraitError(f"{name} is {value!r}; expected {self.info_text}")
        return low, high


class Counts(Locked):
    """Whole numbers from 0 on, each once, in rising order."""

    info_text = "a list of whole numbers from 0 on"

    def validate(self, obj: Any, value: Any) -> tuple[int, ...]:  # noqa: ARG002
        """Raises TraitError in words."""
        if not isinstance(value, (list, tuple)) or not all(
            type(count) is int and count >= 0 for count in value
        ):
            raise traitlets.TraitError(f"{self.name} is {value!r}; expected {self.info_text}")
        return tuple(sorted(set(value)))


def finite(name: str, value: Any) -> float:
    """`value` as a finite float; a TraitError that says so otherwise."""
    problem = traitlets.TraitError(f"{name} is {value!r}; expected a finite number such as 1e-3")
    if isinstance(value, (bool, str, bytes)) or not hasattr(value, "__float__"):
        raise problem
    try:
        number = float(value)
    except (
        TypeError,
        ValueError,
        OverflowError,
        RuntimeError,
    ):  # RuntimeError: a tensor of several
        raise problem from None
    if number - number != 0:  # NaN and the infinities
        raise problem
    return number
